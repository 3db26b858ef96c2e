"""From a recipe's examples to the list of its training steps; the same for every start of the same run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from infra.training.config import Recipe
from infra.training.examples import Example
from infra.training.packing import Encoded, plan_steps
from infra.training.selection import balance
from infra.training.tokens import Encoder


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

    Raises InvalidInput: no examples, or one that is longer than a step.
    """
    if not examples:
        raise InvalidInput("The recipe has no training examples.", hint="Name more seeds, or files that hold some.")
    data, train = recipe.data, recipe.train
    encoded = encoder.encode(examples, longest=tokens_per_step)
    place = {id(example): i for i, example in enumerate(examples)}
    steps: list[list[int]] = []
    passes = tokens = 0
    while tokens < train.tokens:
        seed = train.seed + 1000 * passes
        order = [place[id(example)] for example in balance(examples, data.floor, data.ceiling, data.copies, seed)]
        for step in plan_steps(order, encoded, tokens_per_step, train.siblings, seed):
            if tokens >= train.tokens:
                break
            steps.append(step)
            tokens += sum(len(encoded[i]) for i in step)
        passes += 1
    return Plan(examples, encoded, steps, passes)
