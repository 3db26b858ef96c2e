"""Our running model server takes up other weights, under the same address and while the app goes on.

Workers start no turn while `switch_lock` is held, so requests in flight come to their end; then the server is stopped and started again on its
port. Its record below `<home>/run` goes over to the new process, so that `keepsake status` and `down` know it.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from app.config import Settings
from app.errors import Conflict
from infra import serving_process
from infra.lock import exclusive
from infra.serving_process import ServerHandle
from infra.stack.process import MARK, Record, new_mark, read_record, record_of
from infra.stack.stack import inherited
from infra.weights.served import build_served

DRAIN_S = 90.0  # a turn of the embedded model takes seconds; whoever asks for longer than this is cut off and asks again
QUIET_S = 0.6  # without a request for so long: a turn that has begun asks again at once
LOOK_S = 0.2
PORT_S = 10.0
_IN_FLIGHT = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^\n]*\})? ([0-9.e+]+)$", re.MULTILINE)

Say = Callable[[str], None]


def switch_model(settings: Settings, say: Say, undo: Callable[[], None], drain_s: float = DRAIN_S) -> bool:
    """Have our production server, if it runs, serve what `build_served` names now. True if it was started anew.

    Raises what infra.serving_process raises when the new server does not come up: then `undo` has been called, the server runs again with what
    `build_served` names after that, and the log of the attempt is kept as `<log>.failed`.
    """
    weights = build_served(settings)
    with exclusive(settings.run_dir / "stack.lock", "Another keepsake command starts or stops services, waiting."):
        running = serving_process.find(settings)
        if running is None or running.weights == weights:
            return False
        with exclusive(settings.switch_lock, "The model server is being replaced already, waiting."):
            record = _record_of(settings, running)
            _drain(running, say, drain_s)
            say("the model server is stopped")
            serving_process.stop(settings)
            try:
                _start(settings, running.port, record, say)
            except BaseException:
                serving_process.stop(settings)
                with contextlib.suppress(OSError):
                    shutil.copyfile(running.log, failed_log(running.log))
                say("it does not come up; what was served before is started again")
                undo()
                _start(settings, running.port, record, say)
                raise
    return True


def failed_log(log: Path) -> Path:
    return log.with_name(f"{log.name}.failed")


def requests_in_flight(handle: ServerHandle) -> int:
    """Requests that the server computes or has queued, as its /metrics tell; 0 where it does not answer."""
    try:
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            text = client.get(handle.url.removesuffix("/v1") + "/metrics").text
    except httpx.HTTPError:
        return 0
    return int(sum(float(value) for value in _IN_FLIGHT.findall(text)))


def _drain(handle: ServerHandle, say: Say, patience_s: float) -> None:
    """Return when the server has been idle for a moment, or after `patience_s`."""
    end = time.monotonic() + patience_s
    idle_since: float | None = None
    told = False
    while time.monotonic() < end:
        now, left = time.monotonic(), requests_in_flight(handle)
        idle_since = (idle_since or now) if not left else None
        if idle_since is not None and now - idle_since >= QUIET_S:
            return
        if left and not told:
            say(f"waiting for requests that are still being answered ({left})")
            told = True
        time.sleep(LOOK_S)
    say(f"there are still requests after {patience_s:.0f} s; they are cut off, and asked again by the runs they belong to")


def _record_of(settings: Settings, running: ServerHandle) -> Record | None:
    """The stack's record of this server; None if another command of ours has started it."""
    record = read_record(settings.run_dir / "model.json")
    return record if record and record.pid == running.pid else None


def _start(settings: Settings, port: int, record: Record | None, say: Say) -> None:
    """Start on `port` and wait until it answers. A record's mark stays the same: what the server leaves behind is found by it in any case."""
    _await_port(port)
    mark = record.mark if record and record.mark else new_mark("model")
    with inherited(MARK, mark):
        handle = serving_process.start(settings, port=port)
    say(f"{handle.weights.name} is loading")

    def keep() -> None:
        if record:
            record_of("model", handle.pid, handle.log, mark, record.address).save(settings.run_dir / "model.json")

    keep()
    serving_process.wait_ready(handle, progress=say)
    keep()  # the launcher has become the server meanwhile


def _await_port(port: int) -> None:
    """A server that was killed with requests open is gone a moment before its sockets are. Raises Conflict when somebody else has the port."""
    end = time.monotonic() + PORT_S
    while True:
        try:
            return serving_process.require_free(port)
        except Conflict:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_S)
