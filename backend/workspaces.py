"""Workspaces on disk: one folder a run, filled with the task's files before the first turn."""

import os
import shutil
from pathlib import Path

from app.errors import StorageError
from backend.blobs import Blobs
from backend.store.turns import WorkspaceFile


class Workspaces:
    """Folders <data>/runs/<run>/workspace."""

    def __init__(self, data_dir: Path, blobs: Blobs) -> None:
        self.root = data_dir / "runs"
        self.blobs = blobs

    def path(self, run_id: str) -> Path:
        return self.root / run_id / "workspace"

    def fill(self, run_id: str, files: list[WorkspaceFile]) -> Path:
        """The run's workspace with its files in it; filling again gives the same. Raises StorageError."""
        folder = self.path(run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                part = folder.parent / f"{file.sha256}.part"
                shutil.copyfile(self.blobs.path(file.sha256), part)
                os.replace(part, folder / file.name)  # whole or not at all, whenever we are killed
        except OSError as error:
            raise StorageError(f"The workspace could not be filled: {error.strerror}.", hint="Is the disk full?") from error
        return folder

    def remove(self, run_id: str) -> None:
        """Remove the run's folder, whatever agents left in it."""
        shutil.rmtree(self.root / run_id, ignore_errors=True)
