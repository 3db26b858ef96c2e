"""Tiny random models as the hub has them, prepared as `keepsake models add` does it, records to train on, and a recipe. Needs torch."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from infra.weights.preparing import prepare
from infra.weights.request import Request
from tests.infra.training.samples import WORDS
from tests.infra.weights.tiny_models import CHATML, HEADERS, SHAPE, save, tokenizer

NAMES = ("llama", "qwen3")


def prepared(home: Path, name: str = "qwen3", **changes: Any) -> Path:
    """`<home>/weights/added/<name>`. llama: untied, without <think>. qwen3: tied, with it."""
    raw = home / "raw" / name
    shape = {**SHAPE, "initializer_range": 0.08, **changes}
    torch.manual_seed(len(name))
    if name == "llama":
        size = tokenizer(raw, ["<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], HEADERS, reserved=6)
        save(LlamaForCausalLM(LlamaConfig(vocab_size=size, eos_token_id=size - 7, tie_word_embeddings=False, **shape)), raw)
    else:
        size = tokenizer(raw, ["<|endoftext|>", "<|im_start|>", "<think>", "</think>", "<|im_end|>"], CHATML)
        config = Qwen3Config(vocab_size=size + 20, eos_token_id=size - 1, head_dim=16, tie_word_embeddings=True, **shape)
        save(Qwen3ForCausalLM(config), raw)
    out = home / "weights" / "added" / name
    prepare(Request(name=name, model=str(raw)), out)
    return out


def record(seed: int, blocks: int = 2) -> dict[str, Any]:
    """As `keepsake mementos build` writes one: the answer repeats the word that the problem names."""
    draw = random.Random(seed)
    word = draw.choice(WORDS)
    made = [{"text": f"\n{' '.join(draw.choices(WORDS, k=draw.randint(4, 12)))} {word}\n", "memento": word} for _ in range(blocks)]
    return {
        "key": str(seed),
        "id": f"r{seed}",
        "problem": f"Which word? {word} {seed}",
        "blocks": made,
        "answer": f"\n\nThe word is {word}.",
    }


def write_records(path: Path, n: int, first: int = 0) -> Path:
    path.write_text("".join(json.dumps(record(first + i, 1 + i % 3)) + "\n" for i in range(n)))
    return path


def write_hub_recipe(folder: Path, model: str = "qwen3", records: int = 12, **sections: dict[str, Any]) -> Path:
    """A few steps of a few rows."""
    base: dict[str, dict[str, Any]] = {
        "model": {"path": model},
        "data": {"files": [str(write_records(folder / "records.jsonl", records))]},
        "train": {"max_length": 256, "epochs": 2, "global_batch": 4, "checkpoint_steps": 2},
        "optimizer": {"lr": 2e-3},
        "hardware": {"threads": 1},
    }
    recipe = {"name": "tiny", **{name: {**base.get(name, {}), **sections.get(name, {})} for name in {**base, **sections}}}
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(recipe))  # JSON is YAML
    return path
