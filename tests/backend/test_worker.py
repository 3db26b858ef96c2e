"""Workers among themselves, at their end, and as the commands a person starts."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.errors import SetupError
from app.events import EventType
from app.schemas import RunStatus
from backend.engine import Engine
from backend.worker import Worker
from tests.backend.house import check_trail, running_house, settings_of, wait_for
from tests.backend.scripted_team import open_scripted_team


async def test_a_second_worker_of_the_same_name_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running_house(settings), pytest.raises(SetupError, match="runs already"):
        await Worker(settings, open_scripted_team).run(asyncio.Event())


def test_a_worker_that_is_told_to_stop_finishes_its_turn_and_the_next_one_goes_on(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running_house(settings) as house:
        run = house.start("think 1.5", "think", "answer done")
        house.until(run, RunStatus.RUNNING)
    with running_house(settings) as house:
        assert house.until(run).answer == "done"
        events = house.events(run)
    check_trail(events)
    assert sum(e.type == EventType.MODEL_CALL for e in events) == 2
    assert not [e for e in events if e.type == EventType.RUN_RESUMED]


def test_a_worker_of_another_name_takes_over_from_one_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.worker.GRACE_S", 0.1)
    with running_house(settings_of(tmp_path, worker_id="first")) as house:
        run = house.start("think", "think 4", "answer done")
        wait_for(lambda: house.client.run(run.id).turns == 1)
    with running_house(settings_of(tmp_path, worker_id="second")) as house:
        assert house.until(run, seconds=30).answer == "done"
        events = house.events(run)
    check_trail(events)
    assert [e.payload["reason"] for e in events if e.type == EventType.RUN_RESUMED] == ["the worker was cut off in this turn"]


def test_runs_wait_in_the_table_until_a_worker_comes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running_house(settings, worker=False) as house:
        run = house.start("answer late")
        time.sleep(0.5)
        assert house.client.run(run.id).status == RunStatus.QUEUED
    with running_house(settings) as house:
        assert house.until(run).answer == "late"


def test_more_runs_than_slots_wait_for_their_turn(tmp_path: Path) -> None:
    with running_house(settings_of(tmp_path, worker_slots=1)) as house:
        runs = [house.start("think 0.3", "answer done") for _ in range(3)]
        wait_for(lambda: any(house.client.run(r.id).status == RunStatus.RUNNING for r in runs))
        assert sum(house.client.run(r.id).status == RunStatus.RUNNING for r in runs) == 1
        assert [house.until(r).answer for r in runs] == ["done"] * 3


async def test_a_segment_that_dbos_lost_is_begun_anew(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running_house(settings, worker=False) as house:
        run = house.start("answer found")
        engine = Engine(settings)
        await engine.submit(run.id, 1)
        await engine._call("cancel_workflow", f"{run.id}:1")  # as if DBOS had given it up
        await engine.close()
    with running_house(settings) as house:
        assert house.until(run).answer == "found"
        assert "its work was lost" in [e.payload["reason"] for e in house.events(run) if e.type == EventType.RUN_RESUMED]


def test_a_segment_of_an_older_release_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.worker.GRACE_S", 0.1)
    with running_house(settings_of(tmp_path)) as house:
        run = house.start("think", "think 4", "answer done")
        wait_for(lambda: house.client.run(run.id).turns == 1)
    monkeypatch.setattr("backend.engine.VERSION", "2")
    monkeypatch.setattr("backend.worker.VERSION", "2")
    with running_house(settings_of(tmp_path)) as house:
        assert house.until(run, seconds=30).answer == "done"
        check_trail(house.events(run))


def test_returned_segments_leave_no_steps_behind(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with running_house(settings) as house:
        run = house.start("think", "ask ?", "answer done")
        house.until(run, RunStatus.AWAITING_INPUT)
        house.client.message(run.id, "so")
        house.until(run)

        def rows() -> int:
            with sqlite3.connect(settings.data_dir / "steps.sqlite") as steps:
                counts = [
                    steps.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("workflow_status", "operation_outputs")
                ]
            return sum(counts)

        wait_for(lambda: rows() == 0, 10, lambda: f"{rows()} rows stay")


@pytest.mark.slow
def test_the_commands_start_and_stop(tmp_path: Path) -> None:
    """`keepsake api --with-worker` as a process: ready, then gone on SIGTERM, its first key kept."""
    port = free_port()
    env = {**os.environ, "KEEPSAKE_HOME": str(tmp_path), "KEEPSAKE_API_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "api", "--with-worker"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: worker_seen(port), 120, lambda: f"not ready, exit code {process.poll()}")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "worker local has stopped" in said and "Traceback" not in said
    assert (tmp_path / "api_key").stat().st_mode & 0o777 == 0o600


def test_a_command_that_cannot_start_says_why_in_a_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "KEEPSAKE_HOME": str(tmp_path), "KEEPSAKE_DATABASE_URL": "mysql://u:geheimnis@h/d"}
    done = subprocess.run([sys.executable, "-m", "app.cli", "worker"], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "no support for `mysql`" in done.stderr and "Traceback" not in done.stderr and "geheimnis" not in done.stderr


def worker_seen(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).json()["checks"].get("worker") == "ok"
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]
