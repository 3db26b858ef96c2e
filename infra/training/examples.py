"""What the embedded model learns from: one example is one role call of the team, its prompt as messages and the line it should answer.

Needs no torch: worlds make examples, training reads them.
"""

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.memento.grammar import neutralise

ASSISTANT = "<|im_start|>assistant\n"
END = "<|im_end|>"


@dataclass(frozen=True)
class Example:
    """`kind` is the decision type that examples are balanced by, such as `web.order.click button Add to cart`; `seed` that of the task."""

    role: str
    family: str
    kind: str
    seed: int
    messages: list[dict[str, str]]
    completion: str

    @property
    def digest(self) -> str:
        """SHA-256 over what the model sees and says: examples that share it are one and the same decision."""
        return hashlib.sha256(json.dumps([self.messages, self.completion], ensure_ascii=False).encode()).hexdigest()

    @property
    def prompt(self) -> str:
        """The prompt as the server's chat template renders it, control-token literals neutralised as the model client does."""
        turns = (f"<|im_start|>{m['role']}\n{neutralise(m['content'])}{END}\n" for m in self.messages)
        return "".join(turns) + ASSISTANT

    @property
    def answer(self) -> str:
        """What is to be learned, up to the token that ends it. A control-token literal in it can only be a copy of a neutralised one."""
        return neutralise(self.completion) + END


def read_shard(path: Path) -> list[Example]:
    """Examples of a `.jsonl` or `.jsonl.gz` file. Raises InvalidInput: no such file, damaged, or a line that is no example."""
    examples: list[Example] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            for line in stream:
                examples.append(_example(json.loads(line)))
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file of examples at {path}.", hint="Check the recipe's data files.") from error
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InvalidInput(
            f"{path} is no file of examples: {error} (line {len(examples) + 1}).", hint="Delete it, it is made again."
        ) from error
    return examples


def write_shard(path: Path, examples: Iterable[Example]) -> None:
    """Write a `.jsonl.gz`, atomically; equal examples give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as raw:
        with (
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8") as stream,
        ):
            for example in examples:
                stream.write(json.dumps(asdict(example), ensure_ascii=False) + "\n")
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(path)


def data_hash(examples: Iterable[Example]) -> str:
    """SHA-256 over examples in their order, every field."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps(asdict(example), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


_FIELDS = {field.name: field.type for field in fields(Example)}


def _example(values: Any) -> Example:
    if not isinstance(values, dict) or values.keys() != _FIELDS.keys():
        raise ValueError(f"an example has the fields {', '.join(_FIELDS)}")
    strings = [values[name] for name, kind in _FIELDS.items() if kind is str]
    messages = values["messages"]
    good = all(isinstance(text, str) for text in strings) and isinstance(values["seed"], int) and isinstance(messages, list) and messages
    if not good or not all(isinstance(m, dict) and {type(m.get("role")), type(m.get("content"))} == {str} for m in messages):
        raise ValueError("a field has the wrong type")
    return Example(**values)
