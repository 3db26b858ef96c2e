"""A model server of a bench's own: chosen weights, a free port, statistics of every engine step, gone when the bench is done with it."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.errors import ModelTimeout, ModelUnavailable
from infra.serving_process import log_tail

READY_S = 600.0
END_S = 20.0
NAME = "bench"


@dataclass(frozen=True)
class ModelProcess:
    """Where it answers (ending in /v1), and the file to which its engine writes a JSON line a step."""

    url: str
    stats: Path


@contextmanager
def model_process(python: Path, weights: Path, folder: Path, label: str, *options: str) -> Generator[ModelProcess]:
    """A server with the plugin while it is needed; it serves the model as NAME. `options`: further ones of vLLM.

    Raises ModelUnavailable with the end of its log if it dies while loading, ModelTimeout.
    """
    port, log, stats = free_port(), folder / f"{label}.log", folder / f"{label}.stats"
    stats.unlink(missing_ok=True)
    memento = {"enabled": True, "stats": str(stats), "session_dir": str(folder / f"{label}-sessions")}
    command = [str(python), "-m", "keepsake_vllm.launch", "--model", str(weights), "--name", NAME, "--port", str(port), "--memento", "on"]
    command += ["--cache-gib", "4", "--", "--additional-config", json.dumps({"memento": memento}), *options]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}", log)
        yield ModelProcess(f"http://127.0.0.1:{port}/v1", stats)
    finally:
        _end(process)


def steps(stats: Path) -> list[dict[str, Any]]:
    """What the engine wrote of its steps."""
    return [json.loads(line) for line in stats.read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ModelUnavailable(f"The bench's model server ended:\n{log_tail(log)}", hint=f"The whole log is in {log}.")
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise ModelTimeout(f"The bench's model server does not answer after {READY_S:.0f} s.", hint=f"Its log is {log}.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The engine and its worker are processes of the server's session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(END_S)
            return
        except subprocess.TimeoutExpired:
            continue
