"""What a recipe needs of a device's memory, from the model's shape alone, and which knob to turn where it is too much.

Mixed precision as TRL and PyTorch do it: trained weights, gradients and AdamW's two moments in float32, products in bfloat16; under LoRA the base
in bfloat16. Bytes that a layer keeps for its backward pass were counted on Llama, Qwen3 and Phi-3 layers (the largest of each), the rest is
arithmetic. No figure here was held against a GPU's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import InvalidInput
from infra.training.hub.architecture import Architecture
from infra.training.hub.config import HubRecipe

GIB = 2**30
TILE = 4096 * 32768  # logits that TRL's head holds at a time
LAYERS_AT_ONCE = 2  # that FSDP2 has whole: one at work, one on its way
OVERHEAD_GIB = 2.0  # the CUDA context, workspaces
FRAGMENTATION = 0.05
FEW = tuple(2**n for n in range(1, 9))  # numbers of devices that are proposed


@dataclass(frozen=True)
class Memory:
    """GiB of each kind on one device, at the moment that takes most."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def memory(recipe: HubRecipe, shape: Architecture, length: int) -> Memory:
    """For rows of `length` tokens, the longest that there are."""
    hardware, lora = recipe.hardware, recipe.lora
    shards = hardware.processes if hardware.parallel == "fsdp2" else 1
    tokens = hardware.micro_batch * length
    rows, trained = bool(lora.r and lora.token_rows), trained_weights(recipe, shape)
    embeddings = 1 if shape.tie_word_embeddings else 2
    wide = not lora.r and hardware.parallel != "fsdp2"  # a residual stream in float32: LoRA's base and FSDP2's layers are bfloat16
    kept = _kept(shape, wide=wide) * tokens
    residual = (4 if wide else 2) * shape.hidden_size * tokens
    parts = {
        "weights": (2 * shape.weights + 4 * trained if lora.r else 4 * shape.weights) / shards,
        "working_weights": _working(shape, embeddings, shards, full=not lora.r),
        "gradients": 4 * trained / shards + (4 * trained if hardware.parallel == "ddp" else 0),  # DDP's buckets are copies
        "optimizer": 8 * trained / shards,
        "activations": (shape.num_hidden_layers * residual + kept) if hardware.gradient_checkpointing else shape.num_hidden_layers * kept,
        "backward": (6 * shape.intermediate_size + 8 * shape.hidden_size) * tokens,
        "logits": 2 * TILE + 4 * shape.hidden_size * tokens + (4 * shape.embedding if rows or not lora.r else 0),
        # Rows that are trained are put into a copy of the whole matrix at every pass, and the copy has a gradient.
        "token_rows": 4 * shape.embedding * embeddings if rows else 0,
        # SDPA turns the boolean mask into one that is added, in bfloat16.
        "mask": 3 * hardware.micro_batch * length**2 if _dense(recipe) else 0,
    }
    gib = {name: size / GIB for name, size in parts.items()}
    return Memory({**gib, "overhead": OVERHEAD_GIB + FRAGMENTATION * sum(gib.values())})


def trained_weights(recipe: HubRecipe, shape: Architecture) -> int:
    lora = recipe.lora
    return shape.adapter(lora.r, lora.targets, 4 if lora.token_rows else 0) if lora.r else shape.weights


def checkpoint_bytes(recipe: HubRecipe, shape: Architecture) -> int:
    """On disk: weights and AdamW's moments in float32; the weights twice under FSDP2, once for transformers and once in its own form."""
    return (16 if recipe.hardware.parallel == "fsdp2" else 12) * trained_weights(recipe, shape)


def _kept(shape: Architecture, *, wide: bool) -> int:
    """Bytes a token that one layer keeps for its backward pass."""
    return (26 if wide else 18) * shape.hidden_size + 8 * shape.intermediate_size + 14 * shape.query_width + 6 * shape.key_width


def _working(shape: Architecture, embeddings: int, shards: int, *, full: bool) -> float:
    """Weights in bfloat16 beside the stored ones: all that autocast casts, or the layers that FSDP2 has whole."""
    if shards > 1:
        return 2 * (LAYERS_AT_ONCE * shape.layer + embeddings * shape.embedding)
    return 2 * shape.weights if full else 0


def _dense(recipe: HubRecipe) -> bool:
    masked = recipe.train.packing or any(stage.mask == "memento" for stage in recipe.stages)
    return masked and recipe.hardware.attention == "sdpa"


def require_fit(recipe: HubRecipe, shape: Architecture, length: int, available: float | None = None) -> Memory:
    """What it needs. InvalidInput, which names the knob, where that is more than `available` GiB (None: what the recipe says)."""
    room = recipe.hardware.memory_gib if available is None else available
    needed = memory(recipe, shape, length)
    if needed.total <= room:
        return needed
    largest = sorted(needed.parts, key=needed.parts.__getitem__, reverse=True)[:3]
    most = ", ".join(f"{name} {needed.parts[name]:.1f}" for name in largest)
    found = [f"{words} ({size:.0f} GiB)" for words, size in _remedies(recipe, shape, length, room)]
    raise InvalidInput(
        f"{recipe.name} needs {needed.total:.1f} GiB on each device for rows of {length:,} tokens, there are {room:.0f} ({most}).",
        hint=f"It fits with {'; or with '.join(found[:3])}." if found else "Take a smaller model, or train.max_length=8192 with lora.r=16.",
        needed=needed.parts,
    )


def _remedies(recipe: HubRecipe, shape: Architecture, length: int, room: float) -> Iterator[tuple[str, float]]:
    """Changes with which it fits, the cheapest first: one alone, then what costs no device together, then more devices, then LoRA."""
    cheap = [("attention", "flex"), ("gradient_checkpointing", True), ("micro_batch", 1)]
    open_knobs = {key: value for key, value in cheap if getattr(recipe.hardware, key) != value}
    if not _dense(recipe):
        open_knobs.pop("attention", None)
    tries: list[dict[str, object]] = [{key: value} for key, value in open_knobs.items()]
    tries += [open_knobs] if len(open_knobs) > 1 else []
    found = [fit for hardware in tries for fit in _fits(recipe, shape, length, room, {"hardware": hardware})]
    yield from found
    if found:
        return
    for processes in FEW:
        if processes > recipe.hardware.processes and recipe.train.global_batch % processes == 0:
            found = list(_fits(recipe, shape, length, room, {"hardware": {**open_knobs, "parallel": "fsdp2", "processes": processes}}))
            yield from found
            if found:
                break
    if not recipe.lora.r:
        yield from _fits(recipe, shape, length, room, {"hardware": open_knobs, "lora": {"r": 16}})


def _fits(
    recipe: HubRecipe, shape: Architecture, length: int, room: float, changes: dict[str, dict[str, object]]
) -> Iterator[tuple[str, float]]:
    total = memory(recipe.changed(**changes), shape, length).total
    if total <= room:
        yield " ".join(f"{section}.{key}={_yaml(value)}" for section, keys in changes.items() for key, value in keys.items()), total


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
