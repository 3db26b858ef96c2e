"""Durable runs on DBOS: a *segment* is one workflow, a turn is one of its steps.

A segment is a loop of turns until the run waits, is paused or ends; then the workflow returns, so nothing ever waits inside one. What wakes a
run enqueues the next segment under the id `<run>:<number>`, so that enqueueing it twice is harmless. What DBOS stores are run ids and turn
numbers; everything else is the store's, and the store's compare-and-set decides what a repeated step may still write.

Facts of DBOS 3.4 this rests on: recovery takes up PENDING workflows of the same executor id and application version, so both are fixed by hand;
steps run at least once; workflow code between steps runs again.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from dbos import DBOS, DBOSClient, DBOSConfig

from app.config import Settings
from app.errors import StorageError
from backend.database import durable_url

APPLICATION = "keepsake"
VERSION = "1"  # bump when recorded steps of an older release can no longer be replayed
QUEUE = "segments"
WORKFLOW = "segment"
ENDED = {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}

log = logging.getLogger("keepsake.engine")


class SegmentRunner(Protocol):
    """What carries the turns out. Turn numbers count from 0; None says that the segment has nothing more to do."""

    async def first_turn(self, run_id: str, segment: int) -> int | None: ...

    async def take_turn(self, run_id: str, segment: int, turn: int) -> int | None: ...

    async def leave(self, run_id: str, segment: int) -> None: ...


@dataclass(frozen=True)
class SegmentStatus:
    """What DBOS says of a segment: its status, the executor that has or had it, the application version it was enqueued under."""

    status: str
    executor: str
    version: str

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Engine:
    """Asks for segments and looks after them, from any process. Every method raises StorageError when DBOS's database does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._url = durable_url(settings)
        self._client: DBOSClient | None = None
        self._opening = asyncio.Lock()

    async def submit(self, run_id: str, segment: int) -> None:
        """Enqueue a segment; one that is there already stays as it is."""
        options: Any = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": f"{run_id}:{segment}",
            "app_version": VERSION,
            "application_name": APPLICATION,
        }
        await self._call("enqueue", options, run_id, segment)

    async def segments(self, ids: Iterable[str]) -> dict[str, SegmentStatus]:
        """Status of the workflows among `ids` that exist."""
        rows = await self._call("list_workflows", workflow_ids=list(ids), load_input=False, load_output=False)
        return {row.workflow_id: SegmentStatus(row.status, row.executor_id or "", row.app_version or "") for row in rows}

    async def drop(self, ids: Collection[str]) -> set[str]:
        """Delete segments that have returned, with their steps: nobody needs them any more. Returns those that are gone."""
        known = await self.segments(ids)
        ended = [i for i in known if known[i].ended]
        if ended:
            await self._call("delete_workflows", ended)
        return set(ended) | (set(ids) - known.keys())

    async def take_over(self, workflow_id: str) -> None:
        """Give a segment of a dead worker back to the queue."""
        await self._call("resume_workflow", workflow_id, queue_name=QUEUE)

    async def forget(self, run_ids: Iterable[str], working: Collection[str] = ()) -> set[str]:
        """Delete all segments of these runs, with their steps; returns the runs of which nothing is left. A segment that one of the `working`
        executors has in hand stays: it would write steps after its rows are gone."""
        forgotten = set()
        for run_id in run_ids:
            rows = await self._call("list_workflows", workflow_id_prefix=f"{run_id}:", load_input=False, load_output=False)
            loose = [row.workflow_id for row in rows if row.status != "PENDING" or row.executor_id not in working]
            if loose:
                await self._call("delete_workflows", loose)
            if len(loose) == len(rows):
                forgotten.add(run_id)
        return forgotten

    async def runs(self) -> set[str]:
        """Ids of all runs that have a segment here."""
        rows = await self._call("list_workflows", name=WORKFLOW, load_input=False, load_output=False)
        return {row.workflow_id.rpartition(":")[0] for row in rows}

    async def ping(self) -> None:
        await self._call("check_connection")

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await asyncio.to_thread(client.destroy)

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """One call of the client, in a thread; whatever it raises, the steps' database is the place where it went wrong."""
        try:
            async with self._opening:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._connect)
            return await asyncio.to_thread(getattr(self._client, method), *args, **kwargs)
        except Exception as error:
            raise StorageError(
                f"The database of the durable steps did not answer: {type(error).__name__}", hint="Is it running, and may we write?"
            ) from error

    def _connect(self) -> DBOSClient:
        return DBOSClient(system_database_url=self._url, application_name=APPLICATION, retry_connection_errors=False)


class SegmentServer:
    """DBOS in a worker: takes segments off the queue and lets `runner` carry them out on the event loop that calls `start`."""

    def __init__(self, settings: Settings, runner: SegmentRunner) -> None:
        self._settings = settings
        self._runner = runner

    async def start(self) -> None:
        """Take up what a worker of this id left, then new segments as they come."""
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": durable_url(self._settings),
            "application_version": VERSION,
            "executor_id": self._settings.worker_id,
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": 5.0,  # nobody sends notifications here
        }
        DBOS(config=config)
        self._register()
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE, worker_concurrency=self._settings.worker_slots, polling_interval_sec=0.2, on_conflict="always_update"
        )

    async def stop(self) -> None:
        """Let go of DBOS. Segments in work stay PENDING and are taken up at the next start."""
        # DBOS made its own pool the loop's default one and is about to shut it down; others on this loop need one.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="keepsake"))
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)

    def _register(self) -> None:
        runner = self._runner

        # A turn's own failures end its run inside the step; only a database that is away comes out of it, and is tried again.
        retries: Any = {"retries_allowed": True, "max_attempts": 6, "interval_seconds": 0.5, "backoff_rate": 2.0}

        @DBOS.step(name="first_turn", **retries)
        async def first_turn(run_id: str, number: int) -> int | None:
            return await runner.first_turn(run_id, number)

        @DBOS.step(name="take_turn", **retries)
        async def take_turn(run_id: str, number: int, turn: int) -> int | None:
            return await runner.take_turn(run_id, number, turn)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1000)
        async def segment(run_id: str, number: int) -> None:
            try:
                turn = await first_turn(run_id, number)
                while turn is not None:
                    turn = await take_turn(run_id, number, turn)
            finally:
                await runner.leave(run_id, number)
