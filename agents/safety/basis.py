"""Where each argument of a call comes from, and whether that is enough for what the argument decides.

A selector (whom, where, which, how much) is the person's: said by them; or chosen, as they asked, among values that tools gave as values; or
looked up, where their words name both the source and the kind of value. A payload may be anybody's, but what leads a reader on (addresses,
accounts) or stands word for word in a source must be the person's, or from a source that their words name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.safety.history import Field, Source
from agents.safety.reading import Reading
from agents.safety.tools import Parameter, Role, Tool, alike, synonyms, words_of
from agents.safety.values import LEADS, Kind, Said, Value, number_of, value_of
from agents.safety.words import Clause
from app.schemas import Effect

_SETTING = 32  # characters; what is longer says more than when or how


@dataclass(frozen=True)
class Basis:
    """`enough` says whether the argument may stand without a question; `why` says where it comes from, in plain words."""

    argument: str
    enough: bool
    why: str
    source: str = ""  # the tool of whose records it is one


class Tracer:
    """Traces the arguments of one call. `clause` is that of the grant which the call would use; None where none is its own."""

    def __init__(self, reading: Reading, tool: Tool, arguments: Mapping[str, Any], clause: Clause | None) -> None:
        self.reading, self.tool, self.arguments = reading, tool, arguments
        self.words, self.history = reading.words, reading.history
        self.clauses = self.words.clauses if clause is None else (clause,)

    def bases(self) -> list[Basis]:
        return [basis for name, value in self.arguments.items() for basis in self._of(self._parameter(name), value)]

    def _parameter(self, name: str) -> Parameter:
        """An argument that the tool does not have chooses something, for all that is known."""
        return self.tool.parameters.get(name) or Parameter(name, Role.SELECTOR)

    def _of(self, parameter: Parameter, value: Any) -> Iterator[Basis]:
        if isinstance(value, list | tuple | set):
            for own in value:
                yield from self._of(parameter, own)
        elif isinstance(value, Mapping):
            for own in value.values():
                yield from self._of(parameter, own)
        else:
            yield self._one(parameter, value)

    def _one(self, parameter: Parameter, value: Any) -> Basis:
        if value is None or isinstance(value, bool) or value in parameter.choices or value == "":
            return Basis(parameter.name, True, "is one of the tool's own choices")
        amount = parameter.kind == Kind.NUMBER and number_of(value) is not None
        if self.words.count(value) if amount else self.words.say(value):
            return Basis(parameter.name, True, "is in your words")
        found = value_of(str(value))
        if parameter.role == Role.SELECTOR and (found is None or found.kind not in (Kind.DATE, Kind.TIME)):
            return self._selector(parameter, value)
        if parameter.role != Role.PAYLOAD and (found is None or found.kind not in LEADS) and len(str(value)) <= _SETTING:
            return Basis(parameter.name, True, "says only when or how")
        return self._payload(parameter, str(value))

    def _selector(self, parameter: Parameter, value: Any) -> Basis:
        if (chosen := self._chosen(parameter, value)) is not None:
            return chosen
        why = self._bounded(parameter, value) or self._looked_up(parameter, str(value))
        return Basis(parameter.name, bool(why), why or self._whence(value))

    def _chosen(self, parameter: Parameter, value: Any) -> Basis | None:
        """A value of a record that the words speak of, or one of a list from which they ask to choose."""
        found = value_of(str(value))
        leads = found is not None and found.kind in LEADS
        for own in self.history.fields(value):
            spoken = own.record in self.reading.anchored
            sure = not leads or (own.record not in self.reading.loose and not self._has_double(own, value)) or self._asks_for_field(own)
            if (spoken and sure) or self._begins(own, value):
                return Basis(parameter.name, True, f"stands in a record of {own.source.tool} that you speak of", own.source.tool)
            if own.source.listed and alike(parameter.name, own.key) and self._may_choose(own.source):
                why = f"is one of those that {own.source.tool} lists, among which you ask to choose"
                return Basis(parameter.name, True, why, own.source.tool)
        return None

    def _has_double(self, own: Field, value: Any) -> bool:
        """Whether what the words say of this record is true of another one too, in which the field is another."""
        said = self.reading.anchored.get(own.record, frozenset())
        for record in own.source.records:
            others = [str(other) for key, other in record.fields if key == own.key]
            if said <= self.reading.anchored.get(record, frozenset()) and others and str(value) not in others:
                return True
        return False

    def _asks_for_field(self, own: Field) -> bool:
        """Whether the words name the field of the one record that they speak of: `the participants of the team sync`."""
        records = [record for record in own.source.records if record in self.reading.anchored]
        names = synonyms(words_of(own.key))
        return len(records) == 1 and any(names & clause.words for clause in self.clauses)

    def _may_choose(self, source: Source) -> bool:
        """Whether the words ask to choose among what this tool lists, and say nothing of one of its records in particular."""
        about = synonyms(words_of(source.tool))
        return source.tool not in self.reading.singled and any(about & clause.among for clause in self.clauses)

    def _begins(self, own: Field, value: Any) -> bool:
        """Whether the words say how this entry of a plain list begins."""
        head = re.match(r"[^\W\d_]{3,}", str(value))
        return own.key == "" and head is not None and self.words.said.holds(head[0])

    def _bounded(self, parameter: Parameter, value: Any) -> str:
        """A reckoned amount that is no larger than what the words, or records that they speak of, name."""
        if parameter.kind != Kind.NUMBER:
            return ""
        known = [*self.words.amounts, *self.reading.numbers]
        largest = max((number for number in map(number_of, known) if number is not None), default=None)
        wanted = number_of(value)
        if wanted is None or largest is None or not 0 <= wanted <= largest:
            return ""
        return f"is no more than {largest:f}, which you or a record that you speak of name"

    def _looked_up(self, parameter: Parameter, value: str) -> str:
        """A value of a text, where the words name the source, and either the kind of value or what is to be done with it."""
        found = value_of(value)
        kind = found.kind if found else None
        for source in self.history.saying(value):
            clauses = self.reading.named.get(source, [])
            asked = any(kind in clause.kinds for clause in clauses)
            if kind == Kind.NUMBER and asked:
                return f"stands in what {source.tool} gave, where you say to look for it"
            if kind is None and self.tool.effect == Effect.WRITE and any(c.families & self.tool.families for c in clauses):
                return f"stands in what {source.tool} gave, from which you ask to take it"
            if kind in LEADS and (self.tool.effect == Effect.READ or len(source.said.of(kind) - self.words.said.of(kind)) == 1):
                if self.tool.effect == Effect.PAY and not self.history.fields(value):
                    continue  # whoever wrote the text chose it; one that was paid before stands in a record
                if asked:
                    return f"is the {kind} in what {source.tool} gave, where you say to look for it"
                if self._is_theirs(parameter, clauses):
                    return f"is the only {kind} in what you name as theirs"
            for record in source.records:
                told = [*self.reading.told.get(record, ()), *(clauses if self.tool.effect == Effect.READ else ())]
                alone = self.tool.effect == Effect.READ or kind not in LEADS or len(self._told_values(source, told, kind)) == 1
                unpaid = self.tool.effect == Effect.PAY and kind in LEADS and not self.history.fields(value)
                if alone and not unpaid and any(c.any_kind or kind in c.kinds for c in told) and _says(record.said, found, value):
                    return "stands in the message that you speak of"
        return ""

    def _told_values(self, source: Source, told: list[Clause], kind: Kind) -> set[str]:
        """Values of a kind in all records of the source that these clauses speak of."""
        records = [r for r in source.records if any(clause in told for clause in self.reading.told.get(r, ()))]
        return {text for record in records for text in record.said.of(kind)} - self.words.said.of(kind)

    def _is_theirs(self, parameter: Parameter, clauses: list[Clause]) -> bool:
        """Whether another selector of the call is someone of whom a clause speaks together with the source."""
        others = [own for name, own in self.arguments.items() if name != parameter.name and self.tool.is_selector(name)]
        return any(clause.said.says(other) for clause in clauses for other in others if isinstance(other, str))

    def _payload(self, parameter: Parameter, value: str) -> Basis:
        name = parameter.name
        for lead in Said(value).values:
            if lead.kind in LEADS and not self._is_named(lead):
                return Basis(name, False, f"carries the {lead.kind} {lead.text}, which is not in your words")
        source = self.history.copied(value) or (next(self.history.saying(value), None) if len(value) > 2 else None)
        if source is not None and not self._speaks_of(source, value):
            return Basis(name, False, f"is copied from what {source.tool} gave, which you do not name")
        return Basis(name, True, "is what is carried, not where")

    def _is_named(self, lead: Value) -> bool:
        if lead.text in self.words.said.of(lead.kind):
            return True
        return any(source in self.reading.named and not source.records for source in self.history.saying(lead.text))

    def _speaks_of(self, source: Source, value: str) -> bool:
        if source in self.reading.named or (source.listed and any(clause.choosing for clause in self.clauses)):
            return True
        return any(own.record in self.reading.anchored for own in self.history.fields(value)) or any(
            record in self.reading.anchored for record in source.records
        )

    def _whence(self, value: Any) -> str:
        source = next(self.history.saying(value), None)
        return f"comes from what {source.tool} gave, not from your words" if source else "is neither in your words nor in anything read"


def _says(said: Said, found: Value | None, text: str) -> bool:
    return said.holds(text) if found is None else found.text in said.of(found.kind)
