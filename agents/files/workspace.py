"""The workspace: the one folder of a run that agents may read and write. Nothing leads out of it, symbolic links included."""

import contextlib
import io
import mimetypes
import os
import stat
from pathlib import Path, PurePosixPath

from agents.safety.gate import path_refusal
from agents.safety.permit import Permit
from app.errors import WorkspaceError
from app.schemas import Action

READ_LIMIT = 200_000  # bytes of a file that an agent is shown
WRITE_LIMIT = 20_000_000
NAMES_LIMIT = 200


class Workspace:
    """Files below `root`. Paths are relative, with forward slashes."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()

    def names(self) -> list[str]:
        """Regular files, sorted; hidden ones and links left out; at most 200."""
        found = []
        for folder, folders, files in os.walk(self.root, followlinks=False):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(files):
                path = Path(folder) / name
                if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                    found.append(path.relative_to(self.root).as_posix())
        return sorted(found)[:NAMES_LIMIT]

    def read(self, path: str, limit: int = READ_LIMIT) -> str:
        """Text of a file, cut at `limit` bytes. Raises WorkspaceError for a missing, foreign, special or binary file."""
        with self._open(path, os.O_RDONLY) as stream:
            data = stream.read(limit + 1)
        if b"\0" in data[:4096]:
            raise WorkspaceError(f"`{path}` is not a text file.", hint="Only text can be read; a program can handle other formats.")
        text = data[:limit].decode("utf-8", errors="replace")
        return text + (f"\n[cut after {limit} bytes]" if len(data) > limit else "")

    def content(self, path: str, limit: int) -> bytes:
        """All of a file, whatever its format. Raises WorkspaceError like `read`, but for formats, and for more than `limit` bytes."""
        with self._open(path, os.O_RDONLY) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise WorkspaceError(f"`{path}` has more than {limit} bytes.", hint="Make it smaller.")
        return data

    def header(self, path: str) -> str:
        """First line of a CSV file as a hint for programs; empty for anything else."""
        if not path.lower().endswith((".csv", ".tsv")):
            return ""
        try:
            first = self.read(path, 2000).splitlines()[0]
        except (WorkspaceError, IndexError):
            return ""
        return first[:200]

    def write(self, path: str, content: str | bytes, permit: Permit, action: Action) -> None:
        """Write a file under a permit for `action`. Raises WorkspaceError when the path leads outside or is special, or for too much content."""
        permit.check(action)
        data = content.encode() if isinstance(content, str) else content
        if len(data) > WRITE_LIMIT:
            raise WorkspaceError(f"{len(data)} bytes are too many for one file.", hint=f"At most {WRITE_LIMIT} bytes.")
        try:
            with self._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as stream:
                left = memoryview(data)
                while left:  # an unbuffered write may take less than it is given
                    left = left[stream.write(left) :]
        except OSError as error:
            raise WorkspaceError(f"`{path}` cannot be written: {error.strerror}.", hint="Free some disk space.") from error

    def _open(self, path: str, flags: int) -> io.BufferedRandom | io.FileIO:
        """Open by walking from the root one folder at a time without following links, so that no race can lead outside."""
        refusal = path_refusal(path)
        if refusal:
            raise WorkspaceError(refusal[1], hint="Use a path relative to the workspace.")
        if not (parts := PurePosixPath(path).parts):
            raise WorkspaceError(f"`{path}` is the workspace itself, not a file in it.", hint="Name a file.")
        *folders, name = parts
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                if flags & os.O_CREAT:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=handle)
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            # O_NONBLOCK: a FIFO must not hang us; what is not a regular file is refused below.
            file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644, dir_fd=handle)
        except OSError as error:
            raise WorkspaceError(f"`{path}` cannot be opened: {error.strerror}.", hint="See the list of files.") from error
        finally:
            os.close(handle)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise WorkspaceError(f"`{path}` is not a regular file.", hint="See the list of files.")
        return os.fdopen(file, "wb" if flags & os.O_WRONLY else "rb", buffering=0)  # type: ignore[return-value]


def media_type(name: str, data: bytes) -> str:
    """Text as plain text, whatever its name says; other formats by their name."""
    if b"\0" not in data[:4096]:
        return "text/plain"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
