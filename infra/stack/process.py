"""Detached processes of our own: started with a log and a record, found again by a later command, and stopped with all their descendants.

A process is ours if its pid and start time are those of the record, and its command line or the mark in its environment is (a launcher that
becomes the model server changes the first and keeps the second); a name is never asked. Descendants are its session, and whatever inherited
the mark: a browser has a session of its own and outlives a killed worker. Signals go through a pidfd that is opened before the check, so that
a pid used again in between is not hit. Linux only.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

MARK = "KEEPSAKE_MARK"
HEADING = "---"  # a line of a log that begins so tells of a start
LEAVE_S = 2.0  # what descendants get between the two signals
PAGE = os.sysconf("SC_PAGE_SIZE")


class Record(BaseModel):
    """What is written down of a process when it is started."""

    service: str
    pid: int
    ticks: int  # start time, clock ticks since boot
    boot: str  # boot id: pids and ticks begin anew with each boot
    command: list[str]
    mark: str
    address: str = ""
    log: Path
    started: datetime

    @property
    def alive(self) -> bool:
        if self.boot != boot_id() or start_ticks(self.pid) != self.ticks:
            return False
        return command_line(self.pid) == self.command or has_mark(self.pid, self.mark)

    def members(self) -> dict[int, int]:
        """Pid to start time of the process, while it is alive, and of its descendants."""
        if self.boot != boot_id():
            return {}
        alive = self.alive
        found = {
            pid: ticks
            for pid in pids()
            if (ticks := start_ticks(pid)) and ((alive and session(pid) == self.pid) or has_mark(pid, self.mark))
        }
        return {self.pid: self.ticks, **found} if alive else found

    def memory_bytes(self) -> int:
        """Resident memory of all members; a page that several share counts in each."""
        return sum(resident_bytes(pid) for pid in self.members())

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(indent=1) + "\n")
        part.replace(path)


def read_record(path: Path) -> Record | None:
    """The record at `path`; None if there is none, or none that can be read (a cut-off write cannot be ours to act upon)."""
    try:
        return Record.model_validate_json(path.read_text())
    except (OSError, ValidationError):
        return None


def start(service: str, command: list[str], log: Path, *, environment: dict[str, str], directory: Path, address: str = "") -> Record:
    """Start `command` in a session of its own, with stdout and stderr at the end of `log`. OSError if the program cannot be run."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = new_mark(service)
    with log.open("ab") as stream:
        stream.write(f"{HEADING} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {' '.join(command)}\n".encode())
        stream.flush()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: mark},
            cwd=directory,
            start_new_session=True,
        )
    child.returncode = 0  # it is meant to outlive us: no warning from Popen's end
    return record_of(service, child.pid, log, mark, address)


def record_of(service: str, pid: int, log: Path, mark: str, address: str = "") -> Record:
    """What identifies the running process `pid` from now on. A process that has ended already gets a record that names nobody."""
    wait_until(lambda: any(command_line(pid)) or start_ticks(pid) is None, 1.0)  # it is empty for a moment after exec
    return Record(
        service=service,
        pid=pid,
        ticks=start_ticks(pid) or 0,
        boot=boot_id(),
        command=command_line(pid),
        mark=mark,
        address=address,
        log=log,
        started=datetime.now(UTC),
    )


def new_mark(service: str) -> str:
    return f"{service}-{secrets.token_hex(8)}"


def stop(record: Record, patience_s: float = 10.0) -> bool:
    """End the process and its descendants: SIGTERM to it, then to what it leaves behind, then SIGKILL. True if something was there."""
    met = record.members()
    if record.alive:
        send(record.pid, record.ticks, signal.SIGTERM)
        wait_until(lambda: not record.alive, patience_s)

    def left() -> dict[int, int]:
        return {pid: ticks for pid, ticks in {**met, **record.members()}.items() if start_ticks(pid) == ticks}

    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, ticks in left().items():
            send(pid, ticks, number)
        if wait_until(lambda: not left(), LEAVE_S):
            break
    return bool(met)


def send(pid: int, ticks: int, number: signal.Signals) -> None:
    """Signal the process `pid` that was started at `ticks`, and no other that has its number by now."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if start_ticks(pid) == ticks:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def wait_until(condition: Callable[[], bool], patience_s: float, pause_s: float = 0.05) -> bool:
    """True as soon as the condition holds, False when it did not within the time."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (proc(5) calls it field 3); empty if there is no such process."""
    try:
        # The name before them stands in parentheses and may hold spaces and parentheses of its own.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def start_ticks(pid: int) -> int | None:
    """Start time of a living process; None if there is none with this pid (a zombie has ended)."""
    fields = stat(pid)
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def session(pid: int) -> int | None:
    fields = stat(pid)
    return int(fields[3]) if fields else None


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def has_mark(pid: int, mark: str) -> bool:
    """Did this process inherit the mark? False where its environment is not ours to read, so a stranger's never counts."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
