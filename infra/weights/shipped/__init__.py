"""The deltas that are part of this repository, and which of them is served."""

from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import SetupError
from infra.weights.manifest import file_hash

DIRECTORY = Path(__file__).parent


class ShippedDelta(BaseModel):
    """One entry of `manifest.json`: a delta file beside it and where it came from."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    file: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the file.")
    status: Literal["production", "candidate", "retired"]
    created: date
    base: str = Field(description="Hash of the base's weights.")
    rebuilt: str = Field(description="Hash of the weights it rebuilds to.")
    recipe: str
    data_sha256: str
    seeds: list[int]
    commit: str = Field(description="Commit of this repository that trained it.")
    metrics: dict[str, Any]

    def path(self, directory: Path = DIRECTORY) -> Path:
        """The delta file, checked against its hash. SetupError if it is missing or another file."""
        path = directory / self.file
        if not path.is_file() or file_hash(path) != self.sha256:
            raise SetupError(
                f"The shipped delta {self.file} is missing or damaged.", hint="Restore it from the repository (`git checkout`)."
            )
        return path


_ENTRIES = TypeAdapter(list[ShippedDelta])


def shipped_deltas(directory: Path = DIRECTORY) -> list[ShippedDelta]:
    """All entries, oldest first. SetupError if the manifest is broken."""
    try:
        return _ENTRIES.validate_json((directory / "manifest.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise SetupError(
            f"The manifest of the shipped deltas is broken: {error}", hint="Restore infra/weights/shipped from the repository."
        ) from error


def newest_production(directory: Path = DIRECTORY) -> ShippedDelta | None:
    """The delta to serve: the last production entry; None while none is shipped."""
    return next((entry for entry in reversed(shipped_deltas(directory)) if entry.status == "production"), None)


def register(entry: ShippedDelta, directory: Path = DIRECTORY) -> None:
    """Append an entry, or replace the one of the same name in its place. The delta file must already be there."""
    entry.path(directory)
    entries = shipped_deltas(directory)
    names = [known.name for known in entries]
    if entry.name in names:
        entries[names.index(entry.name)] = entry
    else:
        entries.append(entry)
    (directory / "manifest.json").write_bytes(_ENTRIES.dump_json(entries, indent=1) + b"\n")
