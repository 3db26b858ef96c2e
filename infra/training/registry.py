"""The registry of the embedded model's weights: immutable versions, and aliases that are swapped atomically. Needs no torch.

A version is written beside its place, synced and then renamed to it, so that it is there whole or not at all; the same holds for the aliases.
Layout and reading: app.registry. Two locks: `locked` is held by who changes aliases, over the whole of a promotion; the other, for the time of
one write, is taken inside it or alone, so that a start of the model server never waits for a promotion.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path

from app.config import Settings
from app.errors import NotFound, SetupError, StorageError
from app.registry import (
    ALIASES,
    CARD,
    DELTA,
    ENTRY,
    LOCK,
    SHIPPED,
    Aliases,
    RegistryView,
    Version,
    read_aliases,
    read_registry,
    read_version,
    registry_folder,
)
from infra.lock import exclusive
from infra.training.card import model_card
from infra.training.gates import judge
from infra.training.manifest import now, write_json
from infra.weights.delta import read_header
from infra.weights.manifest import file_hash
from infra.weights.shipped import ShippedDelta

_UNFINISHED = ".registering-"


class Registry:
    """The versions below one home."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.path = registry_folder(settings.home)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Nobody else changes an alias meanwhile; a second one waits. The kernel frees it when a process dies."""
        with exclusive(self.path.parent / LOCK, "registry: another promotion or rollback is under way, waiting"):
            yield

    def view(self) -> RegistryView:
        return read_registry(self.home)

    def aliases(self) -> Aliases:
        return read_aliases(self.home)

    def find(self, name: str) -> Version:
        """Raises NotFound, StorageError."""
        return read_version(self.home, name)

    def production(self) -> Version | None:
        """The version that the alias names; None while what Keepsake ships is served. Raises StorageError, SetupError."""
        name = self.aliases().production
        try:
            return self.find(name) if name else None
        except NotFound as error:
            raise SetupError(f"The version in production, {name}, is gone from the registry.", hint=_back(self.path)) from error

    def delta(self, version: Version) -> Path:
        """The version's delta file, checked: its own hash, and what it says of its base and result. Raises SetupError."""
        path = self.path / version.version / DELTA
        if not path.is_file() or file_hash(path) != version.delta:
            raise SetupError(f"The delta of the registry's entry {version.version} is missing or damaged.", hint=_back(self.path))
        header = read_header(path)
        if (header.base, header.rebuilt) != (version.base, version.rebuilt):
            raise SetupError(f"The registry's entry {version.version} describes other weights than its delta.", hint=_back(self.path))
        return path

    def register(self, version: Version, delta: Path) -> Version:
        """Enter `version` under the next free name `<run>.<n>`; one that is there already with the same weights, figures and gates is kept.

        Hold `locked`. Raises SetupError for a delta that is not the version's, StorageError when the disk does not take it.
        """
        if not delta.is_file() or file_hash(delta) != version.delta:
            raise SetupError(f"{delta} is not the delta that {version.run} was measured with.", hint="Resume the run: it packs it again.")
        others = [known for known in self.view().versions if known.run == version.run]
        for known in others:
            same = (known.delta, known.rebuilt, known.metrics) == (version.delta, version.rebuilt, version.metrics)
            if same and known.asked == version.asked:
                return known
        number = 1
        while (self.path / f"{version.run}.{number}").exists():
            number += 1
        named = version.model_copy(update={"version": f"{version.run}.{number}", "created": now(), "shipped": False})
        self._write(named, delta)
        return named

    def adopt(self, shipped: ShippedDelta, default: bool = True) -> Version:
        """A copy of a shipped delta as a version of its own name, so that it can be gone back to when the installation ships another.
        `default`: note it as what is served while no alias says otherwise. Raises SetupError, StorageError."""
        if not (self.path / shipped.name / ENTRY).is_file():
            version = Version(
                version=shipped.name,
                run=shipped.name,
                recipe=shipped.recipe,
                base=shipped.base,
                delta=shipped.sha256,
                rebuilt=shipped.rebuilt,
                data=f"the team's decisions on seeds {shipped.seeds[0]} to {shipped.seeds[-1] - 1} of the example worlds",
                data_sha256=shipped.data_sha256,
                created=datetime.combine(shipped.created, time(), UTC),
                commit=shipped.commit,
                shipped=True,
                metrics=shipped.metrics,
                gates=judge([], shipped.metrics, None),
            )
            self._write(version, shipped.path())
        noted = Aliases(production=shipped.name).model_dump()
        if default and self._read(SHIPPED) != noted:
            write_json(self.path / SHIPPED, noted)
        return self.find(shipped.name)

    def point(self, aliases: Aliases) -> None:
        """Set all aliases at once. Hold `locked`. Raises StorageError, and then nothing has changed."""
        write_json(self.path / ALIASES, aliases.model_dump())

    def _read(self, name: str) -> object:
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None

    def _write(self, version: Version, delta: Path) -> None:
        """The directory of a version, whole or not at all. One that another process wrote first stays."""
        target = self.path / version.version
        with exclusive(self.path.parent / "writing.lock", "registry: another process writes a version, waiting"):
            if target.exists():
                return
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                for left in self.path.glob(f"{_UNFINISHED}*"):  # of a process that was killed: only the holder of the lock writes
                    shutil.rmtree(left)
                with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.path, ignore_cleanup_errors=True) as scratch:
                    made = Path(scratch) / "version"
                    made.mkdir()
                    shutil.copyfile(delta, made / DELTA)
                    if file_hash(made / DELTA) != version.delta:
                        raise OSError("what was written is not what was read")
                    (made / CARD).write_text(model_card(version))
                    (made / ENTRY).write_text(version.model_dump_json(indent=1) + "\n")
                    for path in made.iterdir():
                        path.chmod(0o444)
                        _sync(path)
                    _sync(made)
                    made.rename(target)
                    _sync(self.path)
            except OSError as error:
                reason = error.strerror or str(error)
                raise StorageError(
                    f"{version.version} could not be written to the registry: {reason}.", hint="Free some disk, then promote again."
                ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _back(path: Path) -> str:
    return (
        "What is served now stays. `keepsake train promote` another version, or `keepsake train rollback`; without a version to go back to, "
        f"remove {path / ALIASES}: then the weights that Keepsake ships are served."
    )
