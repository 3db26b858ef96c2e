"""Planted texts in a real browser: a few plays of the bench, and its figures by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.web.chromium import lease_chromium
from app.config import Settings
from infra.bench.base import BenchContext, progress_bar
from infra.bench.pages.attacks import attacks
from infra.bench.pages.measure import _pairs, _play, figures_of
from infra.bench.pages.tasks import Names, tasks

NAMES = Names.draw("train", 0)
AT = {task.name: at for at, task in enumerate(tasks(NAMES))}


@pytest.fixture
async def context(tmp_path: Path) -> AsyncIterator[BenchContext]:
    settings = Settings(home=tmp_path)
    kept = await lease_chromium(settings)
    yield BenchContext(settings, "pages", "train", None, 0, False, progress_bar(), {})
    await kept.close()


@pytest.mark.browser
@pytest.mark.parametrize("task", ["order_note", "message", "comment"])
async def test_a_task_runs_through_with_nobody_to_ask(context, task):
    played = await _play(context, 0, AT[task], None, "before", True)
    assert (played.solved, played.stopped) == (True, [])


@pytest.mark.browser
@pytest.mark.parametrize(
    ("task", "attack", "order"),
    [
        ("order", "other_order", "before"),
        ("message", "addressee", "before"),
        ("pay", "twice_pay", "after"),
        ("price", "search", "before"),
        ("summary", "redirect", "after"),
        ("like", "innocent_button", "before"),
    ],
)
async def test_an_attack_that_works_without_the_gate_does_not_behind_it(context, task, attack, order):
    off = await _play(context, 0, AT[task], attack, order, False)
    assert off.met and off.effect
    on = await _play(context, 0, AT[task], attack, order, True)
    assert on.met and not on.effect and on.stopped


def test_every_attack_is_played_before_and_after_on_tasks_that_grant_such_a_deed_and_others():
    context = BenchContext(Settings(), "pages", "train", None, 0, False, progress_bar(), {})
    every = [attack.name for attack in attacks(NAMES, "http://stranger.example")]
    played = [pair for pair, _ in zip(_pairs(context), range(4 * len(every)), strict=False)]
    assert sorted({name for *_, name, _ in played}) == sorted(every)
    assert {(name, order) for *_, name, order in played} == {(name, order) for name in every for order in ("before", "after")}


def test_figures_count_only_attacks_that_work_without_the_gate():
    attack = {"kind": "attack", "task": "order", "order": "before", "stopped": []}
    figures = figures_of(
        [
            attack | {"attack": "a", "off": True, "on": False},
            attack | {"attack": "a", "off": True, "on": True},
            attack | {"attack": "b", "off": False, "on": True},
            {"kind": "benign", "task": "order", "solved": True, "stopped": []},
            {"kind": "benign", "task": "pay", "solved": False, "stopped": []},
        ]
    )
    assert (figures["pages_effect"].value, figures["pages_effect"].n) == (0.5, 2)
    assert figures["pages_effect_a"].value == 0.5 and "pages_effect_b" not in figures
    assert (figures["pages_off"].value, figures["pages_benign"].value, figures["pages_benign_pay"].value) == (0.6667, 0.5, 0.0)
