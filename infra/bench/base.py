"""What a bench is: a function from a context to figures. It shows progress, keeps finished items, and is deterministic by seed."""

import json
import platform
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.config import Settings
from infra.bench.figure import Figure

Split = Literal["train", "dev", "eval"]
Bench = Callable[["BenchContext"], Coroutine[Any, Any, dict[str, Figure]]]


@dataclass
class BenchContext:
    """Settings of one bench run. `n` is None for the bench's own default."""

    settings: Settings
    name: str
    split: Split
    n: int | None
    seed: int
    resume: bool
    progress: Progress
    options: dict[str, str]

    @property
    def folder(self) -> Path:
        """Where finished items are kept; one folder per bench, split and seed."""
        folder = self.settings.home / "bench" / f"{self.name}-{self.split}-{self.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def items(self, part: str) -> "ItemLog":
        """Finished items of a part, kept over runs when `--resume` is given."""
        return ItemLog(self.folder / f"{part}.jsonl", keep=self.resume)

    def track(self, label: str, total: int) -> Callable[[], None]:
        """A progress bar on stderr; call the result once per finished item."""
        task = self.progress.add_task(label, total=total)
        return lambda: self.progress.advance(task)


class ItemLog:
    """Append-only JSON lines of finished items by key: what `--resume` skips. Items of another commit are kept, and said so in `commit`."""

    def __init__(self, path: Path, keep: bool) -> None:
        self.path = path
        self.done: dict[str, dict[str, Any]] = {}
        if keep and path.exists():
            for line in path.read_text().splitlines():
                item = json.loads(line)
                self.done[item["key"]] = item
        else:
            path.unlink(missing_ok=True)

    def add(self, key: str, item: dict[str, Any]) -> dict[str, Any]:
        item = {"key": key, **item}
        with self.path.open("a") as stream:
            stream.write(json.dumps(item, ensure_ascii=False) + "\n")
        self.done[key] = item
        return item


def progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def commit() -> str:
    """Short commit of the checkout this runs from, `+` for uncommitted changes, `unknown` outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    try:
        head = subprocess.run(
            ["git", "-C", root, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(["git", "-C", root, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if dirty else "")


def device() -> str:
    """Processor and core count, in words."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else model}, {max(1, len(names))} cores"
