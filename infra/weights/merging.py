"""The weights of an added model, written file by file: the tokens' embeddings, then an adapter or a delta. torch is imported inside."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import InvalidInput
from infra.weights.adapter import HEAD, Adapter
from infra.weights.delta import DeltaHeader, tensor_hash
from infra.weights.embedding import NewTokens
from infra.weights.entries import rebuild
from infra.weights.manifest import weights_hash
from infra.weights.source import INDEX, Say, Source, read_json

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class DeltaChange:
    """A delta of ours as a change of one tensor after the other; `finish` says whether the base was its own."""

    header: DeltaHeader
    path: Path
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)

    def apply(self, name: str, tensor: Tensor) -> Tensor:
        from safetensors import safe_open

        self.before[name] = tensor_hash(tensor)
        with safe_open(self.path, "pt") as file:
            held = set(file.keys())
            parts = {part: file.get_tensor(f"{part}:{name}") for part in ("codes", "scales", "rows", "full") if f"{part}:{name}" in held}
        try:
            changed = rebuild(tensor, self.header.tensors.get(name), parts)
        except (KeyError, RuntimeError, ValueError) as error:
            raise InvalidInput(
                f"The delta was made for another model: {name} does not fit ({error}).", hint="Give its own base."
            ) from error
        self.after[name] = tensor_hash(changed)
        return changed

    def finish(self) -> None:
        """InvalidInput unless it was applied to the weights it was made for, and came out as it was made."""
        base, rebuilt = weights_hash(self.before), weights_hash(self.after)
        if (base, rebuilt) != (self.header.base, self.header.rebuilt):
            raise InvalidInput(
                f"The delta belongs to weights with the hash {self.header.base[:12]}, these have {base[:12]}.", hint="Give its own base."
            )


def write_weights(source: Source, tokens: NewTokens, change: Adapter | DeltaChange | None, tied: bool, out: Path, say: Say) -> None:
    """No more than one file is in memory at a time. Tied output embeddings are left out."""
    from safetensors.torch import load_file, save_file

    for number, file in enumerate(source.files, start=1):
        say(f"weights, file {number} of {len(source.files)}")
        kept = {}
        for name, tensor in load_file(file).items():
            if tied and name == HEAD:
                continue
            with_tokens = tokens.apply(name, tensor)
            kept[name] = (change.apply(name, with_tokens) if change else with_tokens).contiguous()
        save_file(kept, out / file.name, metadata={"format": "pt"})
        (out / file.name).chmod(0o644)
    if isinstance(change, DeltaChange):
        change.finish()
    if (source.directory / INDEX).is_file():
        places = read_json(source.directory / INDEX)["weight_map"]
        index = {
            "metadata": {"total_size": sum(file.stat().st_size for file in out.glob("*.safetensors"))},
            "weight_map": {name: file for name, file in places.items() if not (tied and name == HEAD)},
        }
        (out / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
