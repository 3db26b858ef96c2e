"""A tiny random Llama with a small tokenizer of its own, laid out as the base weights are. Needs torch."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from infra.training.examples import write_shard
from infra.weights.manifest import write_manifest
from infra.weights.vocabulary import CHAT_TEMPLATE, special_tokens_map, tokenizer_config
from tests.infra.training.samples import examples

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<row {row}>" for row in range(3, 11))]  # rows 7 to 10 are the memento tokens


def make_base(home: Path, layers: int = 2) -> Path:
    """`<home>/weights/base`, 0.1 million parameters."""
    directory = home / "weights" / "base"
    directory.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE())
    digits, level = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=328, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([e.prompt + e.answer for e in examples(30)], trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    special = {**special_tokens_map(), "additional_special_tokens": []}
    _json(directory / "special_tokens_map.json", special)
    _json(directory / "tokenizer_config.json", {**tokenizer_config(512), **special})
    model(layers, tokenizer.get_vocab_size()).to(torch.bfloat16).save_pretrained(directory)
    (directory / "NOTICE").write_text("tiny\n")
    write_manifest(directory, "tiny", {})
    return directory


def model(layers: int = 2, vocabulary: int = 328) -> LlamaForCausalLM:
    torch.manual_seed(7)
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    shape = {"hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    config = LlamaConfig(vocab_size=vocabulary, num_hidden_layers=layers, tie_word_embeddings=True, rope_parameters=rope, **shape)
    return LlamaForCausalLM(config)


def write_recipe(folder: Path, **train: object) -> Path:
    """A recipe over files of made-up examples: a few dozen steps, seconds in all."""
    for split, first in (("train", 0), ("dev", 100), ("eval", 200)):
        write_shard(folder / f"{split}.jsonl.gz", examples(36 if split == "train" else 9, first))
    settings = {"tokens": 24_000, "tokens_per_step": 600, "checkpoint_steps": 10, "dev_steps": 15, "dev_examples": 6, "threads": 1, **train}
    recipe = {
        "name": "tiny",
        "data": {"files": {split: [str(folder / f"{split}.jsonl.gz")] for split in ("train", "dev", "eval")}},
        "train": settings,
        "optimizer": {"lr": 3e-3, "warmup_steps": 5},
    }
    _json(folder / "tiny.yaml", recipe)  # JSON is YAML
    return folder / "tiny.yaml"


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))
