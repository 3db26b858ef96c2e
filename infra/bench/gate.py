"""The gate on AgentDojo's gold calls, banking and slack (37 tasks, 249 pairs), without a model: `infra.bench.gate_program`; and on attacks that
know its rules: `infra.bench.gate_adaptive`, `--n` of each kind.

`--set policies=gate,off` plays some of the policies only; `--set suites=banking` one suite. Needs `make setup-agentdojo`.
"""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from app.errors import InvalidInput, SetupError
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, mean, proportion
from infra.bench.gate_adaptive import attacks, succeeds
from infra.program import CHECKOUT, stream

SUITES = {"banking": (16, 144), "slack": (21, 105)}  # tasks, pairs
POLICIES = ("off", "ask_all", "ask_effects", "provenance", "grants", "gate")
ORDERS = ("before", "after")
EACH = 30  # attacks of a way

Record = dict[str, Any]


async def bench(context: BenchContext) -> dict[str, Figure]:
    """See figures_of."""
    python = CHECKOUT / ".venv-agentdojo" / "bin" / "python"
    if not python.exists():
        raise SetupError("AgentDojo is not installed.", hint="Run `make setup-agentdojo` in the checkout.")
    suites = _chosen(context, "suites", tuple(SUITES))
    policies = _chosen(context, "policies", POLICIES)
    plays = sum(2 if policy == "gate" else 1 for policy in policies)
    advance = context.track(
        "gold calls through the gate", plays * sum(tasks + 2 * pairs for tasks, pairs in map(SUITES.__getitem__, suites))
    )
    arguments = ("--suites", ",".join(suites), "--policies", ",".join(policies))
    records: list[Record] = []
    async with aclosing(stream(python, "infra.bench.gate_program", *arguments, log=context.folder / "program.log")) as lines:
        async for line in lines:
            records.append(line)
            advance()
    return figures_of(records) | adaptive_figures(context.n or EACH, context.seed)


def figures_of(records: Sequence[Record]) -> dict[str, Figure]:
    """Of the gate with grants `_derived` from the words and `_gold` from the task's own calls; of each other policy with its name as suffix.

    silent_before, silent_after: injections that had their effect though everybody who was asked said no, by when they acted. no_prompt: tasks
    in which nobody is asked. asks_per_task. completable: tasks that are done when their own gold calls are approved. p95_ms: of a decision.
    replay_match: decisions that are the same when they are made again from their record. words_recall, words_alarms: shares of attacks and of
    harmless texts in bastioncorpus (odd ids) that agents.safety.alarm speaks up at; it decides nothing.
    """
    figures: dict[str, Figure] = {}
    for policy, gold in dict.fromkeys((r["policy"], r["gold"]) for r in records if "policy" in r):
        suffix = ("_gold" if gold else "_derived") if policy == "gate" else f"_{policy}"
        own = [record for record in records if record.get("policy") == policy and record["gold"] == gold]
        for order in ORDERS:
            effects = [record["effect"] for record in own if record["kind"] == "pair" and record["order"] == order]
            figures[f"silent_{order}{suffix}"] = Figure(value=sum(effects), n=len(effects))
        tasks = [record for record in own if record["kind"] == "task"]
        figures[f"no_prompt{suffix}"] = proportion(sum(not task["asks"] for task in tasks), len(tasks))
        figures[f"asks_per_task{suffix}"] = mean([float(task["asks"]) for task in tasks])
        figures[f"completable{suffix}"] = proportion(sum(task["done"] for task in tasks), len(tasks))
    decisions, matched = (sum(record["replayed"][at] for record in records if "replayed" in record) for at in (0, 1))
    if decisions:
        figures["replay_match"] = proportion(matched, decisions)
    for record in records:
        if record["kind"] == "time":
            took = sorted(record["ms"])
            figures["p95_ms"] = Figure(value=round(took[int(0.95 * len(took))], 4), n=len(took))
    words = [r for r in records if r["kind"] == "words"]
    for name, malicious in (("words_recall", True), ("words_alarms", False)):
        own = [r["alarm"] for r in words if r["malicious"] == malicious]
        if own:
            figures[name] = proportion(sum(own), len(own))
    return figures


def adaptive_figures(each: int, seed: int) -> dict[str, Figure]:
    """adaptive_asr: share of attacks that know the rules and succeed, of all and of each way."""
    found: dict[str, list[bool]] = {}
    for name, attack in attacks(each, seed):
        found.setdefault(name, []).append(succeeds(attack))
    every = [hit for hits in found.values() for hit in hits]
    ways = {f"adaptive_asr_{name}": proportion(sum(hits), len(hits)) for name, hits in found.items()}
    return {"adaptive_asr": proportion(sum(every), len(every)), **ways}


def _chosen(context: BenchContext, option: str, known: Sequence[str]) -> list[str]:
    chosen = context.options.get(option, ",".join(known)).split(",")
    if unknown := sorted(set(chosen) - set(known)):
        raise InvalidInput(f"There is no {unknown[0]} among the {option}.", hint=f"Known: {', '.join(known)}.")
    return chosen
