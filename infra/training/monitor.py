"""Where a run says how it goes: metrics.jsonl for programs, a bar on stderr for a person, a line now and then where stderr is no terminal."""

import json
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_SECONDS = 30.0
WINDOW = 20  # steps that rate and loss are averaged over


class Metrics:
    """Append-only JSON lines, each with a `step`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def rewind(self, step: int) -> None:
        """Forget what came after `step`: it will be done again."""
        if not self.path.is_file():
            return
        lines = [
            line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n") and json.loads(line)["step"] <= step
        ]
        partial = self.path.with_name(f"{self.path.name}.partial")
        partial.write_text("".join(lines))
        partial.replace(self.path)


class Monitor:
    """Progress of one phase: tokens a second, time left, loss."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self.label = label
        self.total = total
        self.done = done
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn(label), BarColumn(), TextColumn("{task.completed}/{task.total} {task.fields[note]}"), console=self._console
        )
        self._task = self._bar.add_task(label, total=total, completed=done, note="")
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=WINDOW)  # seconds, tokens, loss of a step
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bar.stop()
        elif self.done:
            self.say(self.line())

    @property
    def tokens_per_s(self) -> float:
        seconds = sum(s for s, _, _ in self._recent)
        return sum(t for _, t, _ in self._recent) / seconds if seconds else 0.0

    def line(self) -> str:
        """Progress in one line."""
        if not self._recent:
            return f"{self.label} {self.done}/{self.total}"
        seconds = sum(s for s, _, _ in self._recent) / len(self._recent)
        loss = sum(x for _, _, x in self._recent) / len(self._recent)
        return f"{self.label} {self.done}/{self.total} {self._note(seconds, loss)}"

    def step(self, seconds: float, tokens: int, loss: float) -> None:
        """One training step is done."""
        self._recent.append((seconds, tokens, loss))
        self.advance()

    def advance(self, n: int = 1) -> None:
        self.done += n
        if self._console.is_terminal:
            recent = len(self._recent) or 1
            note = (
                self._note(sum(s for s, _, _ in self._recent) / recent, sum(x for _, _, x in self._recent) / recent) if self._recent else ""
            )
            self._bar.update(self._task, completed=self.done, note=note)
        elif time.monotonic() - self._said > LINE_SECONDS:
            self.say(self.line())
            self._said = time.monotonic()

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _note(self, seconds: float, loss: float) -> str:
        left = int(seconds * (self.total - self.done))
        return f"loss {loss:.3f}, {self.tokens_per_s:.0f} tokens/s, {left // 3600}:{left % 3600 // 60:02}:{left % 60:02} left"
