"""Problems of infra.reasoning as records: their solver wrote blocks and mementos, and its own exact check stands behind them."""

from typing import Any

from infra.reasoning import check
from infra.reasoning.base import Block, Problem, split_of
from infra.reasoning.families import FAMILIES
from infra.reasoning.problems import problem
from infra.training.mementos.records import Trace

SOURCE = "infra.reasoning."


def solved_record(family: str, seed: int, level: int | None = None) -> dict[str, Any]:
    """A problem as a record that `records.read_trace` takes. Raises InvalidInput for an unknown family, seed or level."""
    made = problem(family, seed, level)
    blocks = [{"text": block.text, "memento": block.memento} for block in made.blocks]
    return {
        "id": f"{family}-{made.level}-{seed}",
        "problem": made.question,
        "blocks": blocks,
        "answer": made.closing,
        "source": SOURCE + family,
    }


def is_ours(trace: Trace) -> bool:
    return bool(trace.blocks) and trace.source.removeprefix(SOURCE) in FAMILIES and trace.source.startswith(SOURCE)


def solver_faults(trace: Trace) -> tuple[str, ...]:
    """What the solver's check finds in one of its traces: every step and the answer, worked out anew from the question."""
    answer = check.extract(trace.answer)
    if answer is None:
        return ("the answer is not of the form `answer: ...`",)
    blocks = tuple(Block(block.text, block.memento) for block in trace.blocks)
    return check.faults(Problem(trace.source.removeprefix(SOURCE), 0, split_of(0), 1, trace.problem, blocks, answer))
