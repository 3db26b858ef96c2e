"""The backend as tests use it: a real uvicorn on loopback and a worker with the scripted team, in a thread of their own."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from app.client import KeepsakeClient
from app.config import Settings
from app.events import Event, EventType
from app.schemas import Approval, ApprovalDecision, ApprovalStatus, Run, RunStatus, TaskCreate
from backend.main import create_app
from backend.segment import Patience
from backend.store import Store
from backend.worker import Worker
from tests.backend.scripted_team import open_scripted_team


def settings_of(home: Path, database_url: str = "", **more: Any) -> Settings:
    return Settings(home=home, database_url=database_url, _env_file=None, **more)  # type: ignore[call-arg]


class House:
    """Addresses and short ways into a running backend."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url
        self.key = settings.key_path.read_text().strip()
        self.client = KeepsakeClient(url, self.key)
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {self.key}"}, timeout=20)

    def start(self, *lines: str, **more: Any) -> Run:
        """A run of a task whose text is this script."""
        run = self.client.create_task(TaskCreate(text="\n".join(lines), **more)).run
        assert run is not None
        return run

    def until(self, run: Run, *statuses: RunStatus, seconds: float = 15) -> Run:
        """The run once it has one of the statuses (default: any end)."""
        return wait_for(lambda: self._now(run, statuses), seconds, lambda: f"run stayed {self.client.run(run.id)}")

    def types(self, run: Run) -> list[EventType]:
        return [event.type for event in self.events(run)]

    def events(self, run: Run) -> list[Event]:
        return list(self.client.all_events(run.id))

    def pending(self, run: Run) -> Approval:
        self.until(run, RunStatus.AWAITING_APPROVAL)
        (approval,) = self.client.approvals(status=ApprovalStatus.PENDING, run_id=run.id).items
        return approval

    def approve(self, approval: Approval) -> Approval:
        return self.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.APPROVED))

    def _now(self, run: Run, statuses: tuple[RunStatus, ...]) -> Run | None:
        now = self.client.run(run.id)
        return now if (now.status in statuses if statuses else now.status.ended) else None


def wait_for(look: Callable[[], Any], seconds: float = 10, complaint: Callable[[], str] | None = None) -> Any:
    """What `look` gives once it is true. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.03)
    raise AssertionError(complaint() if complaint else f"not within {seconds} s")


def check_trail(events: list[Event]) -> None:
    """Numbers from 1 without gaps or doubles, steps never going back, one end at the end."""
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert [e.step for e in events] == sorted(e.step for e in events)
    assert events[0].type == EventType.RUN_QUEUED
    assert events[-1].type == EventType.RUN_FINISHED


@contextmanager
def running_house(settings: Settings, *, worker: bool = True) -> Iterator[House]:
    """API, and worker unless told otherwise, in one thread with one event loop."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    ready, failed = threading.Event(), []
    loop = asyncio.new_event_loop()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        store = Store(settings)
        server = uvicorn.Server(uvicorn.Config(create_app(settings, store), log_config=None, timeout_graceful_shutdown=1))
        stopping = asyncio.Event()

        def end() -> None:
            server.should_exit = True
            stopping.set()

        stop.append(end)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        jobs = [serving]
        if worker:
            quick = Patience(retries=2, backoff_s=0.05, look_s=0.1)
            jobs.append(asyncio.create_task(Worker(settings, open_scripted_team, quick, Store(settings)).run(stopping)))
        ready.set()
        await asyncio.gather(*jobs)

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(30)
    assert not failed, failed
    house = House(settings, f"http://127.0.0.1:{port}")
    if worker:
        wait_for(lambda: house.client.ready().checks.get("worker") == "ok", 30)
    try:
        yield house
    finally:
        house.client.close()
        house.http.close()
        loop.call_soon_threadsafe(stop[0])
        thread.join(20)
        assert not thread.is_alive(), "the backend did not stop"
        assert not failed, failed
