"""Models that were added by name, each a directory of prepared weights below `<home>/weights/added`. Needs no torch here."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from app.config import Settings
from app.errors import InvalidInput, NotFound
from infra.lock import exclusive
from infra.weights.manifest import Manifest, read_manifest
from infra.weights.program import run_program
from infra.weights.request import Request
from infra.weights.source import read_json

EMBEDDED = "keepsake-"  # how the embedded model's names begin; its prompts are other ones
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class AddedModel:
    """One that can be served under `name`."""

    name: str
    directory: Path
    manifest: Manifest

    @property
    def context(self) -> int:
        """The longest text in tokens, as its configuration says."""
        return int(read_json(self.directory / "config.json").get("max_position_embeddings", 0))

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(path.stat().st_size for path in self.directory.iterdir())


def added_directory(settings: Settings) -> Path:
    return settings.weights_dir / "added"


def added_models(settings: Settings) -> list[AddedModel]:
    """All of them, by name."""
    found = sorted(added_directory(settings).glob("*/manifest.json"))
    return [model for path in found if (model := find_added(settings, path.parent.name))]


def find_added(settings: Settings, name: str) -> AddedModel | None:
    """The model of that name; None if there is none, or none that was finished."""
    if not _NAME.fullmatch(name):
        return None
    directory = added_directory(settings) / name
    manifest = read_manifest(directory)
    return AddedModel(name, directory, manifest) if manifest else None


def add_model(settings: Settings, request: Request, python: Path | None = None) -> AddedModel:
    """Prepare a model and enter it under its name; nothing is there before all is. `python`: by default the serving environment's.

    Raises what infra.weights.preparing raises, InvalidInput for a name that will not do.
    """
    require_name(request.name)
    if request.adapter and not request.adapter.exists():
        raise NotFound(f"There is no adapter at {request.adapter}.", hint="Give a directory of a PEFT adapter, or a delta file.")
    if request.adapter is None and not request.model:
        raise InvalidInput("Which model is to be added?", hint="Name it with --model, or give an adapter that names its base.")
    out = added_directory(settings) / request.name
    run_program(settings, python, "infra.weights.preparing", "--request", request.model_dump_json(), "--out", out)
    model = find_added(settings, request.name)
    assert model is not None
    return model


def remove_model(settings: Settings, name: str) -> None:
    """Take a model's directory away. NotFound if there is none of that name."""
    model = find_added(settings, name)
    if model is None:
        raise NotFound(f"There is no added model {name}.", hint="`keepsake models list` shows those that there are.")
    directory = added_directory(settings)
    with exclusive(directory.with_name(f"{directory.name}.lock"), "weights: a model is being prepared, waiting"):
        gone = directory / f".removing-{name}"  # a cut-off removal leaves no half a model under its name
        shutil.rmtree(gone, ignore_errors=True)
        model.directory.rename(gone)
        shutil.rmtree(gone)


def require_name(name: str) -> None:
    """InvalidInput unless a model may have this name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"`{name[:80]}` is no name for a model.",
            hint="Up to 64 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit.",
        )
    if name.startswith(EMBEDDED):
        raise InvalidInput(f"Names that begin with {EMBEDDED} are those of the embedded model.", hint="Take another name.")
