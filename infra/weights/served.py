"""The directory that the model server loads: the base, the base plus the registry's production delta, or an added model. Needs no torch here:

    python -m infra.weights.served [--variant base] [--here]        prints the directory

The arithmetic runs as a program of the serving environment. `--here` takes the running interpreter instead, for an image that is one.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from app.config import Settings
from app.errors import KeepsakeError, NotFound
from app.registry import Version
from infra.lock import exclusive, require_disk
from infra.training.registry import Registry
from infra.weights.added import EMBEDDED, find_added
from infra.weights.base import TOKENIZER_SHA256, WEIGHTS_SHA256
from infra.weights.manifest import WEIGHTS, read_manifest, tokenizer_hash
from infra.weights.program import run_program
from infra.weights.shipped import newest_production

Variant = Literal["production", "base"]
SERVED_CONTEXT = 4096  # keepsake_vllm.launch's --max-model-len


class Delta(Protocol):
    """A delta by name, and the hash of the weights it rebuilds to. `path` gives its file, checked; raises SetupError."""

    @property
    def name(self) -> str: ...

    @property
    def rebuilt(self) -> str: ...

    def path(self) -> Path: ...


@dataclass(frozen=True)
class RegisteredDelta:
    """That of a version in the registry."""

    registry: Registry
    version: Version

    @property
    def name(self) -> str:
        return self.version.version

    @property
    def rebuilt(self) -> str:
        return self.version.rebuilt

    def path(self) -> Path:
        return self.registry.delta(self.version)


def say(line: str) -> None:
    sys.stderr.write(f"weights: {line}\n")
    sys.stderr.flush()


def served_name(settings: Settings, variant: Variant) -> str:
    """Name under which the API serves a variant. The base is always the embedded model's."""
    embedded = settings.model_name if settings.model_name.startswith(EMBEDDED) else Settings.model_fields["model_name"].default
    return settings.model_name if variant == "production" else f"{embedded}-base"


def build_served(settings: Settings, variant: Variant = "production", python: Path | None = None) -> Path:
    """Directory of complete weights for `variant`, built if need be; milliseconds when it is there.

    `python`: interpreter that has torch; by default the serving environment, itself built if need be. A model name that is not the embedded
    model's means an added one. Raises SetupError, StorageError, NotFound for a name that was not added.
    """
    if variant == "production" and not settings.model_name.startswith(EMBEDDED):
        added = find_added(settings, settings.model_name)
        if added is None:
            raise NotFound(
                f"There is no model {settings.model_name}.",
                hint="See `keepsake models list`, or unset KEEPSAKE_MODEL_NAME.",
            )
        return added.directory
    base = _base(settings, python)
    if variant == "base":
        return base
    delta = served_delta(settings)
    if delta is None:
        say("no production delta is shipped; the untouched base is served")
        return base
    _note_shipped(settings)
    directory = _served(settings, delta)
    if _rebuild(settings, python, base, delta, directory):
        make_room(settings)
    return directory


def make_room(settings: Settings) -> None:
    """Remove rebuilt weights that nothing refers to: no alias, no running server. They can be built again."""
    try:
        kept = set(_in_use(settings))
    except KeepsakeError as error:  # whoever cannot tell what is in use removes nothing
        say(f"{error.message} {error.hint}")
        return
    with _building(settings, "served"):
        for directory in (settings.weights_dir / "served").iterdir():
            if directory not in kept:
                shutil.rmtree(directory)


def build_version(settings: Settings, version: Version, python: Path | None = None) -> Path:
    """Directory of a version's complete weights where `build_served` will look for them, built if need be. Raises SetupError, StorageError."""
    delta = RegisteredDelta(Registry(settings), version)
    directory = _served(settings, delta)
    if not _holds(directory, delta.rebuilt):
        delta.path()  # a damaged one is told of before anything large is built for it
        _rebuild(settings, python, _base(settings, python), delta, directory)
    return directory


def served_delta(settings: Settings) -> Delta | None:
    """The version that the registry's alias production names, else the newest production delta that this installation ships."""
    registry = Registry(settings)
    version = registry.production()
    return RegisteredDelta(registry, version) if version else newest_production()


