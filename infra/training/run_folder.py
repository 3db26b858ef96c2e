"""The directory of one run, `<home>/training/runs/<recipe>-<hash8>`: made once, worked in by one process at a time, taken up again by resume."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

import yaml

from app.config import Settings
from app.errors import Conflict, NotFound
from infra.training.config import Recipe
from infra.training.manifest import RunManifest, read_run_manifest


class RunFolder:
    """Names of what a run leaves behind."""

    def __init__(self, settings: Settings, recipe: Recipe) -> None:
        self.path = settings.home / "training" / "runs" / recipe.run_name
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.tuned = self.path / "tuned"
        self.rebuilt = self.path / "rebuilt"
        self.delta = self.path / f"{recipe.run_name}.safetensors"
        self.evaluation = self.path / "evaluation"

    @contextmanager
    def opened(self, recipe: Recipe, resume: bool) -> Iterator[RunManifest | None]:
        """Hold the directory; gives the manifest of earlier attempts, None if there is none yet.

        Raises Conflict when the run exists and is not to be resumed, or another process works in it; NotFound when there is none to resume.
        """
        name = self.path.name
        if resume and not self.path.is_dir():
            raise NotFound(f"There is no run {name} to resume.", hint="Recipe and overrides together name a run; `run` starts it.")
        if not resume and self.path.is_dir():
            raise Conflict(f"There is a run {name} already.", hint=f"`keepsake train resume` goes on with it; or remove {self.path}")
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(f"Another process works on {name}.", hint="Wait for it, or stop it first.") from error
            (self.path / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
            yield read_run_manifest(self.path)


class Stopped(Exception):
    """A person or the system asked the run to end here; it can be resumed."""


class StopSignal:
    """`with StopSignal() as stop:` turns SIGTERM and SIGINT into `stop.wanted`; a second SIGINT ends the process as usual."""

    def __init__(self) -> None:
        self.wanted = False

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self.wanted:
            raise Stopped

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's own signature
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True
