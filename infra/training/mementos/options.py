"""What a data set is made with, and where the figures are from."""

from dataclasses import dataclass
from typing import Literal

JudgeKind = Literal["model", "mechanical"]


@dataclass(frozen=True)
class Options:
    """Sizes are in tokens of the model to be trained.

    `max_block_tokens`: without a bound the objective is best with two or three huge blocks, whatever the length; MEMENTO's blocks have 1,150 on
    average. `judge`: who judges mementos that came with their record, after the mechanical check; those of the teacher it always judges itself.
    """

    min_block_tokens: int = 200  # MEMENTO 3.2
    max_block_tokens: int | None = 1_500
    two_passes: bool = False  # MEMENTO S3
    threshold: int = 8  # of 10 points, MEMENTO S5
    judge: JudgeKind = "model"
    max_tokens: int = 100_000  # of a thought


DEFAULT = Options()
