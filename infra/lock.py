"""One process at a time builds an environment or a set of weights, and both look for room on the disk first."""

import fcntl
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from app.errors import SetupError


@contextmanager
def exclusive(path: Path, waiting: str) -> Generator[None, None, None]:
    """Hold the lock file `path`; says `waiting` on stderr once if another process has it. The kernel frees it when a process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(waiting + "\n")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def require_disk(directory: Path, needed: int, purpose: str) -> None:
    """SetupError unless `needed` bytes are free where `directory` is or will be."""
    existing = next(p for p in (directory, *directory.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise SetupError(
            f"{purpose} needs {needed / 1e9:.1f} GB of disk at {existing}, {free / 1e9:.1f} GB are free.",
            hint="Free some space, or set KEEPSAKE_HOME to a directory on another disk.",
        )
