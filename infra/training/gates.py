"""What a version must show before it is served: the recipe's gates, and what earlier work promised of the embedded model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from app.registry import Gate, Version, find_figure

if TYPE_CHECKING:
    from infra.training.config import GateConfig

# Goals of docs/RESULTS.md, "Whole tasks". What production reached binds more: a figure may not leave the interval that it was measured with.
PROMISES = {
    "worlds.success": 0.80,
    "worlds.success_lookup": 0.60,
    "worlds.success_ticket": 0.60,
    "worlds.success_order": 0.60,
    "worlds.success_summary": 0.60,
}


def judge(asked: Sequence[Gate | GateConfig], metrics: dict[str, Any], production: Version | None) -> list[Gate]:
    """Every gate with its value: those of a recipe (`asked`; promises among them are made anew), then those promised.

    A promise's bound is the lower end of the 95 % interval of `production`'s own figure, but never below the goal: without that floor each
    version could be an interval worse than the one before.
    """
    gates = [gate if isinstance(gate, Gate) else _of_recipe(gate) for gate in asked]
    gates = [gate for gate in gates if gate.source == "recipe"]
    for figure, goal in PROMISES.items():
        reached = production.figure(figure) if production else None
        lower = reached.ci95[0] if reached and reached.ci95 else goal
        gates.append(Gate(figure=figure, source="promise", direction="at_least", threshold=max(goal, lower)))
    return [_measured(gate, metrics) for gate in gates]


def benches(gates: Sequence[Gate], known: Sequence[str]) -> list[str]:
    """The benches, of those `known`, that the gates' figures come from."""
    return [name for name in known if any(gate.figure.startswith(f"{name}.") for gate in gates)]


def _of_recipe(gate: GateConfig) -> Gate:
    if gate.at_least is not None:
        return Gate(figure=gate.figure, source="recipe", direction="at_least", threshold=gate.at_least)
    assert gate.at_most is not None
    return Gate(figure=gate.figure, source="recipe", direction="at_most", threshold=gate.at_most)


def _measured(gate: Gate, metrics: dict[str, Any]) -> Gate:
    found = find_figure(metrics, gate.figure)
    if found is None:
        return gate.model_copy(update={"value": None, "n": None, "passed": False})
    # Not the other way round: a value that is not a number passes nothing.
    passed = found.value >= gate.threshold if gate.direction == "at_least" else found.value <= gate.threshold
    return gate.model_copy(update={"value": found.value, "n": found.n, "passed": passed})
