"""What a training run was: enough to make it again and to judge it. One JSON file in the run's directory, replaced whole."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from app.errors import StorageError

NAME = "manifest.json"
PACKAGES = ("keepsake", "torch", "transformers", "tokenizers", "safetensors", "numpy")


class RunManifest(BaseModel):
    """`manifest.json` of a run. `seconds` is training alone, over all attempts; `wall_s` everything from first start to end."""

    version: Literal[1] = 1
    status: Literal["running", "stopped", "finished"]
    name: str
    recipe: dict[str, Any]
    recipe_sha256: str
    commit: str
    dirty: bool = Field(description="The checkout had changes that are in no commit.")
    base: str = Field(description="Hash of the base's weights.")
    init: str = Field(description="Hash of the weights that training began with.")
    data: dict[str, Any] = Field(description="Hashes, counts, and what of them a run of these steps sees.")
    device: str
    precision: str
    threads: int
    packages: dict[str, str]
    started: datetime
    finished: datetime | None = None
    attempts: int = 1
    steps: int
    steps_done: int = 0
    tokens: int = 0
    computed: int = Field(0, description="Tokens that had to be computed: common beginnings count once.")
    seconds: float = 0.0
    wall_s: float | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    artifacts: dict[str, str] = Field(default_factory=dict, description="SHA-256 of the files that a run leaves behind.")


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
    """Replace a JSON file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w") as stream:
        json.dump(value, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
