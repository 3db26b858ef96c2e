"""`keepsake serve`: the model server alone, in the foreground. Others of our commands find it; it ends with this process."""

import signal
import time
from types import FrameType

from app.config import Settings
from infra import serving_process
from infra.lock import exclusive
from infra.serving_process import ServerHandle
from infra.stack.stack import Say
from infra.weights.served import Variant

LOOK_S = 0.5


class Ended(Exception):
    """A signal asks this process to end."""


def serve(settings: Settings, variant: Variant, say: Say) -> bool:
    """Serve until a signal comes. False if the server ended by itself; raises what serving_process raises."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise Ended

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    handle = serving_process.start(settings, variant)
    if handle.already_running:
        say(f"{handle.name} is already served at {handle.url} (pid {handle.pid}).")
        return True
    try:
        serving_process.wait_ready(handle, progress=say)
        say(f"{handle.name} is served at {handle.url}; Ctrl-C ends it. Its log: {handle.log}")
        while True:
            while handle.alive:
                time.sleep(LOOK_S)
            after = _successor(settings, variant)
            if after is None:
                break
            handle = after
            say(f"{handle.weights.name} is served now (pid {handle.pid}).")
    except Ended:
        say("Ending the model server.")
        return True
    finally:
        serving_process.stop(settings, variant)
    say(f"The model server has ended:\n{serving_process.log_tail(handle.log)}")
    return False


def _successor(settings: Settings, variant: Variant) -> ServerHandle | None:
    """The server that a promotion has put in the place of one that ended; None when it ended by itself."""
    with exclusive(settings.run_dir / "stack.lock", "The model server is being replaced, waiting."):
        return serving_process.find(settings, variant)
