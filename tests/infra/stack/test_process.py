"""What `keepsake up` starts can be found again by its record, and `down` ends it with all its descendants and nobody else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.stack import process
from infra.stack.process import MARK, Record, read_record, start, start_ticks, stop, wait_until

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Record]]:
    records: list[Record] = []
    yield records
    for record in records:
        stop(record, patience_s=0.5)


def run(tmp_path: Path, started: list[Record], code: str, service: str = "thing") -> Record:
    record = start(
        service,
        [sys.executable, "-c", code],
        tmp_path / f"{service}.log",
        environment=dict(os.environ),
        directory=tmp_path,
        address="nowhere",
    )
    started.append(record)
    return record


def pid_in(path: Path) -> int:
    assert wait_until(lambda: path.exists() and path.read_text().strip() != "", 5)
    return int(path.read_text())


def test_a_started_process_is_found_again_by_its_record_alone(tmp_path: Path, started: list[Record]) -> None:
    record = run(tmp_path, started, SLEEP)
    record.save(tmp_path / "run" / "thing.json")
    again = read_record(tmp_path / "run" / "thing.json")
    assert again == record
    assert again is not None and again.alive
    assert again.memory_bytes() > 1_000_000


def test_output_goes_to_the_log_under_a_line_with_the_command(tmp_path: Path, started: list[Record]) -> None:
    record = run(tmp_path, started, "import sys; print('to stdout', flush=True); sys.stderr.write('to stderr')")
    assert wait_until(lambda: not record.alive, 5)
    first, *rest = record.log.read_text().splitlines()
    assert first.startswith("--- ") and sys.executable in first
    assert rest == ["to stdout", "to stderr"]


def test_stop_ends_descendants_that_left_the_session(tmp_path: Path, started: list[Record]) -> None:
    code = f"""
import subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
pathlib.Path("child").write_text(str(child.pid))
{SLEEP}
"""
    record = run(tmp_path, started, code)
    child = pid_in(tmp_path / "child")
    assert child in record.members()
    assert stop(record)
    assert start_ticks(child) is None
    assert not record.alive


def test_stop_ends_orphans_of_a_killed_process(tmp_path: Path, started: list[Record]) -> None:
    code = f"""
import os, subprocess, sys, pathlib
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True)
pathlib.Path("child").write_text(str(child.pid))
{SLEEP}
"""
    record = run(tmp_path, started, code)
    child = pid_in(tmp_path / "child")
    os.kill(record.pid, 9)
    assert wait_until(lambda: not record.alive, 5)
    assert start_ticks(child) is not None
    assert stop(record)
    assert start_ticks(child) is None


def test_stop_kills_what_ignores_the_polite_signal(tmp_path: Path, started: list[Record]) -> None:
    code = f"import signal, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path('ready').write_text('1')\n{SLEEP}"
    record = run(tmp_path, started, code)
    pid_in(tmp_path / "ready")
    assert stop(record, patience_s=0.2)
    assert not record.alive


def test_a_launcher_that_becomes_its_server_stays_ours(tmp_path: Path, started: list[Record]) -> None:
    code = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {SLEEP!r}, 'server'])"
    record = run(tmp_path, started, code)
    assert wait_until(lambda: process.command_line(record.pid)[-1] == "server", 5)
    assert record.alive


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as child:
        yield child
        child.kill()


def test_a_stranger_under_a_recorded_pid_is_left_alone(tmp_path: Path, stranger: "subprocess.Popen[bytes]", started: list[Record]) -> None:
    """The pid was used again: same number, same command line, another start time."""
    ours = run(tmp_path, started, SLEEP)
    stale = ours.model_copy(update={"pid": stranger.pid, "ticks": start_ticks(stranger.pid) - 1, "mark": "thing-gone"})
    assert process.command_line(stranger.pid) == stale.command
    assert not stale.alive
    assert not stop(stale)
    assert stranger.poll() is None


def test_a_record_of_an_earlier_boot_names_nobody(tmp_path: Path, started: list[Record]) -> None:
    record = run(tmp_path, started, SLEEP)
    earlier = record.model_copy(update={"boot": "another"})
    assert not stop(earlier)
    assert record.alive


def test_the_mark_of_one_service_does_not_reach_another(tmp_path: Path, started: list[Record]) -> None:
    one, two = run(tmp_path, started, SLEEP, "one"), run(tmp_path, started, SLEEP, "two")
    assert stop(one)
    assert two.alive
    assert MARK not in os.environ


def test_a_cut_off_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"service": "api", "pid": 12')
    assert read_record(tmp_path / "half.json") is None
    assert read_record(tmp_path / "missing.json") is None
