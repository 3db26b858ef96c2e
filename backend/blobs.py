"""Bytes on disk, each under its SHA-256: uploads and artifacts. Equal content is kept once."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from app.errors import StorageError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Files below `root`. Writing is atomic: a blob is there whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        if not _DIGEST.fullmatch(sha256):
            raise ValueError("not a SHA-256")
        return self.root / sha256[:2] / sha256

    def write(self, data: bytes) -> str:
        """Keep `data`; returns its SHA-256. Raises StorageError when the disk does not take it."""
        sha256 = hashlib.sha256(data).hexdigest()
        target = self.path(sha256)
        if target.exists():
            return sha256
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=target.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except OSError as error:
            raise StorageError(f"A file of {len(data)} bytes could not be kept: {error.strerror}.", hint="Is the disk full?") from error
        return sha256

    def remove(self, sha256: str) -> None:
        self.path(sha256).unlink(missing_ok=True)
