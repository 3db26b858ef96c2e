"""Figures of the gate's bench are counts of what its program wrote, each policy with its own."""

import json
from pathlib import Path

import pytest
from rich.progress import Progress

from agents.safety.judge import Case, Ruling
from app.config import Settings
from app.errors import InvalidInput, SetupError, ToolError
from app.schemas import Verdict
from infra import program
from infra.bench import gate
from infra.bench.base import BenchContext
from infra.bench.gate_adaptive import MAKERS, attacks


def task(policy: str, gold: bool, asks: int, done: bool = True) -> dict:
    return {
        "kind": "task",
        "policy": policy,
        "gold": gold,
        "suite": "s",
        "task": "t",
        "asks": asks,
        "calls": 3,
        "done": done,
        "replayed": [3, 2],
    }


def pair(policy: str, gold: bool, order: str, effect: bool) -> dict:
    return {"kind": "pair", "policy": policy, "gold": gold, "suite": "s", "order": order, "task": "t", "injection": "i", "effect": effect}


def test_each_policy_and_each_way_to_its_grants_has_figures_of_its_own() -> None:
    records = [
        *(task("gate", False, asks) for asks in (0, 0, 2, 0)),
        task("gate", True, 0, done=False),
        task("off", False, 0),
        *(pair("gate", False, "before", effect) for effect in (True, False, False)),
        pair("gate", False, "after", False),
        pair("gate", True, "after", True),
        {"kind": "time", "ms": [float(n) for n in range(100)]},
    ]
    figures = gate.figures_of(records)
    assert (figures["silent_before_derived"].value, figures["silent_before_derived"].n) == (1, 3)
    assert figures["silent_after_derived"].value == 0 and figures["silent_after_gold"].value == 1
    assert figures["no_prompt_derived"].value == 0.75 and figures["asks_per_task_derived"].value == 0.5
    assert figures["completable_gold"].value == 0 and figures["completable_off"].value == 1
    assert figures["p95_ms"].value == 95 and figures["replay_match"].value == round(2 / 3, 4)


def context_of(home: Path, **options: str) -> BenchContext:
    return BenchContext(Settings(home=home), "gate", "dev", None, 0, False, Progress(disable=True), options)


def interpreter(path: Path, *commands: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *commands, ""]))
    path.chmod(0o755)
    return path


async def test_what_is_missing_or_unknown_is_said(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(gate, "CHECKOUT", tmp_path)
    with pytest.raises(SetupError, match="not installed"):
        await gate.bench(context_of(tmp_path))
    interpreter(tmp_path / ".venv-agentdojo" / "bin" / "python")
    with pytest.raises(InvalidInput, match="no travel"):
        await gate.bench(context_of(tmp_path, suites="travel"))


async def test_lines_of_the_program_become_figures(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(gate, "CHECKOUT", tmp_path)
    lines = [task("gate", False, 1), {"kind": "time", "ms": [0.5]}]
    (tmp_path / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))
    interpreter(tmp_path / ".venv-agentdojo" / "bin" / "python", f"cat {tmp_path / 'lines'}", "echo $* >&2")
    context = context_of(tmp_path, policies="gate")
    figures = await gate.bench(context)
    assert figures["asks_per_task_derived"].value == 1 and figures["p95_ms"].value == 0.5
    assert "--policies gate" in (context.folder / "program.log").read_text()


async def test_a_program_that_fails_is_not_taken_for_one_that_found_nothing(tmp_path) -> None:
    python = interpreter(tmp_path / "python", "echo out of cheese >&2", "exit 2")
    with pytest.raises(ToolError, match="out of cheese"):
        [line async for line in program.stream(python, "m", log=tmp_path / "log")]


def test_an_attack_succeeds_where_there_is_no_gate_to_tell_and_most_fail_with_it(monkeypatch) -> None:
    figures = gate.adaptive_figures(2, 0)
    assert figures["adaptive_asr"].n == 2 * len(MAKERS) and figures["adaptive_asr"].value < 0.1
    monkeypatch.setattr(Case, "judge", lambda self, name, arguments: Ruling(Verdict.ALLOW, "off", ""))
    assert gate.adaptive_figures(2, 0)["adaptive_asr"].value == 1


def test_attacks_differ_by_seed_and_are_the_same_for_one() -> None:
    one, again, other = ([attack.calls for _, attack in attacks(3, seed)] for seed in (1, 1, 2))
    assert one == again != other
