"""Reasoning as examples: the question, a thought in blocks and mementos, and the answer; of our own problems, or of records with mementos."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.errors import InvalidInput
from infra.reasoning.base import SPLITS, Problem, Split, split_of
from infra.reasoning.problems import problem
from infra.training.config import Seeds
from infra.training.examples import Example
from infra.training.mementos.records import Trace, open_dataset

ROLE = "reasoning"


def trace(made: Problem) -> Example:
    """Balanced by family and level, so that the long ones are not crowded out."""
    messages = [{"role": "user", "content": made.question}]
    thought = [[block.text, block.memento] for block in made.blocks]
    return Example(ROLE, made.family, f"{ROLE}.{made.family}.{made.level}", made.seed, messages, made.closing, thought)


def traces(families: tuple[str, ...], seeds: Seeds, split: Split, parts: Mapping[str, float] | None = None) -> Iterator[Example]:
    """One example of each family for every seed, or for the first of them, as many as `parts` names.

    Raises InvalidInput for an unknown family, or a seed of another split.
    """
    ends = {family: seeds.start + (parts or {}).get(family, 1) * (seeds.stop - seeds.start) for family in families}
    for seed in range(seeds.start, seeds.stop) if families else ():
        if split_of(seed) != split:
            raise InvalidInput(
                f"Trace seed {seed} is not of the {split} split.", hint=f"Its seeds are {SPLITS[split].start} to {SPLITS[split].stop - 1}."
            )
        for family in (name for name in families if seed < ends[name]):
            yield trace(problem(family, seed))


def built(paths: Sequence[Path]) -> Iterator[Example]:
    """Records of `keepsake mementos build`. Raises InvalidInput: no such file, or a record that is none or has no blocks."""
    for number, found in enumerate(open_dataset(paths) if paths else (), 1):
        if not isinstance(found, Trace) or not found.blocks:
            where = f"Record {number} of {', '.join(map(str, paths))}"
            raise InvalidInput(f"{where} has no blocks.", hint="Give mementos with `keepsake mementos build`.")
        source = found.source or "built"
        messages = [{"role": "user", "content": found.problem}]
        yield Example(ROLE, source, f"{ROLE}.{source}", 0, messages, found.answer, [[block.text, block.memento] for block in found.blocks])
