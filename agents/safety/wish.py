"""Whether the person's words ask for what a form, a button or a link of a page would do: for such a deed, done to this very thing, and with these
values. Files that the words name are taken for the words' own where they say what to do with them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from agents.safety.basis import Tracer
from agents.safety.following import Following, fields_of, host, label_of, once, takes_out
from agents.safety.forms import Doing, addressed, behind_verb, numbers_of, particular, words_in
from agents.safety.history import Source
from agents.safety.judge import Ruling
from agents.safety.leak import disguised
from agents.safety.lexicon import lexicon, verbs
from agents.safety.tools import SEVERITY, Parameter, Role, Tool
from agents.safety.values import Kind, number_of, values
from agents.safety.words import Clause, stem
from app.schemas import Action, Effect, Verdict

_PIECE = re.compile(r"[^\W_]+|[^\w\s]|\n")  # a word, or a mark between words
_SHORT = 4  # letters; shorter words name nothing


@dataclass
class Wish:
    """One action of the browser that changes something, against the words of a run."""

    run: Following
    doing: Doing
    action: Action

    def __post_init__(self) -> None:
        self.given = self.action.arguments
        self.label = label_of(self.given)
        self.host = host(self.action.target)
        self.filled = filled(self.given)
        told = [self.doing.effect] + ([self.action.effect] if self.action.effect != Effect.READ else [])
        self.effect = max(told, key=SEVERITY.__getitem__)

    def ruling(self) -> Ruling:
        """By the first clause that asks for it and names its thing and its values; if none does, what the last one lacks."""
        what = f"`{self.label or self.action.summary}`"
        doubt = Ruling(Verdict.ASK, f"not-asked-{self.effect}", f"Your words do not ask for this: {what}.")
        asking = [(number, clause) for number, clause in enumerate(self.run.reading.words.clauses) if self._asks(clause)]
        messages = {id(self.run.message(clause)) for _, clause in asking}
        again = self.run.used.count(once(self.doing, self.action.target, self.given)) >= len(messages)
        for number, clause in asking:
            if again and not (clause.many and not self.doing.buying and (self.filled or self.given.get("row"))):
                doubt = Ruling(Verdict.ASK, "done-already", f"Your words ask for this once, and it was done: {what}.")
            elif (lacking := self._doubt(clause, number)) is None:
                return Ruling(Verdict.ALLOW, "granted", "Your words ask for this.")
            else:
                doubt = lacking
        return doubt

    # Such a deed

    @cached_property
    def _verbs(self) -> set[str]:
        return {stem(word) for word in words_in(self.label)}

    def _asks(self, clause: Clause) -> bool:
        known, doing = lexicon(), self.doing
        if self.effect == Effect.WRITE and not doing.buying and self._fills_file(clause) and not self._verbs & verbs() & clause.words:
            return False  # what it asks for is written into a file
        families = {number for number in doing.families if known.families[number].effect != Effect.READ}
        if self._verbs & known.searching and self.filled:
            families |= doing.families  # a search that is sent as if it changed something
        if clause.families & families:
            secrets = known.secrets & clause.words or known.families_of({"log-in"}) & clause.families
            return self.effect != Effect.CREDENTIAL or bool(secrets)
        if self.effect not in (Effect.WRITE, Effect.PAY):
            return False
        if self._delegates(clause):
            return True
        if self.effect == Effect.PAY or doing.buying:
            return self._is_bought_within(clause)
        return self._is_new_entry(clause) or self._is_carried(clause)

    def _delegates(self, clause: Clause) -> bool:
        """Whether a clause leaves to a file what is to be done: `handle request.txt`, `shop for what list.txt says`."""
        known, text = lexicon(), clause.said.text.casefold()
        if not known.delegating & clause.words and not any(phrase in text for phrase in known.fetching):
            return False
        return any(clause in own for source, own in self.run.reading.named.items() if source.tool == "file")

    def _is_carried(self, clause: Clause) -> bool:
        """What stands in a file that a message names goes into a form for something new on the site that it names, or the task's only one."""
        said = self.run.message(clause)
        if self.doing.families or not self.filled or any(map(self._fills_file, said.clauses)):
            return False
        files = [s for s, own in self.run.reading.named.items() if s.tool == "file" and any(c in own for c in said.clauses)]
        named = len(self.run.sites) == 1 or any(said.said.holds(name) for name in self.run.named(self.host))
        typed = [value for name, value in self.filled.items() if name not in self.given.get("choices", ())]
        return bool(files and typed and named) and all(any(source.said.says(value) for source in files) for value in typed)

    def _is_bought_within(self, clause: Clause) -> bool:
        """A purchase without a verb: a clause that names the thing, in a message that says how much it may cost and asks for no file."""
        said = self.run.message(clause)
        if not says_limit(said.said.text) or any(map(self._fills_file, said.clauses)):
            return False
        text = clause.said.text.strip()
        things = [name for name in map(self._names, (subject for subject, _ in self._subjects())) if name]
        return not text.endswith("?") and bool(things) and all(says_name(names, text) for names in things)

    def _is_new_entry(self, clause: Clause) -> bool:
        """A form for something new, whose button says nothing more: `the tracker needs a ticket` asks for it as well as `file a ticket`."""
        known = lexicon()
        wishes = known.needs & clause.words or any(known.families[n].effect in (Effect.WRITE, Effect.SEND) for n in clause.families)
        if self.doing.families or not self.filled or not wishes:
            return False
        about = {stem(word) for word in words_in(str(self.given.get("title", "")))} - known.generic - self.run.common(self.host)
        spoken = {*clause.words, *(word.removesuffix("s") for word in clause.words)}
        return bool((about | self.run.named(self.host)) & spoken)

    def _fills_file(self, clause: Clause) -> bool:
        """Whether a clause names a file that did not lie there."""
        return any(value.kind == Kind.FILE and value.text not in self.run.files for value in clause.said.values)

    # This very thing, these values

    def _doubt(self, clause: Clause, number: int) -> Ruling | None:
        sources = self.run.files_named_near(number)
        for subject, kind in self._subjects():
            if not self._speaks_of(subject, clause, sources):
                return Ruling(Verdict.ASK, "other-thing", f"Your words do not speak of this {kind}: `{subject[:80]}`.")
        if self.effect == Effect.PAY and (dear := self._over_limit(sources)):
            return dear
        bases = tuple(Tracer(self.run.reading, _tool(self.given, self.doing, self.effect), self.filled, clause).bases())
        for basis in bases:
            if not basis.enough and not any(source.said.says(self.filled.get(basis.argument, "")) for source in sources):
                return Ruling(Verdict.ASK, "provenance", f"`{basis.argument}` {basis.why}.", bases)
        return disguised(self.run, " ".join(self.filled.values()), self.host)

    def _subjects(self) -> Iterator[tuple[str, str]]:
        """What the words must speak of: the row or page that the form belongs to, and of an order all that is in it."""
        given = self.given
        own = " ".join(self._names(behind_verb(self.label)))
        if self.effect == Effect.PAY and not self.doing.buying:
            yield from ((row, "part of the order") for row in given.get("rows", ()))
        elif takes_out(self.doing):
            return
        elif own and self.doing.families:
            yield own, "thing"
        elif given.get("row"):
            yield str(given["row"]), "row"
        elif self._is_on_a_thing():
            several = int(given.get("alike", 1)) > 1
            yield str(given.get("near", "") if several else given.get("title", "")), "page"

    def _is_on_a_thing(self) -> bool:
        """Whether nothing but its page says what is meant: nothing was put in, or it goes to whom the page is about."""
        nameless = self.effect == Effect.SEND and not addressed(self.given.get("form", {}))
        return self.effect == Effect.DELETE or self.doing.buying or not self.filled or nameless

    def _names(self, subject: str) -> list[str]:
        return particular(subject, self.run.common(self.host))

    def _speaks_of(self, subject: str, clause: Clause, sources: Sequence[Source]) -> bool:
        """Whether the words or a file that they name say what a title or row calls its thing; it may also call none."""
        names = self._names(subject)
        texts = ["\n".join(self.run.texts), *(source.text for source in sources)]
        numbers = [] if names or self.given.get("rows") else numbers_of(subject)
        if numbers and not any(set(numbers) & set(words_in(text)) for text in texts):
            return clause.choosing
        if not names or any(says_name(names, text) for text in texts):
            return True
        about = {*names, *words_in(str(self.given.get("title", "")))}  # of the notes, the oldest: the list says what its rows are
        return clause.choosing and bool(about & {*clause.among, *(word.removesuffix("s") for word in clause.among)})

    def _over_limit(self, sources: Sequence[Source]) -> Ruling | None:
        """The words, or files that they name, may say the most that may be spent; numbers that stand in the order itself are no limit."""
        texts = ["\n".join(self.run.texts), *(source.text for source in sources)]
        if not any(map(says_limit, texts)):
            return None
        held = {value.text for row in self.given.get("rows", ()) for value in values(row)}
        limit = _largest(v.text for text in texts for v in values(text) if v.kind == Kind.NUMBER and v.text not in held)
        total = _largest(self.given.get("totals", ()))
        if limit is None or total is None or total <= limit:
            return None
        return Ruling(Verdict.ASK, "over-limit", f"It costs {total:f}, more than the {limit:f} that you named.")


