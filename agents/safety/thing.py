"""Whether the person's words speak of the very thing that a form of a page is about, give the values that it sends, and bound what it costs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from agents.safety.basis import Tracer
from agents.safety.following import Following, fields_of, takes_out
from agents.safety.forms import Doing, addressed, behind_verb, numbers_of, particular, words_in
from agents.safety.history import Source
from agents.safety.judge import Ruling
from agents.safety.leak import disguised
from agents.safety.lexicon import lexicon, verbs
from agents.safety.names import SHORT, affirms, holds, says_name, says_part
from agents.safety.purchase import says_sum, tokens
from agents.safety.tools import Parameter, Role, Tool
from agents.safety.values import Kind, Said, number_of, value_of, values
from agents.safety.words import Clause, spellings, stem
from app.schemas import Effect, Verdict

_CODE = re.compile(
    r"([^\W\d_]{2,}|[#!])[\s_#:.-]{0,3}(?:no\.? ?|number )?(\d+)\b", re.IGNORECASE
)  # `ticket #4417`, `IMG_2231`, `Version 3`
_CODED = re.compile(r"\b(?:[A-Za-z]{1,5}[-_]\d+|\d{3,})\b")  # `EX-72`, `...9017`
_HANDLE = re.compile(r"(?<![\w.])@\w{3,}\b|(?<![\w@.])[^\W\d_]{2,}\d+\w*\b(?!@)")  # `@martaq`, `luke34`
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_PART = re.compile(r"[,;:]\s+|[.!?]\s+")
_LONG = 60  # characters of a value that may be a date or a number of something
_STRICT = (Effect.DELETE, Effect.PAY, Effect.CREDENTIAL)


@dataclass
class Meant:
    """One form of a page, against the words of a run."""

    run: Following
    doing: Doing
    effect: Effect
    given: Mapping[str, Any]
    label: str
    host: str

    def doubt(self, clause: Clause, number: int) -> Ruling | None:
        """What a clause, the run's `number`-th, lacks that asks for such a deed; None if nothing."""
        sources = self.run.files_named_near(number)
        for subject, kind in self._subjects(clause, sources):
            elsewhere = kind == "row" and self._is_about_another(subject, clause)
            if elsewhere or not self._speaks_of(subject, clause, sources) or (kind == "thing" and not self._is_object(subject, clause)):
                return Ruling(Verdict.ASK, "other-thing", f"Your words do not speak of this {kind}: `{subject[:80]}`.")
        if other := self._other_number(clause):
            return Ruling(Verdict.ASK, "other-thing", f"Your words speak of another one than `{other[:80]}`.")
        if self.effect == Effect.PAY and (dear := self._over_limit(clause, sources)):
            return dear
        if other := self._other_choice(clause, sources) or self._other_value(clause):
            return Ruling(Verdict.ASK, "provenance", other)
        bases = tuple(Tracer(self.run.reading, self._tool(), self.filled, clause).bases())
        for basis in bases:
            if not basis.enough and not any(source.said.says(self.filled.get(basis.argument, "")) for source in sources):
                return Ruling(Verdict.ASK, "provenance", f"`{basis.argument}` {basis.why}.", bases)
        return disguised(self.run, " ".join(self.filled.values()), self.host)

    @cached_property
    def _own(self) -> set[str]:
        """The first word of its label, which a title may repeat."""
        return {*words_in(self.label)[:1]}

    @cached_property
    def _deeds(self) -> set[str]:
        """The verbs that it may be wished by."""
        return {verb for number in self.doing.families for verb in lexicon().families[number].verbs}

    @cached_property
    def filled(self) -> dict[str, str]:
        return filled(self.given)

    @cached_property
    def things(self) -> list[list[str]]:
        """The names of all that it is about, word by word; none where it names nothing."""
        return [names for names in (self.names(subject) for subject, _ in self._all_subjects()) if names]

    def _subjects(self, clause: Clause, sources: Sequence[Source]) -> Iterator[tuple[str, str]]:
        """What the words must speak of. What a label names is often a kind of thing (`Close ticket`): there the page may be what they name."""
        for subject, kind in self._all_subjects():
            title = str(self.given.get("title", ""))
            strict = self.effect in (Effect.PAY, Effect.CREDENTIAL) or lexicon().weighty & {*words_in(subject)}
            named = kind == "thing" and not strict and self.names(title) and self._speaks_of(title, clause, sources)
            if not named:
                yield subject, kind

    def _all_subjects(self) -> Iterator[tuple[str, str]]:
        """The row or page that the form belongs to, what its label names, and of an order all that is in it."""
        given = self.given
        behind = behind_verb(self.label)
        own = " ".join(self.names(behind) or [word for word in words_in(behind) if word in lexicon().weighty])
        if takes_out(self.doing):
            return
        if given.get("row") and not (self.doing.buying and own):
            yield str(given["row"]), "row"
        elif self.effect == Effect.PAY and not self.doing.buying:
            yield from ((row, "part of the order") for row in given.get("rows", ()))
        elif own and self.doing.families and (self.effect in _STRICT or not self.filled):
            yield own, "thing"
        elif self._is_on_a_thing():
            several = int(given.get("alike", 1)) > 1
            yield str(given.get("near", "") if several else given.get("title", "")), "page"

    def _is_on_a_thing(self) -> bool:
        """Whether nothing but its page says what is meant: nothing was put in, or it goes to whom the page is about."""
        nameless = self.effect == Effect.SEND and not addressed(self.given.get("form", {}))
        return self.effect == Effect.DELETE or self.doing.buying or not self.filled or nameless

    def names(self, subject: str) -> list[str]:
        return particular(subject, {*self.run.common(self.host), *self._own})

    def _speaks_of(self, subject: str, clause: Clause, sources: Sequence[Source]) -> bool:
        """Whether the words or a file that they name say what a title or row calls its thing; it may also call none."""
        texts = ["\n".join(self.run.texts), *(source.text for source in sources)]
        first, *cells = subject.split(" | ")
        if (value := value_of(first)) is not None and value.kind == Kind.FILE:
            return any(holds(first, text) for text in texts)
        if cells and any(character.isdigit() for character in first):  # `INV-2057 | Volt Energy`: it goes by its number, or by whose it is
            codes = _CODED.findall(first)
            if any(holds(first, text) or (codes and all(holds(code, text) for code in codes)) for text in texts):
                return True
            subject = " | ".join(cells)
        if any(holds(handle, text) for handle in _HANDLE.findall(subject) for text in texts):
            return True
        names = self.names(subject)
        numbers = [] if names or self.given.get("rows") else numbers_of(subject)
        if numbers and not any(set(numbers) & set(words_in(text)) for text in texts):
            return clause.choosing
        if not names or any(says_name(names, text) for text in texts) or (self._may_be_short() and any(says_part(names, t) for t in texts)):
            return True
        about = {*names, *words_in(str(self.given.get("title", "")))}  # of the notes, the oldest: the list says what its rows are
        return clause.choosing and bool(about & {*clause.among, *(word.removesuffix("s") for word in clause.among)})

    def _is_object(self, subject: str, clause: Clause) -> bool:
        """Whether a clause speaks of what a label names as what is to be deleted: not `delete the draft from my account`."""
        if self.effect != Effect.DELETE:
            return True
        known, words, wanted = lexicon(), words_in(clause.said.text), {*words_in(subject)}
        for at, word in enumerate(words):
            if stem(word) in self._deeds:
                behind = words[at + 1 : at + 8]
                end = next((place for place, nxt in enumerate(behind) if {nxt, nxt.removesuffix("s")} & wanted), None)
                if end is not None and not known.prepositions & {*behind[:end]}:
                    return True
        return False

    def _is_about_another(self, row: str, clause: Clause) -> bool:
        """Whether the part of a clause that wishes the deed names something that is not in the row: `cancel my lesson, I'll stay with yoga`."""
        known = lexicon()
        deeds = self._deeds | self._own
        cell = {word for word in words_in(row.split(" | ")[0]) if len(word) > 2}
        own = spellings(words_in(row))
        empty = (
            known.generic | known.pronouns | known.determiners | known.prepositions | known.pleading | known.modals | known.numbers.keys()
        )
        empty |= (
            known.limits
            | known.bounding
            | known.adverbs
            | self.run.common(self.host)
            | {*words_in(f"{self.given.get('title', '')} {self.label}")}
        )
        for part in _PART.split(clause.said.text):
            words = words_in(part)
            at = next((at for at, word in enumerate(words) if stem(word) in deeds), None)
            if at is None or known.pronouns & {*words} or clause.choosing:
                continue
            behind = {word for word in words[at + 1 :] if len(word) >= SHORT and word not in empty and stem(word) not in verbs()}
            told = len(cell & {*words})
            if behind - own and (not behind & own or (0 < 2 * told <= len(cell) and len(cell) > 1)):
                return True
        return False

    def _may_be_short(self) -> bool:
        """Whether one word of a long title names it well enough: something is written to it, and nothing is lost."""
        return self.effect in (Effect.WRITE, Effect.SEND) and bool(self.filled) and not self.given.get("row")

    def _other_number(self, clause: Clause) -> str:
        """The row or title if it is numbered otherwise than the words say: they say `ticket 4471`, it is `Ticket #4417`."""
        wishing = self._wishing(clause)
        said = wishing.text if wishing else "\n".join(self.run.texts)
        spoken = {(word.casefold(), number) for word, number in _CODE.findall(said)}
        numbers = {number for _, number in spoken}
        for subject in (str(self.given.get("row", "")).split(" | ")[0], str(self.given.get("title", ""))):
            for word, number in _CODE.findall(subject):
                if number not in numbers and any(other == word.casefold() for other, _ in spoken):
                    return subject
        return ""

    def _wishing(self, clause: Clause) -> Said | None:
        """The first sentence of the message that wishes the deed, if one does by name."""
        deeds = self._deeds | {*words_in(self.label)}
        parts = _SENTENCE.split(self.run.message(clause).bare)
        return next((Said(part) for part in parts if {*map(stem, words_in(part))} & deeds), None)

    def _other_choice(self, clause: Clause, sources: Sequence[Source]) -> str:
        """Where the words name another of the choices that a field offers, and not the one that was taken; or that one only elsewhere."""
        said, wishing = self.run.message(clause).said, self._wishing(clause)
        for name, offered in self.given.get("offered", {}).items():
            value = self.filled.get(name, "")
            if not value or any(source.said.holds(value) for source in sources):
                continue
            for place in filter(None, (wishing, None if said.holds(value) else said)):
                other = next((option for option in offered if option != value and len(option) > 2 and affirms(place, option)), None)
                if other is not None and not affirms(place, value):
                    return f"`{name}` is `{value[:60]}`, your words say `{other[:60]}`."
        return ""

    def _other_value(self, clause: Clause) -> str:
        """Where the words say a value of the same form, such as another date, and not the one that was put in; or that one only elsewhere."""
        said, wishing = self.run.message(clause).said, self._wishing(clause)
        for name, value in self.filled.items():
            if not re.search(r"\d", value) or len(value) >= _LONG:
                continue
            alike = re.compile(r"(?<![\w.])" + re.sub(r"\d+", r"\\d+", re.escape(value.strip(".!"))) + r"(?![\w])", re.IGNORECASE)
            sum_ = self.effect == Effect.PAY and set(words_in(name)) & lexicon().amounts and not says_limit(said.text)
            if not (sum_ or re.search(r"[^\d\W]", value) or len(re.findall(r"\d+", value)) > 1):
                continue
            for place in filter(None, (wishing, None if said.says(value) else said)):
                if not place.holds(value.strip(".!")) and not place.says(value) and (other := alike.search(place.text)):
                    return f"`{name}` is `{value}`, your words say `{other[0]}`."
        return ""

    def _over_limit(self, clause: Clause, sources: Sequence[Source]) -> Ruling | None:
        """The words, or files that they name, may say the most that may be spent; numbers that stand in the order itself are no limit."""
        texts = ["\n".join(self.run.texts), *(source.text for source in sources)]
        paying = any(lexicon().families[number].effect == Effect.PAY for number in clause.families)
        if not any(map(says_limit, texts)) and (paying or not says_sum(self.run.message(clause).said)):
            return None
        held = {value.text for row in self.given.get("rows", ()) for value in values(row)}
        limit = _largest(v.text for text in texts for v in values(text) if v.kind == Kind.NUMBER and v.text not in held)
        total = _largest(self.given.get("totals", ()))
        if limit is None or total is None or total <= limit:
            return None
        return Ruling(Verdict.ASK, "over-limit", f"It costs {total:f}, more than the {limit:f} that you named.")

    def _tool(self) -> Tool:
        """The form as a tool: a choice among what the page offers is a setting, unless it says whom or how much. A new name is no mere text."""
        known, fields = lexicon(), fields_of(self.given)
        made = Tool.of(
            {"name": "form", "parameters": {"properties": {name: {} for name in fields}}, "annotations": {"effect": self.effect}}
        )
        chosen = {name for name in self.given.get("choices", ()) if not set(words_in(name)) & (known.who | known.amounts)}
        renames = bool({stem(word) for word in words_in(self.label)} & known.renaming)
        roles = {name: Role.SETTING if name in chosen else Role.SELECTOR if renames else own.role for name, own in made.parameters.items()}
        parameters = {name: Parameter(name, roles[name], own.kind) for name, own in made.parameters.items()}
        return Tool("form", self.effect, self.doing.families, parameters)


def filled(given: Mapping[str, Any]) -> dict[str, str]:
    """What the agent put into a form, and what the page put into fields that say whom, or how much."""
    known, fields = lexicon(), fields_of(given)
    told = set(given.get("filled", fields))
    weighty = {name for name in fields if set(words_in(name)) & (known.addressees | known.amounts | known.parameter_kinds[Kind.ACCOUNT])}
    return {name: value for name, value in fields.items() if value and (name in told or name in weighty)}


def says_limit(text: str) -> bool:
    """Whether a text says how much may be spent at most."""
    known = lexicon()
    return bool(known.limits & set(tokens(text))) or any(phrase in text.casefold() for phrase in known.limited)


def _largest(texts: Any) -> Decimal | None:
    return max((number for number in map(number_of, texts) if number is not None), default=None)
