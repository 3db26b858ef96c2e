"""What training and promotion leave below a home, written by hand: directories of runs, entries of the registry, aliases."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.registry import Aliases, Gate, Version, registry_folder
from app.training import RunManifest, runs_folder


def run(home: Path, name: str = "first-1", metrics: str = "", **changes: Any) -> Path:
    """The directory of a run."""
    folder = runs_folder(home) / name
    folder.mkdir(parents=True)
    about = {
        "status": "finished",
        "name": name,
        "recipe": {"purpose": "a test"},
        "recipe_sha256": "a" * 64,
        "commit": "abc",
        "dirty": False,
        "base": "b" * 64,
        "init": "b" * 64,
        "data": {},
        "device": "a processor",
        "precision": "float32",
        "threads": 2,
        "packages": {},
        "started": "2026-01-02T03:04:05Z",
        "steps": 40,
        "steps_done": 40,
        "tokens": 1000,
        "seconds": 10.0,
    }
    (folder / "manifest.json").write_text(RunManifest.model_validate(about | changes).model_dump_json())
    (folder / "metrics.jsonl").write_text(metrics)
    return folder


@contextmanager
def at_work(folder: Path) -> Iterator[None]:
    """A process that holds the run, as a job does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def steps(*numbers: int, seconds: float = 2.0, tokens: int = 100, **more: float) -> str:
    return "".join(json.dumps({"step": n, "loss": 1 / n, "tokens": n * tokens, "seconds": seconds} | more) + "\n" for n in numbers)


def version(home: Path, name: str, *gates: Gate, **changes: Any) -> Version:
    made = Version(
        version=name,
        run="first",
        recipe="first.yaml",
        base="b" * 64,
        delta="d" * 64,
        rebuilt="e" * 64,
        data_sha256="c" * 64,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        commit="abc",
        gates=list(gates),
        **changes,
    )
    folder = registry_folder(home) / name
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text(made.model_dump_json())
    (folder / "card.md").write_text(f"# {name}\n")
    return made


def point(home: Path, **aliases: str) -> None:
    (registry_folder(home) / "aliases.json").write_text(Aliases(**aliases).model_dump_json())
