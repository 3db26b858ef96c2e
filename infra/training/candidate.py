"""What asks to be promoted: a finished run, or a version that the registry has already."""

import json
from dataclasses import dataclass
from pathlib import Path

from app.config import Settings
from app.errors import Conflict, NotFound, SetupError
from app.registry import Version
from infra.training.config import Recipe
from infra.training.gates import judge
from infra.training.manifest import now, read_run_manifest
from infra.training.registry import Registry
from infra.training.run_folder import RunFolder
from infra.weights.delta import read_header
from infra.weights.manifest import file_hash, read_manifest
from infra.weights.served import build_delta
from infra.weights.shipped import shipped_deltas


@dataclass(frozen=True)
class Candidate:
    """A version; `file` is its delta. While the registry does not have it yet, `version.version` is its run's name.

    `built`: a directory that may hold its complete weights already.
    """

    version: Version
    file: Path
    registered: bool
    built: Path | None = None

    @property
    def name(self) -> str:
        return self.version.version

    @property
    def rebuilt(self) -> str:
        return self.version.rebuilt

    def path(self) -> Path:
        """The delta, checked. Raises SetupError."""
        if not self.file.is_file() or file_hash(self.file) != self.version.delta:
            raise SetupError(f"{self.file} is missing or damaged.", hint="Resume its run, or restore the file.")
        return self.file

    def weights(self, settings: Settings) -> Path:
        """A directory of its complete weights, for a measurement. Raises SetupError."""
        known = read_manifest(self.built) if self.built else None
        return self.built if self.built and known and known.weights == self.rebuilt else build_delta(settings, self)


def of_version(settings: Settings, name: str) -> Candidate:
    """A version by name, checked; a delta that ships with Keepsake becomes one. Raises NotFound, StorageError, SetupError."""
    registry = Registry(settings)
    try:
        version = registry.find(name)
    except NotFound:
        shipped = next((delta for delta in shipped_deltas() if delta.name == name), None)
        if shipped is None:
            raise
        version = registry.adopt(shipped, default=False)
    return Candidate(version, registry.delta(version), registered=True)


def of_run(settings: Settings, recipe: Recipe, recipe_file: str) -> Candidate:
    """The finished run of a recipe. Raises Conflict when it is not finished, SetupError when its delta is not the one that was measured."""
    folder = RunFolder(settings, recipe)
    manifest = read_run_manifest(folder.path)
    if manifest is None or manifest.status != "finished":
        raise Conflict(f"The run {recipe.run_name} is not finished.", hint="Run or resume it first.")
    header = read_header(folder.delta)
    counts, seeds = manifest.data.get("counts", {}), recipe.data.train
    version = Version(
        version=manifest.name,
        run=manifest.name,
        recipe=recipe_file,
        recipe_sha256=manifest.recipe_sha256,
        base=manifest.base,
        delta=manifest.artifacts[folder.delta.name],
        rebuilt=manifest.artifacts["rebuilt"],
        data=", ".join(f"{n} examples to {'learn from' if split == 'train' else split}" for split, n in counts.items())
        + ("" if recipe.data.files else f"; seeds {seeds.start} to {seeds.stop - 1} of the example worlds")
        + (f"; reasoning traces of {', '.join(recipe.data.traces.families)}" if recipe.data.traces.families else ""),
        data_sha256=manifest.data["hashes"]["all"],
        created=now(),
        commit=manifest.commit + ("+" if manifest.dirty else ""),
        metrics=json.loads(json.dumps({**manifest.metrics, "tokens": manifest.tokens, "seconds": round(manifest.seconds)})),
        gates=judge(recipe.gates, {}, None),
    )
    if (header.base, header.rebuilt) != (version.base, version.rebuilt):
        raise SetupError(f"{folder.delta.name} describes other weights than its run's manifest.", hint="Remove the run and train it again.")
    found = Candidate(version, folder.delta, registered=False, built=folder.rebuilt)
    found.path()
    return found
