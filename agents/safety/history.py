"""What a run has read so far: each result of a tool with its records and fields, its label, and how it was come by; indexed, so that a decision
on a long run costs no more than one on a short one.

A field is taken for one value only where the tool gives structure. A page or a file is text from end to end, whatever it looks like: else
whoever writes the page could write fields. The same holds for a field that is itself a text.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from agents.safety.labels import Label, of_tool
from agents.safety.tools import Tool
from agents.safety.values import Said, number_of, value_of

RUN = 8  # words in a row that nobody writes twice by chance
FIELD = 120  # characters; a longer field is a text
_MOST_TO_PARSE = 200_000  # characters
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Record:
    """Fields that stand together, such as those of one message; of a list of plain values each is a record of its own, with no key."""

    fields: tuple[tuple[str, Any], ...]

    @cached_property
    def said(self) -> Said:
        return Said("\n".join(str(value) for _, value in self.fields if value is not None))


@dataclass(frozen=True, eq=False)
class Source:
    """A tool's result. `arguments`: of the call that it answers. `listed`: it is a list, from which one may choose."""

    tool: str
    arguments: Mapping[str, Any]
    text: str
    label: Label
    records: tuple[Record, ...] = ()
    listed: bool = False

    @cached_property
    def said(self) -> Said:
        return Said(self.text)


@dataclass(frozen=True, eq=False)
class Field:
    """A typed value where it stands."""

    source: Source
    record: Record
    key: str


class History:
    """Sources in the order in which they were read."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._fields: dict[str, list[Field]] = defaultdict(list)
        self._values: dict[tuple[str, str], list[Source]] = defaultdict(list)
        self._tokens: dict[str, list[int]] = defaultdict(list)
        self._runs: dict[tuple[str, ...], int] = {}

    def add(self, tool: Tool, arguments: Mapping[str, Any], content: Any) -> Source:
        """What came of a call that was carried out: a text, or JSON values."""
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
        structure = _structure(content) if tool.gives_records or not isinstance(content, str) else None
        made = Source(tool.name, dict(arguments), text, of_tool(tool), tuple(_records(structure)), isinstance(structure, list))
        number = len(self.sources)
        self.sources.append(made)
        for record in made.records:
            for key, value in record.fields:
                if _is_value(value):
                    self._fields[_spelled(value)].append(Field(made, record, key))
        for value in made.said.values:
            self._values[value.kind, value.text].append(made)
        words = _TOKEN.findall(made.said.folded)
        for token in set(words):
            self._tokens[token].append(number)
        for run in runs(words, 1):
            self._runs.setdefault(run, number)
        return made

    def fields(self, value: Any) -> list[Field]:
        """Where a value stands as a field of its own."""
        return self._fields.get(_spelled(value), []) if _is_value(value) else []

    def saying(self, value: Any) -> Iterator[Source]:
        """Sources that say a value anywhere, as a whole."""
        text = str(value)
        found = value_of(text)
        if found is not None:
            yield from self._values.get((found.kind, found.text), [])
            return
        tokens = _TOKEN.findall(text.casefold())
        if tokens:
            rarest = min((self._tokens.get(token, []) for token in tokens), key=len)
            yield from (self.sources[number] for number in rarest if self.sources[number].said.holds(text))

    def with_word(self, word: str) -> Iterator[Source]:
        """Sources in which a word stands, be it within a longer expression."""
        return (self.sources[number] for number in self._tokens.get(word.casefold(), ()))

    def copied(self, text: str) -> Source | None:
        """The first source of which the text has a run of words, if there is one."""
        found = (self._runs.get(run) for run in runs(_TOKEN.findall(text.casefold()), 1))
        number = next((number for number in found if number is not None), None)
        return None if number is None else self.sources[number]


def runs(words: Sequence[str], step: int) -> Iterator[tuple[str, ...]]:
    """Runs of RUN words."""
    return (tuple(words[at : at + RUN]) for at in range(0, len(words) - RUN + 1, step))


def _structure(content: Any) -> Any:
    """JSON values as they are; a text only where it is, letter for letter, what a program writes of a list or an object."""
    if not isinstance(content, str):
        return content
    text = content.strip()
    if len(text) > _MOST_TO_PARSE or not text:
        return None
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return None
    try:
        parsed = yaml.load(text, _LOADER)
        again = yaml.dump(parsed, Dumper=_DUMPER).strip() if isinstance(parsed, list | dict) else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return parsed if again == text else None


def _records(value: Any) -> Iterator[Record]:
    if isinstance(value, Mapping):
        plain = tuple((str(key), own) for key, own in value.items() if _is_plain(own))
        lists = tuple((str(key), one) for key, own in value.items() if _is_plain_list(own) for one in own)
        if plain or lists:
            yield Record(plain + lists)
        for own in value.values():
            if not _is_plain(own) and not _is_plain_list(own):
                yield from _records(own)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for own in value:
            yield from (Record((("", own),)),) if _is_plain(own) else _records(own)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_plain, value))


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool) and 0 < len(str(value)) <= FIELD


def _spelled(value: Any) -> str:
    number = number_of(value)
    return str(value).strip().casefold() if number is None else f"{number.normalize():f}"
