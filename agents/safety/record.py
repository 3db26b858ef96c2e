"""What the gate was told and what it said, as lines that are chained by their hashes: enough to make every decision again.

A line that was changed, left out, put in or moved breaks the chain; a cut-off end does not: who needs to know the last line keeps its hash.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agents.safety.judge import Case, Ruling
from app.errors import InvalidInput

FIRST = "0" * 64
VERSION = 1


@dataclass(frozen=True)
class Replayed:
    """`matched` of `decisions` were the same again; `differing`: lines whose decision is another today, with what it was and what it is."""

    decisions: int
    matched: int
    differing: tuple[tuple[int, Mapping[str, Any], Mapping[str, Any]], ...]
    last: str


class Recorder:
    """A case whose every step is written down, one JSON line each, by `write`."""

    def __init__(self, write: Callable[[str], object], texts: Sequence[str], tools: Sequence[Mapping[str, Any]]) -> None:
        self.case = Case.of(texts, tools)
        self.last = FIRST
        self._write, self._number = write, 0
        self._line("opened", {"version": VERSION, "texts": list(texts), "tools": list(tools)})

    def judge(self, name: str, arguments: Mapping[str, Any]) -> Ruling:
        ruling = self.case.judge(name, arguments)
        self._line("judged", {"call": [name, dict(arguments)], "ruling": shown(ruling)})
        return ruling

    def hear(self, text: str) -> None:
        self.case.hear(text)
        self._line("heard", {"text": text})

    def done(self, name: str, arguments: Mapping[str, Any], content: Any) -> None:
        self.case.done(name, arguments, content)
        self._line("done", {"call": [name, dict(arguments)], "gave": content})

    def _line(self, kind: str, body: Mapping[str, Any]) -> None:
        entry = {"number": self._number, "kind": kind, "body": body, "before": self.last}
        self.last = hash_of(entry)
        self._number += 1
        self._write(json.dumps(entry | {"hash": self.last}, ensure_ascii=False, default=str))


def replay(lines: Iterable[str]) -> Replayed:
    """Every decision once more. Raises InvalidInput where the chain is broken, with the number of the line."""
    case, last = None, FIRST
    matched, differing = 0, []
    for number, line in enumerate(lines):
        entry = _entry(number, line, last)
        last, body = entry["hash"], entry["body"]
        if entry["kind"] == "opened":
            case = Case.of(body["texts"], body["tools"])
        elif case is None:
            raise InvalidInput("The record does not begin with the person's words.", hint="Give the whole record.")
        elif entry["kind"] == "heard":
            case.hear(body["text"])
        elif entry["kind"] == "done":
            case.done(*body["call"], body["gave"])
        elif (again := shown(case.judge(*body["call"]))) == body["ruling"]:
            matched += 1
        else:
            differing.append((number, body["ruling"], again))
    return Replayed(matched + len(differing), matched, tuple(differing), last)


def shown(ruling: Ruling) -> dict[str, Any]:
    """A ruling as JSON values."""
    return {"verdict": str(ruling.verdict), "rule": ruling.rule, "reason": ruling.reason, "bases": [asdict(own) for own in ruling.bases]}


def _entry(number: int, line: str, last: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        told = entry.pop("hash")
        whole = (entry["number"], entry["before"], hash_of(entry)) == (number, last, told)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidInput(f"Line {number} is no line of a record: {error!r}.", hint="Give the record as it was written.") from error
    if not whole:
        raise InvalidInput(
            f"The chain breaks at line {number}: it, or one before it, was changed.", hint="Give the record as it was written."
        )
    return entry | {"hash": told}


def hash_of(entry: Any) -> str:
    """A link of a chain: SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")).hexdigest()
