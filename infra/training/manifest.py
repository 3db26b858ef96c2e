"""What a training run was: enough to make it again and to judge it. One JSON file in the run's directory, replaced whole."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import StorageError
from app.training import MANIFEST as NAME
from app.training import RunManifest

PACKAGES = ("keepsake", "torch", "transformers", "tokenizers", "safetensors", "numpy")


def packages() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def write_run_manifest(folder: Path, manifest: RunManifest) -> None:
    write_json(folder / NAME, manifest.model_dump(mode="json"))


def read_run_manifest(folder: Path) -> RunManifest | None:
    """None where there is none. Raises StorageError if it is broken."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        return RunManifest.model_validate_json(path.read_text())
    except ValidationError as error:
        raise StorageError(f"{path} is broken.", hint="Remove the run's directory and train again.") from error


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically. Raises StorageError when the disk does not take it: what was there stays."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w") as stream:
            json.dump(value, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path.name} could not be written: {error.strerror or error}.", hint="Free some disk, then go on.") from error
