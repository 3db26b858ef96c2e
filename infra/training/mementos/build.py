"""Many records through the pipeline at once, each into the journal once; what is done is passed over, so that a build can be resumed.

A record whose endpoint was out of reach is left for the next time.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from app.errors import ModelTimeout, ModelUnavailable
from infra.training.mementos.journal import Journal
from infra.training.mementos.pipeline import Pipeline, Work
from infra.training.mementos.records import Dropped, Trace, Unusable

LEAST_GIVING_UP = 3  # records in a row whose endpoint is out of reach end the run


@dataclass
class Session:
    """What one run of `build` did. `undone`: records that no answer came for; the next run takes them up."""

    kept: int = 0
    dropped: int = 0
    undone: int = 0
    known: int = 0
    repeated: int = 0
    stopped: bool = False


class Build:
    """Carries records through a pipeline into a journal, `concurrency` at a time. `wanted` says whether to go on."""

    def __init__(self, pipeline: Pipeline, journal: Journal, *, concurrency: int = 8, wanted: Callable[[], bool] = lambda: True) -> None:
        self.session = Session()
        self._pipeline = pipeline
        self._journal = journal
        self._concurrency = concurrency
        self._wanted = wanted
        self._unreached = 0

    async def run(self, traces: Iterable[Trace | Unusable]) -> Session:
        """Do all that are not done yet. Raises ModelError where the endpoint is of no use, StorageError; what is done then stays done."""
        before, taken = frozenset(self._journal.done), set[str]()
        running: set[asyncio.Task[None]] = set()
        try:
            for item in traces:
                if item.key in before or item.key in taken:
                    self.session.known += item.key in before
                    self.session.repeated += item.key not in before
                    continue
                taken.add(item.key)
                while len(running) >= self._concurrency and self._wanted():
                    running = await self._some(running)
                if not self._wanted():
                    self.session.stopped = True
                    break
                running.add(asyncio.create_task(self._one(item)))
            while running and self._wanted():
                running = await self._some(running)
            self.session.stopped |= bool(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return self.session

    async def _some(self, running: set["asyncio.Task[None]"]) -> set["asyncio.Task[None]"]:
        """Wait a moment for one to end; raises its error."""
        done, left = await asyncio.wait(running, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return left

    async def _one(self, item: Trace | Unusable) -> None:
        work, started = Work(), time.monotonic()
        try:
            if isinstance(item, Unusable):
                raise Dropped(item.reason, item.message)
            record = await self._pipeline.make(item, work)
        except Dropped as dropped:
            named = {"id": item.id, "source": item.source} if isinstance(item, Trace) else {"where": item.where}
            line = {"key": item.key, **named, "reason": dropped.reason.value, "message": dropped.message}
            self._journal.drop({**line, "cost": _cost(work, started)})
            self.session.dropped += 1
        except (ModelUnavailable, ModelTimeout) as error:
            self.session.undone += 1
            self._unreached += 1
            if self._unreached >= max(LEAST_GIVING_UP, self._concurrency):
                raise ModelUnavailable(f"{self._unreached} records in a row got no answer. {error.message}", hint=error.hint) from error
            return
        else:
            self._journal.keep({**record, "cost": _cost(work, started)})
            self.session.kept += 1
        self._unreached = 0


def _cost(work: Work, started: float) -> dict[str, Any]:
    figures = asdict(work)
    return {**figures.pop("meter"), **figures, "seconds": round(time.monotonic() - started, 3)}
