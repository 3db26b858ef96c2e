"""`infra.science.program` in the training environment; its records as they come. Without torch."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from infra import program
from infra.program import Record
from infra.training.command import training_python


async def records(log: Path, *arguments: str, threads: int) -> list[Record]:
    """All records of a program that ran to its end."""
    async with aclosing(stream(log, *arguments, threads=threads)) as found:
        return [record async for record in found]


def stream(log: Path, *arguments: str, threads: int) -> AsyncGenerator[Record]:
    """Run it; see infra.program.stream. Raises SetupError where there is no training environment."""
    return program.stream(
        training_python(),
        "infra.science.program",
        *("--threads", str(threads), *arguments),
        log=log,
        environment={"OMP_NUM_THREADS": str(threads)},
    )
