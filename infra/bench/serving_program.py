"""Programs of `keepsake_vllm.bench` as processes of the serving environment, with the plugin or without it."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import ModelTimeout, ModelUnavailable
from infra.serving_process import log_tail

# vLLM loads the plugins of this list only; this one does not exist.
WITHOUT_PLUGIN = {"VLLM_PLUGINS": "none_of_keepsake"}
LIMIT_S = 3600.0
END_S = 60.0


@dataclass(frozen=True)
class Programs:
    """Where they run: interpreter, folder for what they write, model that they load."""

    python: Path
    folder: Path
    model: Path

    def stats(self, name: str) -> Path:
        """Where the plugin writes down the steps of a run; it does not exist after one without the plugin."""
        return self.folder / f"{name}.stats"

    def run(self, module: str, name: str, plugin: bool = True, **arguments: Any) -> list[dict[str, Any]]:
        """Run one to its end and return its lines. Raises ModelUnavailable with the end of its log."""
        with Running(self, module, name, plugin, arguments) as running:
            running.wait()
        return running.lines()


class Running:
    """A program that runs, as a session of its own, so that its engine and worker can be halted or ended with it."""

    def __init__(self, programs: Programs, module: str, name: str, plugin: bool, arguments: Mapping[str, Any]) -> None:
        self.name, self.stats = name, programs.stats(name)
        self.out, self.log = programs.folder / f"{name}.jsonl", programs.folder / f"{name}.log"
        paths = {"out": self.out, "stats": self.stats} if module != "reference" else {"out": self.out}
        if module != "aborts":
            paths["model"] = programs.model
        for stale in (self.out, self.stats, Path(f"{self.stats}.worker")):
            stale.unlink(missing_ok=True)
        command = [str(programs.python), "-m", f"keepsake_vllm.bench.{module}"]
        for key, value in {**paths, **arguments}.items():
            command += [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=programs.folder,
                env={**os.environ, **({} if plugin else WITHOUT_PLUGIN)},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End it: by closing its input, then by force."""
        self.resume()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(0 if kind else END_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def wait(self, timeout_s: float = LIMIT_S) -> None:
        """Return once it has ended well. Raises ModelUnavailable, ModelTimeout."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ModelTimeout(f"`{self.name}` has not ended after {timeout_s:.0f} s.", hint=f"Its log is {self.log}.") from error
        if status:
            self._fail(f"ended with status {status}")

    def wait_lines(self, count: int, timeout_s: float = LIMIT_S) -> list[dict[str, Any]]:
        """Its lines, once there are at least `count`. Raises ModelUnavailable, ModelTimeout."""
        deadline = time.monotonic() + timeout_s
        while len(self.lines()) < count:
            if self.process.poll() is not None:
                self._fail("ended early")
            if time.monotonic() > deadline:
                raise ModelTimeout(f"`{self.name}` is silent for {timeout_s:.0f} s.", hint=f"Its log is {self.log}.")
            time.sleep(0.05)
        return self.lines()

    def lines(self) -> list[dict[str, Any]]:
        """What it has written so far."""
        if not self.out.exists():
            return []
        return [json.loads(line) for line in self.out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def pause(self) -> None:
        """Halt all its processes: an idle engine still polls."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _fail(self, how: str) -> None:
        raise ModelUnavailable(f"`{self.name}` {how}:\n{log_tail(self.log)}", hint=f"The whole log is in {self.log}.")
