"""A finished run's delta becomes part of the repository. Needs no torch."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any, Literal

from infra.training.manifest import RunManifest
from infra.training.run_folder import RunFolder
from infra.weights.shipped import DIRECTORY, ShippedDelta, register


def ship_delta(
    folder: RunFolder,
    manifest: RunManifest,
    recipe: Path,
    status: Literal["production", "candidate"],
    created: date,
    directory: Path = DIRECTORY,
    figures: dict[str, Any] | None = None,
) -> ShippedDelta:
    """Copy the delta to `directory` and enter it there with the run's data hash, seeds, commit and figures; `figures`: those of benches, which
    later versions are held to. Raises what `register` raises."""
    shutil.copyfile(folder.delta, directory / folder.delta.name)
    seeds = manifest.recipe["data"]
    entry = ShippedDelta(
        name=manifest.name,
        file=folder.delta.name,
        sha256=manifest.artifacts[folder.delta.name],
        status=status,
        created=created,
        base=manifest.base,
        rebuilt=manifest.artifacts["rebuilt"],
        recipe=recipe.name,
        data_sha256=manifest.data["hashes"]["all"],
        seeds=[seeds["train"]["start"], seeds["train"]["stop"]],
        commit=manifest.commit + ("+" if manifest.dirty else ""),
        metrics={
            **manifest.metrics,
            **(figures or {}),
            "tokens": manifest.tokens,
            "seconds": round(manifest.seconds),
            "device": manifest.device,
        },
    )
    register(entry, directory)
    return entry
