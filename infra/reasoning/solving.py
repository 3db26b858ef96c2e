"""From a question to its solution, one step at a time; the boundary at which a family's own errors become InvalidInput."""

from collections.abc import Sequence

from app.errors import InvalidInput
from infra.reasoning.base import Block, Family

MOST_BLOCKS = 100


def next_step(family: Family, question: str, mementos: Sequence[str]) -> Block | str:
    """The block that follows these mementos, or the answer. Raises InvalidInput for a question or mementos that the family cannot read."""
    try:
        return family.step(question, mementos)
    except (ValueError, LookupError) as error:
        raise InvalidInput(
            f"{family.name} cannot go on from {mementos[-1] if mementos else question!r}.", hint="A memento is wrong or of another family."
        ) from error


def solve(family: Family, question: str) -> tuple[tuple[Block, ...], str]:
    """All blocks and the answer. Raises InvalidInput for a question that is not the family's."""
    blocks: list[Block] = []
    while isinstance(step := next_step(family, question, [block.memento for block in blocks]), Block):
        blocks.append(step)
        if len(blocks) > MOST_BLOCKS:
            raise InvalidInput(f"{family.name} found no answer in {MOST_BLOCKS} blocks.", hint="The question is out of proportion.")
    return tuple(blocks), step
