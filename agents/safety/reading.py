"""What was read, seen from the person's words: of which sources and records they speak, and of what in them."""

import re
from dataclasses import dataclass, field
from typing import Any

from agents.safety.history import History, Record, Source
from agents.safety.lexicon import lexicon
from agents.safety.tools import words_of
from agents.safety.words import Clause, Words

_NAME = re.compile(r"\b[A-Z][^\W\d_]{2,}")
_NAMING = frozenset({"name", "full_name", "fullname", "display_name", "user", "username", "first_name", "last_name"})


@dataclass
class Reading:
    """What was read, seen from the person's words: which records and sources they speak of. Kept up as the run reads on."""

    words: Words
    history: History = field(default_factory=History)
    named: dict[Source, list[Clause]] = field(default_factory=dict)  # asked for with values of the words, and the clauses that say them
    told: dict[Record, list[Clause]] = field(default_factory=dict)  # one of whose fields a clause says, such as who wrote it
    anchored: dict[Record, frozenset[str]] = field(default_factory=dict)  # spoken of, and what of it the words say
    loose: set[Record] = field(default_factory=set)  # those of which they say only what anybody may have written
    numbers: list[Any] = field(default_factory=list)  # amounts of records spoken of
    singled: set[str] = field(default_factory=set)  # tools of which the words speak of one record or other

    def again(self, words: Words) -> "Reading":
        """The same, seen from other words."""
        other = Reading(words, self.history)
        for source in self.history.sources:
            other.see(source)
        return other

    def see(self, source: Source) -> None:
        clauses = self._clauses_saying(source.arguments.values())
        if clauses:
            self.named[source] = clauses
        written = bool(lexicon().written & set(words_of(source.tool)))
        for record in source.records:
            firm, loose = self._anchors(record)
            if firm or loose:
                self.anchored[record] = firm or loose
                self.singled.add(source.tool)
                self.numbers += [value for key, value in record.fields if key.lower() in lexicon().amounts]
            if not firm or written:
                self.loose.add(record)
            if told := self._clauses_saying(value for _, value in record.fields):
                self.told[record] = told

    def _clauses_saying(self, given: Any) -> list[Clause]:
        texts = [value for value in given if isinstance(value, str) and 2 < len(value) <= 200 and self.words.said.says(value)]
        return [clause for clause in self.words.clauses if any(clause.said.says(text) for text in texts)]

    def _anchors(self, record: Record) -> tuple[frozenset[str], frozenset[str]]:
        """What the words say of a record: whole fields, or names in a field that says who it is; apart, free text and names elsewhere."""
        firm, loose = set(), set()
        for key, value in record.fields:
            if value is None or isinstance(value, bool) or len(str(value)) < 2:
                continue
            if self.words.said.says(value):
                (loose if key.lower() in lexicon().what else firm).add(str(value).casefold())
            elif isinstance(value, str) and len(value) <= 80:
                names = {name.casefold() for name in _NAME.findall(value) if self.words.said.holds(name)}
                (firm if key.lower() in _NAMING else loose).update(names)
        return frozenset(firm), frozenset(loose)
