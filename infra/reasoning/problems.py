"""The one way to problems: the same family, seed and level give the same problem on every machine and version of Python."""

import hashlib
from collections.abc import Iterator
from itertools import count
from random import Random

from app.errors import InvalidInput
from infra.reasoning.base import SPLITS, Family, Problem, Split, split_of
from infra.reasoning.families import family as family_of
from infra.reasoning.solving import solve

SHARES: dict[Split, int] = {"train": 80, "dev": 10, "eval": 10}  # percent of all contents


def problem(family: str, seed: int, level: int | None = None) -> Problem:
    """The problem of `family` with `seed`.

    `level`: 1 is the shortest. None: drawn by the seed in train, the last (the evaluation size) in dev and eval.
    Raises InvalidInput for an unknown family, a seed of no split, or a level that the family has not.
    """
    kind, split = family_of(family), split_of(seed)
    if level is None:
        level = Random(f"level {family} {seed}").randint(1, len(kind.levels)) if split == "train" else len(kind.levels)
    if not 1 <= level <= len(kind.levels):
        raise InvalidInput(f"{family} has no level {level}.", hint=f"Levels run from 1 to {len(kind.levels)}.")
    question = _question(kind, seed, split, level)
    blocks, answer = solve(kind, question)
    return Problem(family, seed, split, level, question, blocks, answer)


def problems(family: str, split: Split, start: int = 0, level: int | None = None) -> Iterator[Problem]:
    """The split's problems from its `start`-th seed on. Dev and eval give equal contents once; train may repeat them.

    Raises InvalidInput as `problem` does, and for an unknown split.
    """
    if split not in SPLITS:
        raise InvalidInput(f"There is no split {split}.", hint=f"One of {', '.join(SPLITS)}.")
    kind, seen = family_of(family), set[str]()
    for seed in SPLITS[split][start:]:
        made = problem(family, seed, level)
        content = kind.content(made.question)
        if split == "train" or content not in seen:
            seen.add(content)
            yield made


def owner(family: str, content: str) -> Split:
    """The split that a content belongs to, by its hash.

    Two seeds can draw the same content, so a seed's range alone would not keep splits apart, and a table of what was drawn would have to be
    shared by every process. A hash needs neither: a draw whose content belongs to another split is drawn again.
    """
    share = int.from_bytes(hashlib.sha256(f"{family}\n{content}".encode()).digest()[:8], "big") % 100
    for split, size in SHARES.items():
        if share < size:
            return split
        share -= size
    raise AssertionError("shares add up to 100")


def _question(kind: Family, seed: int, split: Split, level: int) -> str:
    for attempt in count():  # a tenth of all contents is eval's, so it ends
        question = kind.make(Random(f"{kind.name} {seed} {level} {attempt}"), kind.levels[level - 1])
        if owner(kind.name, kind.content(question)) == split:
            return question
    raise AssertionError("count never ends")
