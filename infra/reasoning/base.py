"""What a reasoning problem is, which seeds belong to which split, and the contract of a family."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol

from app.errors import InvalidInput
from infra.reasoning.wording import Wordings

Split = Literal["train", "dev", "eval"]
SPLITS: dict[Split, range] = {"train": range(900_000), "dev": range(900_000, 950_000), "eval": range(950_000, 1_000_000)}


@dataclass(frozen=True)
class Block:
    """A stretch of reasoning, and the memento that holds all of it that is needed later."""

    text: str
    memento: str


@dataclass(frozen=True)
class Problem:
    """One question with its whole solution. `level` counts from 1, the shortest; a family's last level is the evaluation size."""

    family: str
    seed: int
    split: Split
    level: int
    question: str
    blocks: tuple[Block, ...]
    answer: str

    @property
    def mementos(self) -> tuple[str, ...]:
        return tuple(block.memento for block in self.blocks)

    @property
    def closing(self) -> str:
        """What stands after the last memento."""
        return f"answer: {self.answer}"


class Family(Protocol):
    """A kind of question and the one way to solve it. Families have no state."""

    @property
    def name(self) -> str: ...

    @property
    def wordings(self) -> Wordings: ...

    @property
    def levels(self) -> tuple[Any, ...]:
        """Difficulty knobs (a frozen dataclass of the family's own), from the shortest problems to the evaluation size."""
        ...

    def make(self, draw: Random, knobs: Any) -> str:
        """A question."""
        ...

    def content(self, question: str) -> str:
        """What is asked, whatever the wording: equal content means equal answers. Raises InvalidInput for no question of this family."""
        ...

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        """The next block after these mementos, or the answer once they hold it.

        May raise ValueError or LookupError where they make no sense; `solving.next_step` is how a step is taken.
        """
        ...


def split_of(seed: int) -> Split:
    """The split that owns `seed`. Raises InvalidInput outside 0 to 999,999."""
    for split, seeds in SPLITS.items():
        if seed in seeds:
            return split
    raise InvalidInput(f"Seed {seed} belongs to no split.", hint=f"Seeds run from 0 to {SPLITS['eval'].stop - 1}.")
