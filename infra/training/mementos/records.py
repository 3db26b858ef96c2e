"""Traces as they come: JSON lines whose fields have many names. What cannot be read is a dropped record with a sentence, not the end of a run."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from app.errors import InvalidInput

MAX_LINE_BYTES = 8_000_000  # 100,000 tokens, with room for JSON's escapes
LOOK_AHEAD = 20  # lines of which one at least must be a trace

# Names that data sets use, the most telling first.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "uuid", "problem_id"),
    "problem": ("problem", "question", "prompt", "instruction"),
    "thought": ("thought", "thoughts", "thinking", "reasoning", "reasoning_content"),
    "response": ("response", "trace", "completion", "generation", "output"),
    "answer": ("answer", "final_answer", "solution"),
    "source": ("source", "dataset", "domain"),
    "blocks": ("blocks",),
}
_DIALOGUES = ("conversations", "messages")
OPEN, CLOSE = "<think>", "</think>"


class Reason(StrEnum):
    """Why a record was dropped."""

    UNREADABLE = "unreadable"
    INCOMPLETE = "incomplete"
    TOO_LONG = "too_long"
    REFUSED = "refused"
    MISSING_MEMENTO = "missing_memento"
    FAILED_MEMENTO = "failed_memento"
    UNJUDGED = "unjudged"


class Dropped(Exception):
    """This record does not go on; the message says why, and what to do where something can be done."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Given:
    """A block whose memento came with the record."""

    text: str
    memento: str


@dataclass(frozen=True)
class Trace:
    """A problem, the thought about it and the answer. `blocks` only where whoever wrote the trace, such as a solver, wrote them too."""

    key: str
    id: str
    problem: str
    thought: str
    answer: str
    source: str = ""
    blocks: tuple[Given, ...] = ()


@dataclass(frozen=True)
class Unusable:
    """A line that gave no trace. `key` is of its bytes."""

    key: str
    where: str
    reason: Reason
    message: str


def open_dataset(paths: Sequence[Path], names: Mapping[str, str] | None = None) -> Iterator[Trace | Unusable]:
    """All traces of `.jsonl` and `.jsonl.gz` files. `names`: a field's name in these files, over NAMES.

    Raises InvalidInput before anything is read where a file is missing, empty, of another kind, or none of its first lines is a trace; and in
    the midst of it where a compressed file is damaged.
    """
    for path in paths:
        _check(path, names or {})
    return (item for path in paths for item in _read(path, names or {}))


def _check(path: Path, names: Mapping[str, str]) -> None:
    if not path.is_file():
        raise InvalidInput(f"There is no file at {path}.", hint="Name a file of traces, .jsonl or .jsonl.gz.")
    try:
        with _open(path) as stream:
            begin = stream.read(4)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, 0, error) from error
    if begin.startswith((b"PAR1", b"\x1f\x8b", b"PK")):
        raise InvalidInput(f"{path} is no file of JSON lines.", hint="Export it as .jsonl, or compress it as .jsonl.gz.")
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in begin:
        raise InvalidInput(f"{path} is UTF-16, not UTF-8.", hint=f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8.jsonl")
    first = list(islice(_read(path, names), LOOK_AHEAD))
    bad = [item for item in first if isinstance(item, Unusable)]
    if not first:
        raise InvalidInput(f"{path} is empty.", hint="Name a file with one JSON object a line.")
    if len(bad) == len(first):
        raise InvalidInput(
            f"None of the first {len(bad)} lines of {path} is a trace. {bad[0].where}: {bad[0].message}",
            hint="A trace has a problem and a response with <think>...</think>, or a problem, a thought and an answer. "
            "Name other fields with --field, such as --field problem=query.",
        )


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _damaged(path: Path, line: int, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"{path} is damaged after line {line}: {error}", hint="Fetch it again and run the same command: what is done is not done again."
    )


def _read(path: Path, names: Mapping[str, str]) -> Iterator[Trace | Unusable]:
    number = 0
    try:
        with _open(path) as stream:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                where, digest = f"{path.name}, line {number}", hashlib.sha256(line)
                if len(line) > MAX_LINE_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(MAX_LINE_BYTES)
                        digest.update(line)
                    sentence = f"The line has more than {MAX_LINE_BYTES:,} bytes: split or shorten the trace."
                    yield Unusable(digest.hexdigest(), where, Reason.TOO_LONG, sentence)
                    continue
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not line.strip():
                    continue
                try:
                    yield read_trace(_object(line), names)
                except Dropped as dropped:
                    yield Unusable(digest.hexdigest(), where, dropped.reason, dropped.message)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, number, error) from error


