"""The demo judges by the world, prints a trail that cannot steer a terminal, and never waits for a person."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.events import Event, EventType
from backend.blobs import Blobs
from backend.workspaces import Workspaces
from infra.stack import demo, trail
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


def test_the_trail_shows_plan_gate_memento_and_answer() -> None:
    action = {"id": "a", "agent": "web", "kind": "web.visit", "effect": "read", "target": "http://x", "summary": "visit shop"}
    story = [
        (EventType.TASK_LEDGER, {"revision": 1, "plan": [{"number": 1, "agent": "web", "instruction": "find the price"}]}),
        (EventType.BLOCK_OPENED, {"block": 1, "instruction": "find the price"}),
        (EventType.ACTION_PROPOSED, {"block": 1, "action": action}),
        (EventType.GATE_DECIDED, {"block": 1, "action_id": "a", "verdict": "allow", "reason": "a granted site", "rule": "r"}),
        (EventType.ACTION_DONE, {"block": 1, "action_id": "a", "observation": "\nCopper Kettle\n34.50", "seconds": 0.4}),
        (EventType.MEMENTO, {"block": 1, "text": "It costs 34.50.", "block_tokens": 120, "memento_tokens": 9}),
        (EventType.RUN_FINISHED, {"status": "succeeded", "answer": "241.50"}),
    ]
    shown = "\n".join(line for seq, (kind, payload) in enumerate(story, 1) for line in trail.lines(event(seq, kind, payload, "web")))
    for part in (
        "1. web    find the price",
        "visit shop",
        "gate: allowed, a granted site",
        "got: Copper Kettle (0.4 s)",
        "It costs 34.50.",
        "120 tokens become 9",
    ):
        assert part in shown
    assert shown.endswith("Succeeded: 241.50")


@pytest.mark.parametrize("kind", list(EventType))
def test_every_kind_of_event_has_lines_or_none(kind: EventType) -> None:
    payload = {
        "plan": [], "revision": 1, "instruction": "i", "kind": "answer", "text": "t", "action": {"kind": "k", "target": "x"}, "verdict": "ask",
        "reason": "r", "observation": "", "seconds": 1.0, "error": {}, "block_tokens": 1, "memento_tokens": 1, "status": "failed",
    }  # fmt: skip
    assert all(isinstance(line, str) for line in trail.lines(event(1, kind, payload)))


def test_a_page_cannot_steer_the_terminal() -> None:
    nasty = "\x1b[2J\x1b]0;owned\x07Price\r\n34.50\u202e"
    [line] = trail.lines(event(1, EventType.ACTION_DONE, {"observation": nasty, "seconds": 0.1}))
    assert all(c.isprintable() for c in line)
    assert "Price" in line
    assert len(trail.short("x" * 10_000)) == trail.WIDTH
