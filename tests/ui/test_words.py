"""What the UI makes of numbers, times and foreign words."""

from datetime import UTC, datetime, timedelta

import pytest

from app.policies.files import presets
from app.schemas import Effect, Policy, RunStatus
from tests.ui.stories import NASTY
from ui.parts import words


def test_every_status_policy_and_effect_has_words():
    assert set(words.STATUS) == set(RunStatus)
    assert set(words.EFFECT) == set(Effect)
    assert set(presets()) == set(Policy)
    assert all(policy.title and policy.about.count(".") == 1 for policy in presets().values())


@pytest.mark.parametrize("sign", [*"*`[]<>|:$\\!#~^{}&@\"'=;", "->", "--", "\n"])
def test_a_label_keeps_no_sign_that_markdown_reads(sign: str):
    assert sign not in words.label(f"a{sign}b{sign}c")


def test_a_label_is_short_and_keeps_letters_of_any_script():
    assert words.label("preis-liste (neu).csv") == "preis-liste (neu).csv"
    assert words.label("日本語 – Übersicht").startswith("日本語")
    assert len(words.label(NASTY * 50)) == 80


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (125, "2 min 05 s"), (1800, "30 min"), (7800, "2 h 10 min"), (-3, "0 s")],
)
def test_durations(seconds: float, said: str):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (2_500_000, "2.5M")])
def test_counts(number: int, said: str):
    assert words.count(number) == said


def test_times_ago_take_the_largest_unit_and_read_zoneless_times_as_utc():
    now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert words.ago(now - timedelta(seconds=5), now) == "just now"
    assert words.ago(now - timedelta(minutes=1), now) == "1 minute ago"
    assert words.ago(now.replace(tzinfo=None) - timedelta(hours=26), now) == "1 day ago"


def test_plurals():
    assert [words.plural(n, w) for n, w in ((1, "step"), (2, "step"), (2, "entry"), (2, "day"))] == [
        "1 step",
        "2 steps",
        "2 entries",
        "2 days",
    ]


def test_an_unknown_agent_or_tool_is_named_without_its_markup():
    assert words.agent_look("**evil**").name == "evil"
    assert words.verb("tool.send_mail") == "Use the tool send mail"