def _object(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Dropped(
            Reason.UNREADABLE,
            f"Byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8: convert the file, such as with iconv -f LATIN1 -t UTF-8.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise Dropped(Reason.UNREADABLE, f"This is no JSON: {error}. Write one JSON object a line.") from error
    if not isinstance(values, dict):
        raise Dropped(
            Reason.UNREADABLE, f"This is a JSON {type(values).__name__}, not an object: write one object with named fields a line."
        )
    return values


def read_trace(values: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Trace:
    """A JSON object as a trace. Raises Dropped where something is missing or no text."""
    found = {field: _find(values, (names[field],) if names and field in names else NAMES[field]) for field in NAMES}
    problem, response = found["problem"], found["response"]
    if problem is None and response is None:
        problem, response = _dialogue(values)
    blocks = _blocks(found["blocks"])
    thought, answer = found["thought"], found["answer"]
    answer = str(answer) if isinstance(answer, int | float) else answer
    if blocks:
        thought = "".join(block.text for block in blocks)
    elif thought is None and isinstance(response, str):
        thought, said = _split(response)
        answer = said if said.strip() or answer is None else answer
    elif answer is None and isinstance(response, str):
        answer = response.rpartition(CLOSE)[2]
    missing = [name for name, value in (("problem", problem), ("response", thought), ("answer", answer)) if value is None]
    if missing:
        wanted = "; ".join(f"{name}: {', '.join(NAMES[name])}" for name in missing)
        have = ", ".join(map(str, islice(values, 12))) or "none"
        raise Dropped(Reason.INCOMPLETE, f"There is no {' and no '.join(missing)} (looked for {wanted}; there are the fields {have}).")
    texts = {"problem": problem, "thought": thought, "answer": answer}
    for name, text in texts.items():
        _check_text(name, text)
    if not str(thought).strip():
        raise Dropped(Reason.INCOMPLETE, "The thought is empty: leave out traces that were made without thinking.")
    content = [problem, thought, answer, [[block.text, block.memento] for block in blocks]]
    key = hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
    name, source = found["id"], found["source"]
    return Trace(
        key,
        str(name) if isinstance(name, str | int) else key[:16],
        str(problem),
        str(thought),
        str(answer),
        source if isinstance(source, str) else "",
        blocks,
    )


def _find(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str):
        raise Dropped(Reason.INCOMPLETE, f"The {name} is a JSON {type(text).__name__}, not a text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(text[error.start]):04X}"
        raise Dropped(
            Reason.UNREADABLE, f"Half a character ({half}) stands in the {name}: write it anew from its source as UTF-8."
        ) from error


def _dialogue(values: Mapping[str, Any]) -> tuple[Any, Any]:
    """First question and last reply of a conversation, ShareGPT's or OpenAI's form."""
    turns: list[Any] = next((values[name] for name in _DIALOGUES if isinstance(values.get(name), list)), [])
    said = [(t.get("from", t.get("role")), t.get("value", t.get("content"))) for t in turns if isinstance(t, dict)]
    problem = next((text for who, text in said if who in ("human", "user")), None)
    return problem, next((text for who, text in reversed(said) if who in ("gpt", "assistant")), None)


def _split(response: str) -> tuple[str, str]:
    """Thought and answer of a response, every character kept. Some templates write the opening tag into the prompt."""
    thought, closed, answer = response.partition(CLOSE)
    if not closed:
        raise Dropped(Reason.INCOMPLETE, f"The response has no {CLOSE}: it was cut off, or made without thinking; leave it out.")
    _, opened, inside = thought.partition(OPEN)
    return (inside if opened else thought), answer


def _blocks(values: Any) -> tuple[Given, ...]:
    if values is None:
        return ()
    good = isinstance(values, list) and all(isinstance(b, dict) and {type(b.get("text")), type(b.get("memento"))} == {str} for b in values)
    if not good or not values:
        raise Dropped(Reason.INCOMPLETE, "The blocks are not a list of objects with a text and a memento each.")
    if not all(block["text"] for block in values):
        raise Dropped(Reason.INCOMPLETE, "A block has no text.")
    for block in values:
        _check_text("memento", block["memento"])
    return tuple(Given(block["text"], block["memento"]) for block in values)
