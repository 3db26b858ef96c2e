"""What the embedded model learns from: one example is one role call of the team, its prompt as messages and the line it should answer.

Needs no torch: worlds make examples, training reads them.
"""

import gzip
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.memento.grammar import neutralise

START = "<|im_start|>"
ASSISTANT = f"{START}assistant\n"
END = "<|im_end|>"
STREAM = "stream"  # role of an example that is a whole run as one conversation


@dataclass(frozen=True)
class Piece:
    """A stretch of a conversation. `answer`: the model's, with the token that ends it. `closes`: a memento, whose block ends before it. `opens`:
    a block begins after."""

    text: str
    answer: bool = False
    learned: bool = False
    closes: bool = False
    opens: bool = False


@dataclass(frozen=True)
class Example:
    """`kind` is the decision type that examples are balanced by, such as `web.order.click button Add to cart`; `seed` that of the task.

    `thought`: [block, memento] of each block of reasoning before the completion.
    """

    role: str
    family: str
    kind: str
    seed: int
    messages: list[dict[str, str]]
    completion: str
    thought: list[list[str]] = field(default_factory=list)

    @property
    def conversation(self) -> bool:
        """Whether earlier answers are part of it: then each is learned, except those with `learn: no`."""
        return any(message["role"] == "assistant" for message in self.messages)

    @property
    def pieces(self) -> Iterator[Piece]:
        """A conversation with bare turns, in stretches that are tokenized each for itself: between two places where a token is put in."""
        held = START
        for message in [*self.messages, {"role": "assistant", "content": self.completion}]:
            content = neutralise(message["content"])
            if message["role"] == "assistant":
                closes = "memento" in message
                yield Piece(held)
                yield Piece(content + END, answer=True, learned=message.get("learn") != "no", closes=closes)
                held = END if closes else ""
                continue
            if "closes" in message:
                yield Piece(held)
                yield Piece(neutralise(message["closes"]), closes=True)
                held = ""
            held += neutralise(message.get("kept", ""))
            if "opens" in message:
                yield Piece(held, opens=True)
                held = ""
            held += content + START

    @property
    def digest(self) -> str:
        """SHA-256 over what the model sees and says: examples that share it are one and the same decision."""
        seen = [self.messages, self.completion, *([self.thought] if self.thought else [])]
        return hashlib.sha256(json.dumps(seen, ensure_ascii=False).encode()).hexdigest()

    @property
    def prompt(self) -> str:
        """The prompt as the server's chat template renders it, control-token literals neutralised as the model client does."""
        turns = (f"{START}{m['role']}\n{neutralise(m['content'])}{END}\n" for m in self.messages)
        return "".join(turns) + ASSISTANT

    @property
    def answer(self) -> str:
        """What is to be learned behind the thought, up to the token that ends it. A control-token literal in it can only be a copy of a
        neutralised one."""
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
                stream.write(_line(example))
        raw.flush()
        os.fsync(raw.fileno())
    partial.replace(path)


def data_hash(examples: Iterable[Example]) -> str:
    """SHA-256 over examples in their order, every field."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(_line(example).encode())
    return digest.hexdigest()


def _line(example: Example) -> str:
    """JSON of an example; `thought` only where there is one, so that examples from before it keep their bytes and hashes."""
    values = asdict(example)
    return json.dumps(values if example.thought else {key: values[key] for key in values if key != "thought"}, ensure_ascii=False) + "\n"


_FIELDS = {field.name: field.type for field in fields(Example)}


def _example(values: Any) -> Example:
    if not isinstance(values, dict) or values.keys() | {"thought"} != _FIELDS.keys():
        raise ValueError(f"an example has the fields {', '.join(_FIELDS)}")
    if not all(isinstance(pair, list) and [type(text) for text in pair] == [str, str] for pair in values.get("thought", [])):
        raise ValueError("a thought is a list of [block, memento]")
    strings = [values[name] for name, kind in _FIELDS.items() if kind is str]
    messages = values["messages"]
    good = all(isinstance(text, str) for text in strings) and isinstance(values["seed"], int) and isinstance(messages, list) and messages
    if not good or not all(
        isinstance(m, dict) and {"role", "content"} <= m.keys() and {type(v) for v in m.values()} == {str} for m in messages
    ):
        raise ValueError("a field has the wrong type")
    return Example(**values)
