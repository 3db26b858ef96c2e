"""The manifest of a hub run at the beginning of an attempt."""

from importlib.metadata import version
from typing import Any

import torch

from app.errors import Conflict
from infra.bench.base import commit
from infra.training.hub.config import HubRecipe
from infra.training.hub.machine import Machine
from infra.training.manifest import RunManifest, now, packages

PACKAGES = ("trl", "peft", "accelerate", "datasets")
SAME = ("parallel", "processes", "micro_batch", "attention")  # of the hardware, for a run that is gone on with bit for bit


def begin_manifest(
    recipe: HubRecipe, machine: Machine, base: str, data: dict[str, Any], steps: int, earlier: RunManifest | None
) -> RunManifest:
    """`base`: hash of the weights; `data`: figures of the rows. Raises Conflict when the run began with other weights or on another machine."""
    head = commit()
    fresh = RunManifest(
        status="running",
        name=recipe.run_name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe.digest,
        commit=head.removesuffix("+"),
        dirty=head.endswith("+"),
        base=base,
        init=base,
        data=data,
        device=machine.name,
        precision=machine.precision,
        threads=torch.get_num_threads(),
        packages={**packages(), **{name: version(name) for name in PACKAGES}},
        started=now(),
        steps=steps,
    )
    if earlier is None:
        return fresh
    were, are = ({key: m.recipe["hardware"][key] for key in SAME} for m in (earlier, fresh))
    for what, was, is_now in (
        ("records", earlier.data["hashes"]["all"], data["hashes"]["all"]),
        ("base weights", earlier.base, base),
        ("precision", earlier.precision, fresh.precision),
        ("hardware", were, are),
    ):
        if was != is_now:
            raise Conflict(
                f"The run {fresh.name} began with other {what} than this attempt would go on with.",
                hint=f"Resume it with {was}, or remove its directory." if what != "records" else "Give it those, or remove its directory.",
                was=was,
                now=is_now,
            )
    kept = {name: getattr(earlier, name) for name in ("started", "wall_s", "metrics", "artifacts", "steps_done")}
    return fresh.model_copy(update={**kept, "attempts": earlier.attempts + 1})
