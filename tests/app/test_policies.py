"""Policies as files: what comes with the package, what a person writes, and what is wrong with it in words."""

from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.policies.files import chosen, named, offered, parsed, presets, resolved, spelled
from app.schemas import Policy, TaskCreate

GOOD = """
title: Small sums
rules:
  - effects: pay
    over: 50
    then: refuse
  - sites: ["*.example.org", shop]
    effects: [read, write]
    then: allow
otherwise: words
unanswered: refuse
"""


def test_every_preset_is_a_file_and_means_what_it_did():
    assert list(presets()) == ["ask_all", "ask_writes", "allow_listed", "unattended"]
    assert set(presets()) == set(Policy)
    assert [p.unanswered for p in presets().values()] == ["ask", "ask", "ask", "refuse"]


def test_a_file_has_its_own_name_and_one_value_may_stand_for_a_list():
    policy = parsed(GOOD, "mine")
    assert policy.name == "mine" and policy.rules[0].effects == ["pay"] and policy.rules[1].sites == ["*.example.org", "shop"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no keys"),
        ("- a", "no keys"),
        ("a: [", "no YAML"),
        ("rules: []", "otherwise: Field required"),
        ("otherwise: allow", "otherwise: Input should be"),
        ("otherwise: ask\nsurprise: 1", "surprise: Extra inputs"),
        ("otherwise: ask\nrules:\n  - then: ask\n  - {effects: [read, steal], then: ask}", "rule 2, effects 2: Input should be"),
        ("otherwise: ask\nrules:\n  - {effects: pay, over: much, then: ask}", "rule 1, over: Input should be a valid decimal"),
        ("otherwise: ask\nname: other", "calls itself `other`"),
        ("otherwise: ask\nwhy: " + "x" * 100_000, "characters"),
        ("&a [*a]", "no "),
        ("!!python/object/apply:os.system [ls]", "no YAML"),
    ],
)
def test_a_file_that_is_not_right_says_where_and_why(text: str, words: str):
    with pytest.raises(InvalidInput) as told:
        parsed(text, "mine")
    assert words in told.value.message


def test_policies_of_ones_own_lie_beside_the_presets_and_broken_ones_tell_why(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text("rules: 7")
    (tmp_path / "ask_all.yaml").write_text(GOOD)
    found = {(item.name, item.own): item for item in offered(tmp_path)}
    assert found["mine", True].title == "Small sums" and not found["mine", True].error
    assert "rules" in found["bad", True].error and "comes with Keepsake" in found["ask_all", True].error
    assert named(tmp_path, "mine") == parsed(GOOD, "mine")
    assert named(tmp_path, "ask_all") == presets()["ask_all"], "nobody's file takes a preset's place"
    with pytest.raises(InvalidInput) as told:
        named(tmp_path, "none")
    assert "mine" in str(told.value.hint)


def test_a_name_never_leads_out_of_the_folder():
    with pytest.raises(ValueError, match="policy"):
        TaskCreate(text="x", policy="../../etc/passwd")


def test_a_policy_is_given_by_name_in_full_or_as_a_path(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    full = spelled(str(tmp_path / "mine.yaml"))
    assert TaskCreate(text="x", policy=full).policy == full == chosen(tmp_path, full)
    assert resolved(full) == full and spelled("ask_all") == "ask_all"
    assert TaskCreate(text="x", policy="unattended").policy is Policy.UNATTENDED
    with pytest.raises(InvalidInput):
        resolved("mine")
    with pytest.raises(InvalidInput):
        spelled(str(tmp_path / "none.yaml"))
