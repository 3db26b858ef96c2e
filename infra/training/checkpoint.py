"""Checkpoints from which training goes on bit for bit: weights, optimiser, random state, place in the data. Written whole or not at all."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from app.errors import StorageError

KEEP = 2


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `step_<n>.pt` and remove all but the newest two. Raises StorageError when the disk does not take it."""
    path = folder / f"step_{step:07d}.pt"
    partial = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"The checkpoint {path.name} could not be written: {error}", hint="Free some disk and resume.") from error
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    return sorted(folder.glob("step_*.pt"))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given, on the processor. Raises StorageError for a damaged file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise StorageError(f"The checkpoint {path} is damaged: {error}", hint="Delete it: the one before is taken then.") from error
