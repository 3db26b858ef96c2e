"""The examples of a recipe: made by the worlds' oracle, kept below `<home>/training/data`, and never in the repository.

A kept file is named by what decides its content: split, seeds, and the sources of everything that makes prompts and decisions. When one of
those changes, its examples are made anew.
"""

import ast
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.training.config import DataConfig, EvaluationConfig, Seeds
from infra.training.examples import STREAM, Example, data_hash, read_shard, write_shard
from infra.training.selection import distinct, sample
from infra.training.traces import built, traces

Split = Literal["train", "dev", "eval"]
Generate = Callable[[Split, range, int], Iterator[Example]]
Progress = Callable[[str], None]

SHARD_SEEDS = 50  # an interrupted generation loses at most this many seeds
CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = ("agents", "app/memento", "infra/worlds")


@dataclass(frozen=True)
class Data:
    """What a run learns from and is measured on. No measured decision is equal to a learned one.

    Tasks of different splits share no word that matters, so what is equal between them is a decision without any: the browser's first visit,
    the memento of a table with a fixed name. Every task meets those. They are learned, and `shared` of them are left out of the measuring;
    to leave them out of the learning instead cost whole families their success.
    """

    train: list[Example]
    dev: list[Example]
    eval: list[Example]
    repeated: int
    shared: int

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each part, and `all` over them."""
        parts = {"train": data_hash(self.train), "dev": data_hash(self.dev), "eval": data_hash(self.eval)}
        return {**parts, "all": hashlib.sha256(json.dumps(parts).encode()).hexdigest()}


def load_data(config: DataConfig, wanted: EvaluationConfig, folder: Path, say: Progress, generate: Generate | None = None) -> Data:
    """Examples of all three splits, from files or made by `generate` (the worlds' oracle by default), held-out ones sampled as `wanted`.

    Raises InvalidInput for a missing or damaged file; ToolError when an oracle run does not solve its task.
    """
    parts: dict[str, list[Example]] = {}
    for split, seeds in (("eval", config.eval), ("dev", config.dev), ("train", config.train)):
        if config.files:
            parts[split] = [example for path in config.files[split] for example in read_shard(path)]
        else:
            parts[split] = [example for path in shards(split, seeds, config.workers, folder, say, generate) for example in read_shard(path)]
        if not config.streams:
            parts[split] = [example for example in parts[split] if example.role != STREAM]
        thought = config.traces
        parts[split] += traces(thought.families, getattr(thought, split), split, thought.parts if split == "train" else {})
        parts[split] += built(config.traces.files.get(split, []))
    train = distinct(parts["train"], weigh=True)
    known = {example.digest for example in train.examples}
    evaluation = distinct(parts["eval"], known)
    dev = distinct(parts["dev"], known | {example.digest for example in evaluation.examples})
    measured = {"dev": sample(dev.examples, wanted.dev, 0), "eval": sample(evaluation.examples, wanted.eval, 0)}
    return Data(train.examples, measured["dev"], measured["eval"], train.repeated, evaluation.left_out + dev.left_out)


def shards(split: Split, seeds: Seeds, workers: int, folder: Path, say: Progress, generate: Generate | None = None) -> list[Path]:
    """Files with the examples of these seeds, made where they are missing."""
    paths = []
    for start in range(seeds.start, seeds.stop, SHARD_SEEDS):
        part = range(start, min(start + SHARD_SEEDS, seeds.stop))
        key = hashlib.sha256(json.dumps([split, part.start, part.stop, fingerprint()]).encode()).hexdigest()[:24]
        path = folder / f"{key}.jsonl.gz"
        if not path.is_file():
            say(f"making {split} examples of seeds {part.start} to {part.stop - 1}")
            write_shard(path, (generate or _oracle())(split, part, workers))
        paths.append(path)
    return paths


@functools.cache
def fingerprint() -> str:
    """SHA-256 over the sources that make prompts and decisions. Comments, docstrings and layout of Python files do not count."""
    digest = hashlib.sha256()
    files = sorted(path for source in SOURCES for path in (CHECKOUT / source).rglob("*") if path.is_file())
    for path in files:
        if "__pycache__" in path.parts:
            continue
        content = _meaning(path.read_text()) if path.suffix == ".py" else path.read_bytes()
        digest.update(json.dumps([path.relative_to(CHECKOUT).as_posix(), hashlib.sha256(content).hexdigest()]).encode())
    return digest.hexdigest()


def _meaning(source: str) -> bytes:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
    return ast.dump(tree).encode()


def _oracle() -> Generate:
    from infra.worlds.examples import generate

    return lambda split, seeds, workers: generate(split, seeds, workers)
