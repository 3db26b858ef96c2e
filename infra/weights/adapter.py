"""A PEFT LoRA adapter, put into the weights it was trained on: W + scale * B @ A, in fp32. safetensors only; torch is imported inside.

Follows LoRA (arXiv 2106.09685) and, where the adapter says so, rsLoRA's scale (arXiv 2312.03732). Variants whose sum is another one are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
ADAPTER = "adapter_model.safetensors"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
OTHER_SUMS = (
    "use_dora",
    "fan_in_fan_out",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "velora_config",
    "monteclora_config",
)
PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")  # others change the base before training
_PART = re.compile(r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|trainable_tokens_delta)(?:\.default)?(?:\.weight)?$")
_FORMAT_HINT = "Train it with PEFT's LoraConfig, or merge it yourself and add the merged model."


def read_adapter_config(directory: Path) -> dict[str, Any]:
    """`adapter_config.json`. InvalidInput if this is no directory with a LoRA adapter in safetensors, or one of another kind."""
    try:
        config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
        kind = str(config["peft_type"]).rpartition(".")[2]
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(
            f"{directory} holds no PEFT adapter.", hint=f"Give a directory with {CONFIG} and {ADAPTER}, or a delta file."
        ) from None
    if not (directory / ADAPTER).is_file():
        raise InvalidInput(f"{directory} has no {ADAPTER}; other formats can carry code and are not read.", hint="Save it as safetensors.")
    if kind != "LORA":
        raise InvalidInput(f"The adapter is of the kind {kind}, only LoRA can be merged.", hint=_FORMAT_HINT)
    odd = next((key for key in OTHER_SUMS if config.get(key)), None)
    odd = odd or ("bias" if config.get("bias", "none") != "none" else None)
    odd = odd or ("init_lora_weights" if config.get("init_lora_weights", True) not in PLAIN_STARTS else None)
    if odd:
        raise InvalidInput(f"The adapter sets {odd}={config[odd]!r}, which is more than a sum of low rank.", hint=_FORMAT_HINT)
    return config


@dataclass(frozen=True)
class Adapter:
    """What an adapter changes, by the name of the changed tensor: pairs of low rank (A, B), whole tensors, and single rows (ids, values)."""

    config: dict[str, Any]
    low_rank: dict[str, tuple[Tensor, Tensor]]
    whole: dict[str, Tensor]
    rows: dict[str, tuple[list[int], Tensor]]

    @property
    def embeddings(self) -> int:
        """Rows of the embeddings that it was trained with; 0 where it does not say."""
        return max((len(self.whole[name]) for name in (EMBEDDINGS, HEAD) if name in self.whole), default=0)

    def require_fit(self, shapes: dict[str, list[int]], tied: bool) -> None:
        """InvalidInput unless every change has its tensor, of the right shape, in the model (after its vocabulary has grown)."""
        wrong = [
            name
            for name, (a, b) in self.low_rank.items()
            if name not in shapes or [b.shape[0], a.shape[1]] != shapes[name] or a.shape[0] != b.shape[1]
        ]
        wrong += [name for name, tensor in self.whole.items() if list(tensor.shape) != shapes.get(name)]
        wrong += [
            name
            for name, (ids, values) in self.rows.items()
            if name not in shapes or list(values.shape) != [len(ids), *shapes[name][1:]] or max(ids) >= shapes[name][0]
        ]
        if wrong:
            raise InvalidInput(
                f"The adapter was made for another model: {wrong[0]} does not fit.", hint="Give the model that it was trained on."
            )
        saved = {str(name).rpartition(".")[2] for name in self.config.get("modules_to_save") or ()}
        if tied and ({EMBEDDINGS, HEAD} & set(self.low_rank) or HEAD in {*self.whole, *self.rows} or "embed_tokens" in saved):
            raise InvalidInput(
                "The adapter changes one of input and output embeddings, which are one tensor in this model.",
                hint="Train the new tokens with trainable_token_indices, or merge it yourself and add the merged model.",
            )

    def apply(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor with the adapter's change, in the tensor's dtype."""
        changed = self.whole[name].to(tensor.dtype) if name in self.whole else tensor
        if name in self.low_rank:
            a, b = self.low_rank[name]
            module = name.removesuffix(".weight")
            changed = (changed.float() + self._scale(module, a.shape[0]) * (b.float() @ a.float())).to(tensor.dtype)
        if name in self.rows:
            ids, values = self.rows[name]
            changed = changed.clone()
            changed[ids] = values.to(tensor.dtype)
        return changed

    def _scale(self, module: str, rank: int) -> float:
        alpha = _pattern(self.config.get("alpha_pattern"), module, self.config.get("lora_alpha", 8))
        return alpha / (rank**0.5 if self.config.get("use_rslora") else rank)


def read_adapter(directory: Path, config: dict[str, Any]) -> Adapter:
    """The adapter's tensors. InvalidInput if it has one that nobody knows what to do with."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        data = load_file(directory / ADAPTER)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"{ADAPTER} cannot be read: {error}", hint="Copy the adapter again.") from error
    parts: dict[str, dict[str, Tensor]] = {}
    adapter = Adapter(config, {}, {}, {})
    for key, tensor in data.items():
        name = key.removeprefix("base_model.model.")
        if found := _PART.search(name):
            parts.setdefault(name[: found.start()].removesuffix(".token_adapter"), {})[found[1]] = tensor
        elif name.endswith(".weight") and ".lora_" not in name:
            adapter.whole[name.replace(".modules_to_save", "").replace(".original_module", "").replace(".base_layer", "")] = tensor
        else:
            raise InvalidInput(f"The adapter has a tensor {key} of an unknown kind.", hint=_FORMAT_HINT)
    for module, found in parts.items():
        name = f"{module}.weight"
        if {"lora_A", "lora_B"} <= set(found):
            adapter.low_rank[name] = (found["lora_A"], found["lora_B"])
        elif {"lora_embedding_A", "lora_embedding_B"} <= set(found):
            adapter.low_rank[name] = (found["lora_embedding_B"].T, found["lora_embedding_A"].T)
        elif "trainable_tokens_delta" not in found:
            raise InvalidInput(f"The adapter has one half of {module} only.", hint="Copy the adapter again.")
        if "trainable_tokens_delta" in found:
            adapter.rows[name] = (_trained_rows(config, module), found["trainable_tokens_delta"])
    return adapter


def _trained_rows(config: dict[str, Any], module: str) -> list[int]:
    """Ids of the rows that were trained. A plain list is about the embeddings."""
    named = config.get("trainable_token_indices") or []
    if isinstance(named, dict):
        named = next((ids for key, ids in named.items() if module == key or module.endswith(f".{key}")), [])
    if not named:
        raise InvalidInput(f"The adapter does not say which rows of {module} it trained.", hint="Copy the adapter's configuration again.")
    return [int(row) for row in named]


def _pattern(patterns: dict[str, float] | None, module: str, default: float) -> float:
    """PEFT's rule for rank_pattern and alpha_pattern: the first key that is the end of the module's name, as an expression."""
    return next((value for key, value in (patterns or {}).items() if re.match(rf"(?:.*\.)?(?:{key})$", module)), default)
