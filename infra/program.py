"""A program of ours in a Python environment of its own, which writes one JSON line a record; without what that environment holds."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from app.errors import ToolError

CHECKOUT = Path(__file__).resolve().parents[1]
_TAIL = 2000  # characters of the log that an error shows

Record = dict[str, Any]


async def stream(
    python: Path, module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Record]:
    """Run it; each record once it is written. What else it says goes into `log`. Ended when the generator is closed.

    Raises ToolError with the end of its log when the program failed.
    """
    with log.open("w") as errors:
        process = await asyncio.create_subprocess_exec(
            str(python),
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})},
            limit=2**24,
        )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            yield json.loads(line)
        if await process.wait():
            end = log.read_text(errors="replace")[-_TAIL:]
            raise ToolError(f"{module} ended with status {process.returncode}:\n{end}", hint=f"The whole log is in {log}.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
