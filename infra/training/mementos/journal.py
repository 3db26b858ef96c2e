"""The folder of a data set in the making: what is kept, what is dropped and why, one fsynced line a record, and the settings it is made with.

A line is appended whole or cut away at the next start, and each key stands in one of the files once. So a build can be killed at any moment
and run again: nothing is lost but the records that were in flight.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.errors import Conflict, NotFound, StorageError
from infra.training.manifest import write_json

KEPT, DROPPED, SETTINGS = "mementos.jsonl", "dropped.jsonl", "build.json"


class Journal:
    """`with Journal(folder, settings) as journal:` holds the folder.

    Raises Conflict where another process does, or the folder was begun with other settings; StorageError for a damaged line or a full disk.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.done: set[str] = set()  # keys of records on disk
        self._settings = dict(settings)
        self._streams: dict[str, FileIO] = {}

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error}", hint="Give another directory with --out.") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise Conflict(f"Another process works on {self.folder}.", hint="Wait for it, or stop it first.") from error
        with ExitStack() as opened:
            opened.callback(self._close)
            self._agree()
            for name in (KEPT, DROPPED):
                path = self.folder / name
                self._streams[name] = path.open("ab", buffering=0)
                os.truncate(path, _whole(path))
                self.done.update(line["key"] for line in read_lines(path))
            _sync_folder(self.folder)
            opened.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        for stream in self._streams.values():
            stream.close()
        self._lock.close()

    def keep(self, record: Mapping[str, Any]) -> None:
        self._append(KEPT, record)

    def drop(self, record: Mapping[str, Any]) -> None:
        self._append(DROPPED, record)

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        """`record["key"]` must be new."""
        if record["key"] in self.done:
            raise Conflict(f"The record {record['key'][:16]} is done already.", hint="This is a bug; the files are whole.")
        descriptor, line = self._streams[name].fileno(), json.dumps(record, ensure_ascii=False).encode() + b"\n"
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, before)  # whatever other records in flight append comes after a whole line
            raise StorageError(
                f"{self.folder / name} cannot be written: {error}", hint="Make room and run the same command again."
            ) from error
        self.done.add(record["key"])

    def _agree(self) -> None:
        """The settings of this build are those that the folder was begun with."""
        path = self.folder / SETTINGS
        if not path.is_file():
            write_json(path, self._settings)
            return
        before = _read_settings(path)
        other = [
            f"{name} {before.get(name)!r}, now {self._settings.get(name)!r}"
            for name in sorted({*before, *self._settings})
            if before.get(name) != self._settings.get(name)
        ]
        if other:
            raise Conflict(
                f"{self.folder} was begun with other settings: {'; '.join(other)}.", hint="Give those, or another directory with --out."
            )


def read_folder(folder: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]], Iterator[dict[str, Any]]]:
    """Settings, kept records, dropped records. A torn last line is left out. Raises NotFound, StorageError."""
    if not (folder / SETTINGS).is_file():
        raise NotFound(f"There is no build at {folder}.", hint="Begin one: `keepsake mementos build FILE --out DIRECTORY`.")
    kept, dropped = (read_lines(folder / name) for name in (KEPT, DROPPED))
    return _read_settings(folder / SETTINGS), kept, dropped


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text())
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise StorageError(f"{path} is damaged.", hint="Remove it: it is written anew by a build with the settings of before.")
    return settings


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file. Raises StorageError for one that is no record."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                record["key"]
            except (ValueError, KeyError, TypeError) as error:
                raise StorageError(f"Line {number} of {path} is damaged.", hint="Remove that line: its record is made again.") from error
            yield record


def _whole(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65_536)
            stream.seek(start)
            found = stream.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _sync_folder(folder: Path) -> None:
    """New files are on disk under their names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