def filled(given: Mapping[str, Any]) -> dict[str, str]:
    """What the agent put into a form, and what the page put into fields that say whom, or how much."""
    known, fields = lexicon(), fields_of(given)
    told = set(given.get("filled", fields))
    weighty = {name for name in fields if set(words_in(name)) & (known.addressees | known.amounts | known.parameter_kinds[Kind.ACCOUNT])}
    return {name: value for name, value in fields.items() if value and (name in told or name in weighty)}


def _tool(given: Mapping[str, Any], doing: Doing, effect: Effect) -> Tool:
    """The form as a tool: a choice among what the page offers is a setting, unless it says whom or how much."""
    known, fields = lexicon(), fields_of(given)
    made = Tool.of({"name": "form", "parameters": {"properties": {name: {} for name in fields}}, "annotations": {"effect": effect}})
    chosen = {name for name in given.get("choices", ()) if not set(words_in(name)) & (known.who | known.amounts)}
    parameters = {name: Parameter(name, Role.SETTING, own.kind) if name in chosen else own for name, own in made.parameters.items()}
    return Tool("form", effect, doing.families, parameters)


def says_limit(text: str) -> bool:
    """Whether a text says how much may be spent at most."""
    known = lexicon()
    return bool(known.limits & set(words_in(text))) or any(phrase in text.casefold() for phrase in known.limited)


def says_name(names: Sequence[str], text: str) -> bool:
    """Whether a text says a thing's name: all of its words in a row; or half of them, with no word beside them that belongs to another name."""
    wanted = {form for name in names for form in (name, stem(name), f"{name}s", name.removesuffix("s"))}
    said = [word.casefold() for word in _PIECE.findall(text)]
    at = 0
    while at < len(said):
        end = at
        while end < len(said) and said[end] in wanted:
            end += 1
        whole = end - at >= len(set(names))
        if end > at and (whole or (2 * (end - at) >= len(set(names)) and _ends(said, at - 1) and _ends(said, end))):
            return True
        at = max(end, at + 1)
    return False


def _ends(said: Sequence[str], at: int) -> bool:
    """Whether the word at this place is none of a name."""
    if not 0 <= at < len(said):
        return True
    word, known = said[at], lexicon()
    return len(word) < _SHORT or word.isdigit() or word in known.generic or word in known.numbers or stem(word) in verbs()


def _largest(texts: Any) -> Decimal | None:
    return max((number for number in map(number_of, texts) if number is not None), default=None)
