"""The verbs of the stack: `up`, `down`, `state`. What is running is known from records below `<home>/run`, never from names of processes."""

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.config import Settings
from app.errors import SetupError
from infra.lock import exclusive
from infra.stack import ports
from infra.stack.process import HEADING, MARK, Record, command_line, new_mark, read_record, record_of, start, stop
from infra.stack.services import Service, environment

LOOK_S = 0.3
REPORT_S = 10.0  # between two looks at the log of something that still loads
QUIET_S = 30.0  # without news it is mentioned this often
LOG_LINES = 12

Say = Callable[[str], None]


@dataclass(frozen=True)
class State:
    """One row of `keepsake status`. `state`: running, starting, not answering, died, stopped."""

    service: str
    state: str
    address: str = ""
    pid: int | None = None
    memory_bytes: int = 0
    seconds: float = 0.0


class Stack:
    """The services of one data directory. `say` takes lines of progress."""

    def __init__(self, settings: Settings, services: Iterable[Service], say: Say) -> None:
        self.settings = settings
        self.services = list(services)
        self._say = say

    def up(self) -> list[str]:
        """Start what does not run yet and return the names of it when all is ready. Several calls at once wait for each other.

        Raises SetupError: a port is taken, a service ended or did not become ready; what this call started is stopped again then.
        """
        self._own_directories()
        with self._alone():
            missing = [service for service in self.services if not self._runs_already(service)]
            for service in missing:
                self._require_ports(service)
            started: list[Service] = []
            try:
                for service in missing:
                    started.append(service)
                    self._start(service)
                self._wait(missing)
            except BaseException as error:
                if started:
                    self._say(f"Stopping again what was started: {', '.join(s.name for s in reversed(started))}")
                    self._end(reversed(started))
                if isinstance(error, OSError):
                    raise SetupError(f"A service could not be started: {error}", hint="`keepsake doctor` says what is missing.") from error
                raise
        return [service.name for service in missing]

    def down(self, names: Iterable[str] | None = None) -> list[str]:
        """Stop our own processes (those of `names` only), last started first. Names of those that were there."""
        wanted = None if names is None else set(names)
        with self._alone():
            return self._end(s for s in reversed(self.services) if wanted is None or s.name in wanted)

    def state(self) -> list[State]:
        return [self._state(service) for service in self.services]

    def record(self, service: Service) -> Record | None:
        """What is known of the service's process: our own record, or that of another command of ours that started it."""
        record = read_record(self._path(service.name))
        if (record is None or not record.alive) and service.find and (found := service.find()):
            pid, log = found
            return record_of(service.name, pid, log, record.mark if record else "", service.address)
        return record

    def log_path(self, service: Service) -> Path:
        """The log that the service writes now, or wrote last."""
        record = self.record(service)
        return record.log if record else self.settings.log_dir / f"{service.name}.log"

    def _own_directories(self) -> None:
        """Tasks, files and trails are their owner's: nobody else on this machine may look in."""
        for directory in (self.settings.data_dir, self.settings.log_dir, self.settings.run_dir):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)

    def _alone(self):
        return exclusive(self.settings.run_dir / "stack.lock", "Another keepsake command starts or stops services, waiting.")

    def _path(self, name: str) -> Path:
        return self.settings.run_dir / f"{name}.json"

    def _runs_already(self, service: Service) -> bool:
        record = self.record(service)
        if record is None:
            return False
        if record.alive:
            ready = "" if service.ready() else ", but does not answer just now"
            self._say(f"{service.name:7} already runs{at(service.address)} (pid {record.pid}){ready}")
            return True
        if stop(record):
            self._say(f"{service.name:7} had died; ended what it left behind")
        return False

    def _require_ports(self, service: Service) -> None:
        for setting, port in service.ports.items():
            if not ports.free(port, service.host):
                raise SetupError(
                    f"Port {port} for the {service.title} is taken ({ports.owner(port)}).",
                    hint=f"Stop that program, or set {setting} to a free port.",
                )

    def _start(self, service: Service) -> None:
        if service.launch is None:
            record = start(
                service.name,
                service.command,
                self.settings.log_dir / f"{service.name}.log",
                environment=environment(self.settings),
                directory=self.settings.home,
                address=service.address,
            )
        else:
            mark = new_mark(service.name)
            with inherited(MARK, mark):
                pid, log = service.launch()
            record = record_of(service.name, pid, log, mark, service.address)
        record.save(self._path(service.name))
        self._say(f"{service.name:7} starting (pid {record.pid})")

    def _wait(self, pending: list[Service]) -> None:
        begun = time.monotonic()
        report = begun + REPORT_S
        told: dict[str, tuple[str, float]] = {}
        pending = list(pending)
        while pending:
            for service in list(pending):
                record = self.record(service)
                if record is None or not record.alive:
                    raise self._failure(service, "ended before it was ready")
                if service.ready():
                    pending.remove(service)
                    self._say(f"{service.name:7} ready after {time.monotonic() - begun:.0f} s{at(service.address)}")
                    self._keep_command(record, service)
                elif time.monotonic() - begun > service.patience_s:
                    raise self._failure(service, f"was not ready after {service.patience_s:.0f} s")
            if pending and time.monotonic() > report:
                report += REPORT_S
                for service in pending:
                    now, progress = time.monotonic(), self._progress(service)
                    if (last := told.get(service.name)) is None or last[0] != progress or now - last[1] > QUIET_S:
                        self._say(f"{service.name:7} loading, {now - begun:.0f} s: {progress}")
                        told[service.name] = (progress, now)
            time.sleep(LOOK_S)

    def _progress(self, service: Service) -> str:
        lines = [line for line in tail(self.log_path(service), 2000) if not line.startswith(HEADING)]
        if service.stage:
            return service.stage("\n".join(lines))
        return lines[-1][:110] if lines else "no output yet"

    def _keep_command(self, record: Record, service: Service) -> None:
        """A launcher may have become its server meanwhile: the record takes the command line that will stay."""
        if command := command_line(record.pid):
            record.model_copy(update={"command": command}).save(self._path(service.name))

    def _failure(self, service: Service, how: str) -> SetupError:
        path = self.log_path(service)
        said = "\n".join(f"    {line}" for line in tail(path, LOG_LINES))
        return SetupError(
            f"The {service.title} {how}. The end of its log:\n{said}",
            hint=f"`keepsake doctor` says what is missing; the whole log is {path}.",
        )

    def _end(self, services: Iterable[Service]) -> list[str]:
        ended = []
        for service in services:
            record = read_record(self._path(service.name))
            if record and stop(record, service.grace_s):
                ended.append(service.name)
                self._say(f"{service.name:7} stopped")
            self._path(service.name).unlink(missing_ok=True)
        return ended

    def _state(self, service: Service) -> State:
        record = self.record(service)
        if record is None:
            return State(service.name, "stopped")
        if not record.alive:
            return State(service.name, "died", record.address)
        seconds = (datetime.now(UTC) - record.started).total_seconds()
        state = "running" if service.ready() else "starting" if seconds < service.patience_s else "not answering"
        return State(service.name, state, record.address, record.pid, record.memory_bytes(), seconds)


@contextmanager
def inherited(name: str, value: str) -> Generator[None]:
    """Processes that are started inside get this variable."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def at(address: str) -> str:
    return f" at {address}" if address else ""


def tail(path: Path, lines: int) -> list[str]:
    """The last non-empty lines of a log, at most 64 KB of it."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 65_536))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
