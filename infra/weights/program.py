"""A module of ours, run by the interpreter that has torch. What it says of its progress passes through; its error comes back typed."""

import subprocess
import sys
from pathlib import Path

from app import errors
from app.config import Settings
from app.errors import KeepsakeError, SetupError
from infra.serving_env import ensure_serving_env

PROGRESS = ("base weights: ", "weights ")  # how lines begin that are for a person


def run_program(settings: Settings, python: Path | None, module: str, *arguments: str | Path) -> None:
    """Run `module`. `python`: by default the serving environment's, itself built if need be.

    Raises the error that the program reported with `report`, SetupError where it died without one.
    """
    interpreter = python or ensure_serving_env(settings)
    command = [str(interpreter), "-m", module, *map(str, arguments)]
    said: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            if line.startswith(PROGRESS):
                sys.stderr.write(line)
                sys.stderr.flush()
    if process.returncode:
        found = {key: text for key, _, text in (line.partition(": ") for line in said) if key in {"error", "hint", "kind"}}
        last = next((line for line in reversed(said) if line), f"exit status {process.returncode}")
        kind = getattr(errors, found.get("kind", ""), SetupError)
        raise kind(found.get("error", f"{module} failed: {last}"), hint=found.get("hint", "Run `keepsake doctor`."))


def report(error: KeepsakeError) -> int:
    """Say an error as `run_program` reads it; returns the exit status."""
    sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\nkind: {type(error).__name__}\n")
    return 1
