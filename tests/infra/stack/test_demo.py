"""The demo judges by the world, and never waits for a person."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.config import Settings
from app.events import Event, EventType
from backend.blobs import Blobs
from backend.workspaces import Workspaces
from infra.stack import demo
from infra.worlds.base import Order, OrderLine, WorldState
from infra.worlds.demo import examples


def event(seq: int, kind: EventType, payload: dict[str, Any], agent: str | None = None) -> Event:
    return Event(run_id="run_1", seq=seq, time=datetime.now(UTC), type=kind, agent=agent, payload=payload)


def test_the_world_decides_by_file_and_shop_and_not_by_words() -> None:
    task = demo.world_task()
    assert task.check(WorldState(files={"kettles.txt": "241.50\n"})).solved
    assert not task.check(WorldState(files={"kettles.txt": "The total of 7 is 241.50"})).solved
    assert not task.check(WorldState(files={"kettles.txt": "241.05"})).solved
    assert not task.check(WorldState()).solved
    stray = (Order((OrderLine("Copper Kettle", 7, 3450),)),)
    assert not task.check(WorldState(files={"kettles.txt": "241.50"}, orders=stray)).solved


def test_the_demo_task_is_one_of_the_examples(tmp_path: Path) -> None:
    assert demo.TEXT in [example["text"] for example in examples(Settings(home=tmp_path))]


def test_workspace_files_are_read_where_the_worker_puts_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    folder = Workspaces(settings.data_dir, Blobs(settings.data_dir)).path("run_1")
    (folder / "deep").mkdir(parents=True)
    (folder / "kettles.txt").write_text("241.50")
    (folder / "deep" / "raw.bin").write_bytes(b"\xff\x00")
    files = demo.workspace_files(settings, "run_1")
    assert files["kettles.txt"] == "241.50"
    assert sorted(files) == ["deep/raw.bin", "kettles.txt"]


class Scripted:
    """An API whose run asks a person."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def stream(self, run_id: str) -> Iterator[Event]:
        yield event(1, EventType.RUN_QUEUED, {"task": {"text": "t", "sites": [], "files": [], "policy": "allow_listed"}})
        yield event(2, EventType.RUN_WAITING, {"status": "awaiting_approval"})
        assert self.cancelled == [run_id]
        yield event(3, EventType.RUN_FINISHED, {"status": "cancelled"})

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)


def test_a_run_that_waits_for_a_person_is_cancelled_and_that_is_said() -> None:
    said: list[str] = []
    view = demo.watch(Scripted(), "run_1", said.append)  # type: ignore[arg-type]
    assert view.status == "cancelled"
    assert any("cancelling" in line for line in said)
