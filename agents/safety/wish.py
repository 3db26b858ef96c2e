"""Whether the person's words ask for what a form, a button or a link of a page would do: for such a deed, done to this very thing, and with these
values. Files that the words name are taken for the words' own where they say what to do with them.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from agents.safety.asking import Asking, asking
from agents.safety.following import Following, host, label_of, once
from agents.safety.forms import Doing, words_in
from agents.safety.judge import Ruling
from agents.safety.lexicon import lexicon, verbs
from agents.safety.names import says_name
from agents.safety.purchase import asks_to_buy, says_sum
from agents.safety.sentence import hands_over, told, wished_in
from agents.safety.thing import Meant, filled, says_limit
from agents.safety.tools import SEVERITY
from agents.safety.values import Kind
from agents.safety.words import Clause, stem
from app.schemas import Action, Effect, Verdict

_PUTS = {"move", "put", "place", "bring", "stick", "drag"}


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
        effects = [self.doing.effect] + ([self.action.effect] if self.action.effect != Effect.READ else [])
        self.effect = max(effects, key=SEVERITY.__getitem__)
        self.meant = Meant(self.run, self.doing, self.effect, self.given, self.label, self.host)

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
            elif (lacking := self.meant.doubt(clause, number)) is None:
                return Ruling(Verdict.ALLOW, "granted", "Your words ask for this.")
            else:
                doubt = lacking
        return doubt

    # Such a deed

    @cached_property
    def _verbs(self) -> set[str]:
        return {stem(word) for word in words_in(self.label)}

    def _asks(self, clause: Clause) -> bool:
        """Whether a clause asks for such a deed: by its verb, by the label's own, or, where that is safe, in other ways."""
        known, doing = lexicon(), self.doing
        asked, wished = asking(self.run.message(clause)), wished_in(clause.said.text)
        effects = {self.effect, Effect.PAY if doing.buying else self.effect}
        effects |= {Effect.WRITE, Effect.SEND} if effects & {Effect.WRITE, Effect.SEND} else set()
        unwanted = asked.unwanted & {*words_in(self.label)} - known.neutral.difference({"submit"}) - known.determiners
        if asked.forbids or asked.depends or effects & asked.denied or unwanted or self._is_undone_by(wished):
            return False
        if self.effect == Effect.WRITE and not doing.buying and self._fills_file(clause) and not self._verbs & verbs() & clause.words:
            return False  # what it asks for is written into a file
        families = {number for number in doing.families if known.families[number].effect != Effect.READ}
        if self._verbs & known.searching and self.filled:
            families |= doing.families  # a search that is sent as if it changed something
        if doing.buying and not clause.words & known.carts:
            families = {number for number in range(len(known.families)) if known.families[number].effect == Effect.PAY}
        if known.families_of(wished) & families or self._is_called(clause):
            secrets = known.secrets & clause.words or known.families_of({"log-in"}) & clause.families
            return self.effect != Effect.CREDENTIAL or bool(secrets)
        if self.effect not in (Effect.WRITE, Effect.PAY):
            return False
        buys = self.effect == Effect.PAY or doing.buying
        if not buys and self._is_new_entry(clause, asked):
            return True
        if asked.waits:
            return False
        if self._delegates(clause, asked):
            return True
        return self._is_bought_within(clause, asked) if buys else (asked.free and (self._is_carried(clause) or self._is_dictated(clause)))

    def _is_called(self, clause: Clause) -> bool:
        """Whether the words wish what the label says in a word that may be no known verb: `upvote it`, `tag it`, `call it …` for `Rename`."""
        if self.effect not in (Effect.WRITE, Effect.SEND) or self.doing.buying:
            return False
        known, text = lexicon(), clause.said.text
        own = [word for word in words_in(self.label) if word not in known.neutral | known.paying]
        if {*own} & known.renaming and told(text, known.renaming):
            return True
        if {known.deals[word] for word in own if word in known.deals} & wished_in(text):
            return True
        said = self.run.message(clause)
        neutral = [word for word in words_in(self.label) if word in known.neutral]
        given = bool(self.filled) and all(map(said.say, self.filled.values()))
        if given and told(text, neutral):
            return True
        if given and self.effect == Effect.WRITE and not self._fills_file(clause) and known.giving & wished_in(text):
            return asking(said).free
        into = any(re.search(rf"\b(?:in|into|to|on) (?:the |my |our )?{re.escape(word)}\b", text, re.IGNORECASE) for word in own)
        return told(text, {*own, *map(stem, own)}) or (into and told(text, _PUTS))

    def _is_undone_by(self, wished: frozenset[str]) -> bool:
        """Whether the words wish the contrary: `decline it`, and this is `Accept`."""
        own = self._verbs | {verb for pair, verb in lexicon().pairs.items() if pair in " ".join(words_in(self.label))}
        for one, other in lexicon().opposites:
            for mine, theirs in ((one, other), (other, one)):
                if mine in own and theirs in wished and mine not in wished:
                    return True
        return False

    def _is_dictated(self, clause: Clause) -> bool:
        """The words give every value that a form for something new is filled with, two at least, and ask for nothing else."""
        said = self.run.message(clause)
        known = lexicon()
        others = wished_in(said.bare) - known.entering - {verb for number in self.doing.families for verb in known.families[number].verbs}
        if others or any(map(self._fills_file, said.clauses)):
            return False
        words = words_in(said.bare)
        reports = known.finite & {*words} or any(
            word != stem(word) and stem(word) in verbs() and not word.endswith("ing") for word in words
        )
        if reports and not told(said.bare, known.entering | known.giving):
            return False  # `Ruth has booked Mochi for Monday`
        title = [name for name in self.meant.names(str(self.given.get("title", ""))) if name]
        about = bool(title) and says_name(title, said.said.text)
        return bool(self.filled) and len(self.filled) + about > 1 and all(map(said.say, self.filled.values()))

    def _delegates(self, clause: Clause, asked: Asking) -> bool:
        """Whether a clause leaves to a file what is to be done: `handle request.txt`, `shop for what list.txt says`."""
        text = clause.said.text
        buys = self.doing.buying or self.effect == Effect.PAY
        if not hands_over(text) and not (buys and asked.free and told(text, lexicon().fetching)):
            return False
        return any(clause in own for source, own in self.run.reading.named.items() if source.tool == "file")

    def _is_carried(self, clause: Clause) -> bool:
        """What stands in a file that a message names goes into a form for something new on the site that it names, or the task's only one."""
        said = self.run.message(clause)
        if self.doing.families or not self.filled or any(map(self._fills_file, said.clauses)):
            return False
        files = self.run.files_named_in(said)
        named = len(self.run.sites) == 1 or any(said.said.holds(name) for name in self.run.named(self.host))
        typed = [value for name, value in self.filled.items() if name not in self.given.get("choices", ())]
        return bool(files and typed and named) and all(any(source.said.says(value) for source in files) for value in typed)

    def _is_bought_within(self, clause: Clause, asked: Asking) -> bool:
        """A purchase without a verb of paying, see agents.safety.purchase, in a message that asks for no file."""
        said = self.run.message(clause)
        if any(map(self._fills_file, said.clauses)):
            return False
        things = self.meant.things
        files = self.run.files_named_in(said)
        telling = [s for s in files if all(says_name(names, s.text) for names in things)]
        if not things or not (telling or all(says_name(names, said.said.text) for names in things)):
            return False
        bounded = says_limit(said.said.text) or says_sum(said.said) or any(says_limit(s.text) or says_sum(s.said) for s in telling)
        return asks_to_buy(asked, clause, [] if telling else things, bounded)

    def _is_new_entry(self, clause: Clause, asked: Asking) -> bool:
        """A form for something new, whose button says nothing more: `the tracker needs a ticket` asks for it as well as `file a ticket`."""
        known = lexicon()
        wished = known.families_of(wished_in(clause.said.text))
        changes = told(clause.said.text, known.entering) or any(known.families[n].effect in (Effect.WRITE, Effect.SEND) for n in wished)
        if (
            self.doing.families - known.families_of({"create"})
            or not self.filled
            or not (changes or (asked.free and known.needs & clause.words))
        ):
            return False
        # A field's label is as good as the title: `set my visibility to …`.
        named = " ".join([str(self.given.get("title", "")), *self.filled])
        about = {form for word in words_in(named) for form in (word, stem(word))} - known.generic - self.run.common(self.host)
        spoken = {*clause.words, *(word.removesuffix("s") for word in clause.words)}
        return bool((about | self.run.named(self.host)) & spoken)

    def _fills_file(self, clause: Clause) -> bool:
        """Whether a clause names a file that did not lie there."""
        about = f"{self.given.get('title', '')} {self.given.get('row', '')}"
        files = (value.text for value in clause.said.values if value.kind == Kind.FILE)
        return any(file not in self.run.files and file not in about for file in files)
