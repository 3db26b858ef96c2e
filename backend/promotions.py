"""Promotions and rollbacks that the API starts: the command of `keepsake train` as a process of its own. What it does and how it goes stands in
the registry's files, as when a person starts it; a restart of the API does not end it.
"""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime

from app.config import Settings
from app.errors import Conflict, SetupError
from app.registry import Promotion, PromotionStatus, RegistryView, read_registry

COMMAND = (sys.executable, "-m", "app.cli", "train")
MARK = "KEEPSAKE_MARK"  # by which `keepsake down` finds what belongs to the API: this does not


class Promotions:
    """One at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = settings.log_dir / "promotion.log"
        self._lock = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started: Promotion | None = None

    async def view(self) -> RegistryView:
        """The registry, with the promotion that this API has started even before it writes of itself. Raises StorageError."""
        view = await asyncio.to_thread(read_registry, self.settings.home)
        return view.model_copy(update={"promotion": self._newest(view.promotion)})

    async def promote(self, version: str) -> Promotion:
        """Raises Conflict while another promotion is under way, SetupError when the command cannot be run."""
        async with self._lock:
            await self._require_rest()
            return await asyncio.to_thread(self._start, Promotion(verb="promote", version=version, **_now()))

    async def rollback(self) -> Promotion:
        """Back to the previous version. Raises Conflict when there is none, or while another promotion is under way."""
        async with self._lock:
            aliases = (await self._require_rest()).aliases
            if aliases.previous is None:
                raise Conflict("There is no previous version to go back to.", hint="A promotion makes one.")
            # Named, so that a request that comes twice does not go there and back.
            return await asyncio.to_thread(self._start, Promotion(verb="rollback", version=aliases.previous, **_now()))

    async def _require_rest(self) -> RegistryView:
        view = await self.view()
        if view.promotion and view.promotion.status == PromotionStatus.RUNNING:
            raise Conflict(f"The {view.promotion.verb} of {view.promotion.version} is under way.", hint="Wait until it has ended.")
        return view

    def _start(self, promotion: Promotion) -> Promotion:
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*COMMAND, promotion.verb, promotion.version],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment | {"KEEPSAKE_HOME": str(self.settings.home.absolute())},
                    start_new_session=True,
                )
        except OSError as error:
            raise SetupError(f"The promotion could not be started: {error.strerror}.", hint=f"Look at {self._log}.") from error
        self._started = promotion
        return promotion

    def _newest(self, written: Promotion | None) -> Promotion | None:
        """What the command has written of itself, or what is known from outside while it has not."""
        ours, process = self._started, self._process
        if ours is None or process is None or (written is not None and written.started >= ours.started):
            return written
        ended = process.poll()
        if ended is None:
            return ours
        if ended == 0:
            return ours.model_copy(update={"status": PromotionStatus.DONE, "message": self._last_line(), "ended": datetime.now(UTC)})
        hint = f"The whole output is in {self._log}."
        return ours.model_copy(update={"status": PromotionStatus.FAILED, "message": self._last_line(), "hint": hint})

    def _last_line(self) -> str:
        try:
            lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            return ""
        return "\n".join(lines[-3:])[:1000]


def _now() -> dict:
    return {"status": PromotionStatus.RUNNING, "message": "starting", "started": datetime.now(UTC)}
