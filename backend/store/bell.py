"""Wakes event streams of this process when a run got new events. The table is the truth; other processes find out by polling."""

import asyncio
from collections import defaultdict


class Bell:
    """`ring` after a commit; `wait` returns at the next ring or after `timeout` seconds, whichever comes first."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)

    def ring(self, run_id: str) -> None:
        for waiter in self._waiters.get(run_id, ()):
            waiter.set()

    async def wait(self, run_id: str, timeout: float) -> None:
        waiter = asyncio.Event()
        self._waiters[run_id].add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter.wait()
        except TimeoutError:
            return
        finally:
            self._waiters[run_id].discard(waiter)
            if not self._waiters[run_id]:
                del self._waiters[run_id]
