"""From a recipe's examples to the list of its training steps; the same for every start of the same run."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from infra.training.config import DataConfig, Recipe
from infra.training.examples import STREAM, Example
from infra.training.packing import Encoded, plan_steps
from infra.training.selection import balance, blend
from infra.training.tokens import Encoder
from infra.training.traces import ROLE


@dataclass(frozen=True)
class Plan:
    """Steps as indices into `encoded`, which is in the order of `examples`. `passes` over the balanced data, the last one perhaps in part."""

    examples: Sequence[Example]
    encoded: list[Encoded]
    steps: list[list[int]]
    passes: int

    @property
    def summary(self) -> dict[str, Any]:
        """What a run of these steps sees: examples of each kind (repeats counted) and how many different ones."""
        seen = [i for step in self.steps for i in step]
        kinds = Counter(self.examples[i].kind for i in seen)
        return {
            "seen": len(seen),
            "different": len(set(seen)),
            "passes": self.passes,
            "tokens": sum(len(self.encoded[i]) for i in seen),
            "kinds": dict(kinds.most_common()),
        }


def make_plan(recipe: Recipe, examples: Sequence[Example], encoder: Encoder, tokens_per_step: int) -> Plan:
    """Passes over the balanced examples, each in an order of its own, until `train.tokens` are reached.

    Conversations that are longer than a step are left out. Raises InvalidInput: no examples, or another one that is longer than a step.
    """
    data, train = recipe.data, recipe.train
    runs = [example for example in examples if example.conversation]
    long = {id(run) for run, tokens in zip(runs, encoder.encode(runs), strict=True) if len(tokens) > tokens_per_step}
    examples = [example for example in examples if id(example) not in long]
    if not examples:
        raise InvalidInput("The recipe has no training examples.", hint="Name more seeds, or files that hold some.")
    encoded = encoder.encode(examples, longest=tokens_per_step)
    place = {id(example): i for i, example in enumerate(examples)}
    steps: list[list[int]] = []
    passes = tokens = 0
    while tokens < train.tokens:
        seed = train.seed + 1000 * passes
        order = [place[id(example)] for example in _order(examples, data, seed, lambda example: len(encoded[place[id(example)]]))]
        for step in plan_steps(order, encoded, tokens_per_step, train.siblings, seed):
            if tokens >= train.tokens:
                break
            steps.append(step)
            tokens += sum(len(encoded[i]) for i in step)
        passes += 1
    return Plan(examples, encoded, steps, passes)


def _order(examples: Sequence[Example], data: DataConfig, seed: int, size: Callable[[Example], int]) -> list[Example]:
    """One pass. With traces or conversations it ends where the first of them does, so that their shares hold."""
    decisions = balance([e for e in examples if e.role not in (ROLE, STREAM)], data.floor, data.ceiling, data.copies, seed)
    traces = balance([e for e in examples if e.role == ROLE], 0, len(examples), 1, seed)
    runs = balance([e for e in examples if e.role == STREAM], 0, len(examples), 1, seed)
    decisions = list(blend(runs, decisions, data.streams, size)) if runs and decisions else runs or decisions
    return list(blend(traces, decisions, data.traces.share, size)) if traces and decisions else traces or decisions
