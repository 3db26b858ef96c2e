"""safetensors files written and read with the standard library, so that the tests need no torch and check the format by themselves."""

import json
import struct
from pathlib import Path
from random import Random

Tensor = tuple[list[int], list[float]]  # shape, values


def to_bf16(value: float) -> int:
    """Round to nearest even, as every bf16 unit does."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 & 0xFFFF


def from_bf16(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def rounded(value: float) -> float:
    return from_bf16(to_bf16(value))


def write(path: Path, tensors: dict[str, Tensor], dtype: str = "BF16") -> None:
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}H", *map(to_bf16, values)) if dtype == "BF16" else struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read(path: Path) -> dict[str, Tensor]:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        assert entry["dtype"] == "BF16"
        found[name] = (entry["shape"], [from_bf16(bits) for bits in struct.unpack(f"<{(end - start) // 2}H", raw[start:end])])
    return found


def tiny_llama(seed: int) -> dict[str, Tensor]:
    """Random weights with the names and kinds of tensors that a Llama has: 1 layer, width 96, 128 tokens."""
    random = Random(seed)
    shapes = {
        "model.embed_tokens.weight": [128, 96],
        "model.layers.0.self_attn.q_proj.weight": [96, 96],
        "model.layers.0.mlp.down_proj.weight": [96, 160],
        "model.layers.0.input_layernorm.weight": [96],
        "model.norm.weight": [96],
    }
    return {
        name: (shape, [rounded(random.gauss(0, 0.05)) for _ in range(shape[0] * (shape[1] if len(shape) > 1 else 1))])
        for name, shape in shapes.items()
    }