def build_delta(settings: Settings, delta: Delta, python: Path | None = None) -> Path:
    """Directory of the complete weights of any delta, for a comparison; built if need be. Raises SetupError."""
    directory = settings.weights_dir / "compared" / f"{delta.name}-{delta.rebuilt[:12]}"
    _rebuild(settings, python, _base(settings, python), delta, directory)
    return directory


def _served(settings: Settings, delta: Delta) -> Path:
    return settings.weights_dir / "served" / f"{delta.name}-{delta.rebuilt[:12]}"


def _note_shipped(settings: Settings) -> None:
    """What the installation ships becomes a version that one can go back to. A home that takes no copy of it is still served."""
    try:
        if shipped := newest_production():
            Registry(settings).adopt(shipped)
    except KeepsakeError as error:
        say(f"{error.message} The version that ships with Keepsake is not in the registry.")


def _in_use(settings: Settings) -> Iterator[Path]:
    """Weights that must stay: what is to be served, what the aliases name, and what a running server was started with."""
    if delta := served_delta(settings):
        yield _served(settings, delta)
    registry = Registry(settings)
    aliases = registry.aliases()
    for name in (aliases.candidate, aliases.previous):
        if name and (registry.path / name).is_dir():
            yield _served(settings, RegisteredDelta(registry, registry.find(name)))
    for record in settings.run_dir.glob("model-*.json"):
        try:
            yield Path(json.loads(record.read_bytes())["weights"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _building(settings: Settings, kind: str) -> AbstractContextManager[None]:
    """Nobody else adds to or takes from the directories of this kind meanwhile."""
    return exclusive(settings.weights_dir / f"{kind}.lock", "weights: another process is building them, waiting")


def _rebuild(settings: Settings, python: Path | None, base: Path, delta: Delta, directory: Path) -> bool:
    """Whether anything had to be done."""
    with _building(settings, directory.parent.name):
        if _holds(directory, delta.rebuilt):
            return False
        file = delta.path()
        require_disk(directory, 2 * (base / WEIGHTS).stat().st_size, f"Rebuilding {delta.name}")
        say(f"rebuilding {delta.name} from the base and its delta")
        run_program(settings, python, "infra.weights.delta", "apply", "--base", base, "--delta", file, "--out", directory)
        return True


def server_options(settings: Settings, variant: Variant = "production") -> tuple[str, ...]:
    """What keepsake_vllm.launch must be told about these weights: a context that is shorter than what it asks for by itself."""
    added = find_added(settings, settings.model_name) if variant == "production" else None
    return ("--max-model-len", str(added.context)) if added and added.context < SERVED_CONTEXT else ()


def weights_ready(settings: Settings, variant: Variant = "production") -> bool:
    """True if `build_served` would build nothing."""
    if variant == "production" and not settings.model_name.startswith(EMBEDDED):
        return find_added(settings, settings.model_name) is not None
    if not _holds(settings.weights_dir / "base", WEIGHTS_SHA256):
        return False
    delta = None if variant == "base" else served_delta(settings)
    return delta is None or _holds(_served(settings, delta), delta.rebuilt)


def _base(settings: Settings, python: Path | None) -> Path:
    directory = settings.weights_dir / "base"
    if not _holds(directory, WEIGHTS_SHA256):
        run_program(settings, python, "infra.weights.base", "--out", directory)
    return directory


def _holds(directory: Path, weights: str) -> bool:
    """True if it has these weights and the tokenizer of this version."""
    manifest = read_manifest(directory)
    if manifest is None or not (directory / WEIGHTS).is_file():
        return False
    return (manifest.weights, tokenizer_hash(manifest)) == (weights, TOKENIZER_SHA256)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.weights.served", description="Build the weights to serve and print their directory."
    )
    parser.add_argument("--variant", choices=("production", "base"), default="production")
    parser.add_argument("--here", action="store_true", help="use this interpreter, which has torch")
    options = parser.parse_args()
    try:
        directory = build_served(Settings(), options.variant, Path(sys.executable) if options.here else None)
    except KeepsakeError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    sys.stdout.write(f"{directory}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
