"""A workspace directory on the host: read for an order, written with what came back, without ever following a symbolic link.

Every path is walked from the directory's own descriptor, one name at a time with O_NOFOLLOW, so that a link anywhere below the root,
whoever put it there and whenever, is an error and not a way out.
"""

import errno
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agents.sandbox.base import Limits
from agents.sandbox.wire import plain_path
from app.errors import WorkspaceError

CHUNK = 1 << 16
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A regular file: path relative to the workspace with "/", size in bytes."""

    path: str
    size: int
    executable: bool
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """What a workspace holds: regular files and directories with plain names, sorted; `left_out` names the rest as "path: why"."""

    files: tuple[Entry, ...]
    directories: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.files)


@contextmanager
def opened(workspace: Path) -> Generator[int]:
    """Descriptor of the workspace. The directory itself is the caller's choice, so a link there is followed. Raises WorkspaceError."""
    try:
        root = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise WorkspaceError(f"The workspace cannot be opened: {error.strerror}.", hint="Give an existing directory.") from None
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def parent_of(root: int, path: str) -> Generator[tuple[int, str]]:
    """Descriptor of the directory that holds `path`, and the last name. OSError when a name on the way is a link or no directory."""
    *parents, name = plain_path(path).split("/")
    here = os.dup(root)
    try:
        for parent in parents:
            below = os.open(parent, DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


def safe_listing(workspace: Path, *, most: int | None = None) -> Listing:
    """What may be read below `workspace`: links are named, not followed. Raises WorkspaceError, also at more than `most` files."""
    files: list[Entry] = []
    directories: list[str] = []
    left_out: list[str] = []

    def walk(here: int, base: str) -> None:
        for name in sorted(os.listdir(here)):
            path = f"{base}/{name}" if base else name
            try:
                plain_path(path)
            except ValueError:
                left_out.append(f"{path.encode('utf-8', 'replace').decode()[:300]!r}: odd name, too long or too deep")
                continue
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                files.append(Entry(path, status.st_size, bool(status.st_mode & 0o100), status.st_mtime_ns))
            elif stat.S_ISDIR(status.st_mode):
                directories.append(path)
                below = os.open(name, DIRECTORY, dir_fd=here)
                try:
                    walk(below, path)
                finally:
                    os.close(below)
            else:
                left_out.append(f"{path}: {'symbolic link' if stat.S_ISLNK(status.st_mode) else 'not a regular file'}")
            if most is not None and len(files) + len(directories) > most:
                raise WorkspaceError(f"The workspace holds more than {most:,} files and directories.")

    with opened(workspace) as root:
        try:
            walk(root, "")
        except OSError as error:
            raise WorkspaceError(f"The workspace cannot be read: {error.strerror}: {error.filename}.") from None
    return Listing(tuple(files), tuple(directories), tuple(left_out))


def for_order(workspace: Path, limits: Limits) -> Listing:
    """The workspace's listing, checked against the limits before anything runs. Raises WorkspaceError."""
    listing = safe_listing(workspace, most=limits.files)
    if listing.size > limits.disk_bytes:
        raise WorkspaceError(
            f"The workspace holds {listing.size:,} bytes, more than the sandbox takes ({limits.disk_bytes:,}).",
            hint="Remove files, or raise the limit disk_bytes.",
        )
    return listing


def contents(root: int, entry: Entry) -> Iterator[bytes]:
    """A file's bytes, exactly as many as were listed. Raises WorkspaceError when it changed meanwhile or became a link."""
    try:
        with parent_of(root, entry.path) as (here, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        raise WorkspaceError(f"{entry.path} cannot be read: {error.strerror}.") from None
    with open(descriptor, "rb", buffering=0) as file:
        left = entry.size
        while left:
            part = file.read(min(left, CHUNK))
            if not part:
                raise WorkspaceError(f"{entry.path} became shorter while it was read.", hint="Do not write it meanwhile.")
            left -= len(part)
            yield part


@contextmanager
def arrival(root: int, path: str, executable: bool) -> Generator[IO[bytes]]:
    """A changed file on its way in: written beside its place under a passing name, then renamed onto it; parents are made.

    OSError when a parent is a link or a file, or when the place is a directory.
    """
    make_directory(root, "/".join(path.split("/")[:-1]))
    with parent_of(root, path) as (here, name):
        passing = f".{secrets.token_hex(8)}.arriving"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(passing, flags, 0o755 if executable else 0o644, dir_fd=here)
        try:
            with open(descriptor, "wb") as file:
                yield file
            os.rename(passing, name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            os.unlink(passing, dir_fd=here)
            raise


def make_directory(root: int, path: str) -> None:
    """Make `path` and its parents. OSError when a name on the way is a link or a file."""
    names = plain_path(path).split("/") if path else []
    here = os.dup(root)
    try:
        for name in names:
            if not is_directory(here, name):
                os.mkdir(name, 0o755, dir_fd=here)
            below = os.open(name, DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)


def is_directory(here: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def remove(root: int, path: str) -> bool:
    """Remove a file or an empty directory; False when it is not there or not empty. OSError when a parent is a link."""
    with parent_of(root, path) as (here, name):
        try:
            if is_directory(here, name):
                os.rmdir(name, dir_fd=here)
            else:
                os.unlink(name, dir_fd=here)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:  # something new was put there meanwhile
                return False
            raise
    return True
