"""The worker process: takes segments off the queue, sees that no run is left behind, and tells that it lives."""

import asyncio
import contextlib
import fcntl
import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.config import Settings
from app.errors import SetupError, StorageError
from backend.engine import VERSION, Engine, SegmentServer
from backend.model_state import model_state
from backend.segment import Patience, RunTeam, Segments, TeamFactory
from backend.store import Store

LOOK_S = 0.2  # how often the table is asked for queued runs: it is the outbox of the API, which never talks to DBOS for a run
SWEEP_S = 2.0  # how often live runs are compared with their segments
ASK_S = 5.0  # how often the model endpoint is asked whether it is there
GRACE_S = 8.0

log = logging.getLogger("keepsake.worker")


def import_house_team() -> None:
    """AutoGen takes seconds to import; better before the first run than in it."""
    import agents.team  # noqa: F401


def house_team(settings: Settings, **parts: Any) -> RunTeam:
    """The team of agents.team."""
    from agents.team import open_team

    return open_team(settings, **parts)


class Worker:
    """One worker. `run` returns when `stop` is set; a second worker of the same id on this machine is refused."""

    def __init__(
        self, settings: Settings, open_team: TeamFactory = house_team, patience: Patience | None = None, store: Store | None = None
    ) -> None:
        """`store` is given by an API in the same process, whose streams then wake up at once."""
        self.settings = settings
        self._open_team = open_team
        self.store = store or Store(settings)
        self.engine = Engine(settings)
        self.segments = Segments(settings, self.store, open_team, patience)
        self.server = SegmentServer(settings, self.segments)
        self._model: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Raises SetupError when a worker of this id runs already, StorageError when a database does not answer at start."""
        with _only_one(self.settings.data_dir / f"worker-{self.settings.worker_id}.lock", self.settings.worker_id):
            await self.store.open()
            await self._forget_deleted()
            if self._open_team is house_team:
                await asyncio.to_thread(import_house_team)
            await self.store.workers.seen(self.settings.worker_id)
            await self.server.start()
            log.info("worker %s is ready, %d slots", self.settings.worker_id, self.settings.worker_slots)
            watch = asyncio.create_task(self._watch_model())
            try:
                await self._look_after(stop)
            finally:
                watch.cancel()
                await self._shut_down()

    async def _look_after(self, stop: asyncio.Event) -> None:
        submitted: set[tuple[str, int]] = set()
        swept = 0.0
        while not stop.is_set():
            try:
                if time.monotonic() - swept >= SWEEP_S:
                    swept = time.monotonic()
                    submitted.clear()
                    await self.store.workers.seen(self.settings.worker_id, self._model)
                    await self._sweep()
                for run_id, segment in await self.store.turns.live(queued_only=True):
                    if (run_id, segment) not in submitted:
                        await self.engine.submit(run_id, segment)
                        submitted.add((run_id, segment))
            except StorageError as error:
                log.warning("%s", error.message)
                await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await stop.wait()

    async def _watch_model(self) -> None:
        """Beside the loop above: an endpoint that hangs must hold nothing up. A team that is not the house's brings its own model."""
        async with httpx.AsyncClient() as client:
            while self._open_team is house_team:
                self._model = await model_state(client, self.settings)
                await asyncio.sleep(ASK_S)

    async def _sweep(self) -> None:
        """Every run that wants to be worked on has a segment that lives, whatever was killed between two databases; what returned is dropped."""
        returned = {f"{run_id}:{segment}": (run_id, segment) for run_id, segment in self.segments.returned}
        if returned:
            self.segments.returned -= {returned[i] for i in await self.engine.drop(returned)}
        live = {f"{run_id}:{segment}": (run_id, segment) for run_id, segment in await self.store.turns.live()}
        if not live:
            return
        known = await self.engine.segments(live)
        workers = await self.store.workers.alive()
        for workflow_id, (run_id, segment) in live.items():
            found = known.get(workflow_id)
            if found is None:
                await self.engine.submit(run_id, segment)
            elif found.ended or found.version != VERSION:
                log.warning("run %s: segment %d is %s in version %s, its run goes on", run_id, segment, found.status, found.version)
                await self.store.turns.restart(run_id, segment)
            elif found.status == "PENDING" and found.executor not in workers:
                log.warning("run %s: worker %s is gone, taking its run over", run_id, found.executor)
                await self.engine.take_over(workflow_id)

    async def _forget_deleted(self) -> None:
        """Remove steps and workspaces of runs that were deleted while no worker could let go of them."""
        segments = await self.engine.runs()
        folders = {f.name for f in self.segments.workspaces.root.glob("run_*")}
        known = await self.store.turns.run_ids()  # last: a run that another worker began meanwhile is no deleted one
        await self.engine.forget(segments - known)
        for run_id in folders - known:
            await asyncio.to_thread(self.segments.workspaces.remove, run_id)

    async def _shut_down(self) -> None:
        await self.segments.stop(GRACE_S)
        await self.server.stop()
        await self.segments.end()
        with contextlib.suppress(StorageError):  # it will be seen as gone in 15 seconds anyway
            await self.store.workers.gone(self.settings.worker_id)
        await self.engine.close()
        await self.store.close()
        log.info("worker %s has stopped", self.settings.worker_id)


@contextmanager
def _only_one(path: Path, worker_id: str) -> Generator[None]:
    """Hold the worker's name on this machine; a kill releases it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(
                f"A worker called `{worker_id}` runs already.", hint="Stop it, or give this one another KEEPSAKE_WORKER_ID."
            ) from None
        yield
