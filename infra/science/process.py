"""`infra.science.program` as a process of the training environment; its records as they come. Without torch."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.errors import SetupError
from infra.training.command import CHECKOUT, ENVIRONMENT

Record = dict[str, Any]


async def records(log: Path, *arguments: str, threads: int) -> list[Record]:
    """All records of a program that ran to its end."""
    async with aclosing(stream(log, *arguments, threads=threads)) as found:
        return [record async for record in found]


async def stream(log: Path, *arguments: str, threads: int) -> AsyncGenerator[Record]:
    """Run it; each record once it is written. What else it says goes into `log`. Ended when the generator is closed.

    Raises SetupError where there is no training environment, or with the end of its log when the program failed.
    """
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise SetupError("The training environment is not installed.", hint="Run `make setup-train`.")
    command = [str(python), "-m", "infra.science.program", "--threads", str(threads), *arguments]
    with log.open("w") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=CHECKOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield json.loads(line)
        if await process.wait():
            end = log.read_text()[-2000:]
            raise SetupError(f"infra.science.program ended with status {process.returncode}:\n{end}", hint=f"The whole log is in {log}.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
