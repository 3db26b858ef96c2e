"""The model server as a process of this machine: start, wait until it answers, look, stop. Standard library, httpx and `app` only.

    handle = start(settings)                        # returns at once; the server loads in the background
    wait_ready(handle, progress=print)              # 40 s on two idle cores; raises with the log's tail if the server dies
    find(settings, "production"), answers(handle), stop(settings, "production")

The server outlives the process that started it. `<home>/run/model-<variant>.json` says who it is, `<log_dir>/model-<variant>.log` what it says.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
from pydantic import BaseModel, Field, ValidationError

from app.config import Settings
from app.errors import Conflict, ModelTimeout, ModelUnavailable
from infra.serving_env import ensure_serving_env
from infra.weights.served import Variant, build_served, served_name, server_options

READY_S = 600.0  # two busy cores took 121 s, a first compilation takes minutes
STOP_S = 15.0

# What the server's log says on its way up, in order.
STAGES = (
    ("Initializing a V1 LLM engine", "engine starts"),
    ("Starting to load model", "weights load"),
    ("Loading weights took", "weights loaded"),
    ("Compiling a graph", "graph compiles, a few minutes the first time"),
    ("GPU KV cache size", "cache allocated"),
    ("Application startup complete", "answers"),
)


class ServerHandle(BaseModel):
    """A model server that was started here. `clock` tells its process from a later one with the same pid."""

    variant: Variant
    name: str = Field(description="Name of the served model.")
    url: str = Field(description="OpenAI-compatible base URL, ending in /v1.")
    pid: int
    clock: int = Field(description="The process's start time in ticks since boot (/proc/PID/stat, field 22).")
    port: int
    weights: Path
    log: Path
    already_running: bool = Field(False, exclude=True)

    @property
    def alive(self) -> bool:
        """Whether its process still runs (it may yet be loading)."""
        return _clock(self.pid) == self.clock


def start(settings: Settings, variant: Variant = "production", port: int | None = None, extra: tuple[str, ...] = ()) -> ServerHandle:
    """Start the server on loopback and return at once; environment and weights are built first if they are missing (minutes, on stderr).

    `port`: default `model_port`. `extra`: further options of keepsake_vllm.launch. If this variant already runs on that port, its handle comes
    back with `already_running`. Raises Conflict if it runs elsewhere or the port is taken, SetupError if something cannot be built.
    """
    port = port or settings.model_port
    weights = build_served(settings, variant)
    running = find(settings, variant)
    if running and (running.port, running.weights) == (port, weights):
        return running.model_copy(update={"already_running": True})
    if running:
        raise Conflict(
            f"The {variant} model server already runs on port {running.port} with {running.weights.name}.",
            hint="Stop it first (`keepsake down`).",
        )
    require_free(port)
    python = ensure_serving_env(settings)
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    log = settings.log_dir / f"model-{variant}.log"
    name = served_name(settings, variant)
    options = [*server_options(settings, variant), "--session-dir", str(settings.home / "sessions" / variant), *extra]
    command = [str(python), "-m", "keepsake_vllm.launch", "--model", str(weights), "--name", name, "--port", str(port), *options]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=settings.home, start_new_session=True
        )
    handle = ServerHandle(
        variant=variant,
        name=name,
        url=f"http://127.0.0.1:{port}/v1",
        pid=process.pid,
        clock=_clock(process.pid) or 0,
        port=port,
        weights=weights,
        log=log,
    )
    path = _record(settings, variant)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(handle.model_dump_json())
    return handle


def wait_ready(handle: ServerHandle, progress: Callable[[str], None] | None = None, timeout_s: float = READY_S) -> None:
    """Return once the server has answered a first constrained request under its model's name; `progress` gets each stage once.

    Raises ModelUnavailable with the log's tail if it dies while loading, ModelTimeout after `timeout_s` (it goes on loading).
    """
    deadline, told = time.monotonic() + timeout_s, 0
    while time.monotonic() < deadline:
        alive, ready = handle.alive, answers(handle)
        if progress:
            said = handle.log.read_text(errors="replace") if handle.log.exists() else ""
            for index, (mark, stage) in enumerate(STAGES[told:], start=told):
                if mark in said:
                    progress(stage)
                    told = index + 1
        if ready and alive:
            warm_up(handle, deadline - time.monotonic())
            return
        if not alive:
            raise ModelUnavailable(
                f"The model server stopped while it was loading:\n{log_tail(handle.log)}",
                hint=f"The whole log is in {handle.log}; `keepsake doctor` checks memory and disk.",
            )
        time.sleep(0.5)
    raise ModelTimeout(f"The model server is not ready after {timeout_s:.0f} s.", hint=f"It is still loading; its log is {handle.log}.")


def answers(handle: ServerHandle, timeout_s: float = 2.0) -> bool:
    """Health check: the engine is well and the port serves this very model."""
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client:
            healthy = client.get(handle.url.removesuffix("/v1") + "/health").status_code == 200
            models = client.get(f"{handle.url}/models").json() if healthy else {"data": []}
    except (httpx.HTTPError, json.JSONDecodeError):
        return False
    return any(model.get("id") == handle.name for model in models.get("data", []))


def warm_up(handle: ServerHandle, timeout_s: float = 120.0) -> None:
    """One constrained request: the grammar machinery loads on first use, which would count against the first real call's time limit.

    Part of `wait_ready`; for callers with a wait of their own. Raises ModelTimeout, ModelUnavailable.
    """
    body = {
        "model": handle.name,
        "messages": [{"role": "user", "content": "Say ok."}],
        "max_tokens": 4,
        "structured_outputs": {"choice": ["ok"]},
    }
    try:
        with httpx.Client(timeout=max(5.0, timeout_s), trust_env=False) as client:
            client.post(f"{handle.url}/chat/completions", json=body).raise_for_status()
    except httpx.TimeoutException as error:
        raise ModelTimeout("The model server does not answer a first request in time.", hint=f"Its log is {handle.log}.") from error
    except httpx.HTTPError as error:
        raise ModelUnavailable(
            f"The model server failed at its first request ({error}):\n{log_tail(handle.log)}", hint=f"The whole log is in {handle.log}."
        ) from error


def find(settings: Settings, variant: Variant = "production") -> ServerHandle | None:
    """The running server of this variant, ready or still loading; None if there is none. A stale record is removed."""
    path = _record(settings, variant)
    try:
        handle = ServerHandle.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None
    if handle.alive:
        return handle
    path.unlink(missing_ok=True)
    return None


def stop(settings: Settings, variant: Variant = "production", timeout_s: float = STOP_S) -> bool:
    """End the server and its worker processes, gently and then by force. True if one was running."""
    handle = find(settings, variant)
    if handle is None:
        return False
    _signal(handle, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while handle.alive and time.monotonic() < deadline:
        time.sleep(0.1)
    _signal(handle, signal.SIGKILL)  # what is left of its session: a worker can outlive a server that had to hurry
    while handle.alive:
        time.sleep(0.05)
    _record(settings, variant).unlink(missing_ok=True)
    return True


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, those that name an error first if there are any among the last two hundred."""
    try:
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-200:]
    except OSError:
        return "(no log)"
    errors = [line for line in last[:-lines] if "Error" in line or "error:" in line]
    return "\n".join([*errors[-5:], *last[-lines:]])


def require_free(port: int) -> None:
    """Conflict if another program listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Conflict(
                f"Port {port} is taken by another program.", hint="Stop that program, or set KEEPSAKE_MODEL_PORT to a free port."
            ) from error


def _record(settings: Settings, variant: Variant) -> Path:
    return settings.home / "run" / f"model-{variant}.json"


def _clock(pid: int) -> int | None:
    """Start time of a live process in ticks since boot; None if there is none or it is a zombie."""
    with suppress(ChildProcessError):  # our own child: take its exit status, so that it does not stay a zombie
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _signal(handle: ServerHandle, number: signal.Signals) -> None:
    """To the server's whole session: it was started as the leader of its own."""
    try:
        os.killpg(handle.pid, number)
    except ProcessLookupError:
        return
