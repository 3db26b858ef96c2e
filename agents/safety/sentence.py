"""A sentence of the person, and which deeds it wishes.

No parser of English. A verb is a wish where it stands as one does: at the head of a sentence or behind `please`, `and`, `could you`, `I want
you to`, `must be`; not where it is a thing (`the order`), is denied, or is somebody else's deed (`Ann will order`). What is not understood is no
wish.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from agents.safety.lexicon import lexicon, verbs
from agents.safety.words import stem

FILE = "§"  # stands for a file's name
MARKS = frozenset(".,;:!?()–—/") | {"->"}
_FILE = re.compile(r"(?<![\w@])[\w~./-]*\w\.[A-Za-z]\w{1,4}\b(?!@)")
_DOTTED = re.compile(r"\S*@\S+\w|(?:https?://)?[\w-]+(?:\.[\w-]*[A-Za-z][\w-]*)+\S*")  # addresses and hosts: one word
_TOKEN = re.compile(r"§|\d+(?:[.,]\d+)*|[^\W_]+(?:['’-][^\W\d_]+)*|[<>]=?|≤|->|[.,;:!?()–—/]")
_ENDS = frozenset(".!?;")
_PAST = re.compile(r"\w+ed")
_PERFECT = frozenset({"have", "has", "had", "having"})
_NEAR = 9  # words before a deed told as done in which `must be` or `I want` may stand


@dataclass(frozen=True)
class Sentence:
    """`words` in lower case, with its marks; the name of a file is one sign."""

    words: tuple[str, ...]

    @cached_property
    def said(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        return tuple(map(stem, self.words))

    @property
    def question(self) -> bool:
        return self.words[-1:] == ("?",)

    @cached_property
    def wished(self) -> frozenset[str]:
        """Stems of the known verbs that are wished, and `order` for `put the order through`."""
        known, places = lexicon(), range(len(self.words))
        found = {self.stems[at] for at in places if self.stems[at] in verbs() and not self._is_for_me(at) and self._is_wish(at)}
        for pair, verb in known.pairs.items():
            first, second = pair.split()
            if any(self.stems[at] == first and second in self.stems[at + 1 : at + 8] and self._is_told(at) for at in places):
                found.add(verb)
        if known.currency & self.said and self.wishes({"give", "send"}):
            found.add("pay")  # `give them 20 euros`
        found |= {deal for at in places if (deal := self._deal(at)) and self._is_wish(at)}
        return frozenset(found - {"let-know"})

    def wishes(self, wanted: Collection[str]) -> bool:
        """Whether it wishes one of these deeds, be they known verbs or not; not that a file is looked into."""
        return any(self.wishes_at(at, wanted) for at in range(len(self.words)))

    def wishes_at(self, at: int, wanted: Collection[str]) -> bool:
        """The same of the word at a place. `See to it` finds nothing out, `tell me when it is done` wants no answer."""
        known, (word, nxt, then) = lexicon(), [*self.words[at : at + 3], "", ""][:3]
        reports = word == "report" and (nxt in ("back", "here") or (nxt, then) in (("to", "me"), ("to", "us")))
        if not {"report-back"} & {*wanted} if reports else not {stem(word), word, _root(word)} & {*wanted}:
            return False
        if then in ("when", "once") and known.done & {*self.words[at:]}:
            return False
        if word == "see" and (nxt in ("to", "that") or _PAST.fullmatch(nxt)):
            return False
        into_file = self.stems[at] in known.looking and FILE in self.words[at + 1 : at + 5]
        return not into_file and self._is_wish(at)

    def is_polite(self, until: int | None = None) -> bool:
        """Whether a question is a wish in the form of one: `could you look and order …?`, `can I have … ordered?`, `…, would you?`"""
        known, words = lexicon(), self.words[:until]
        places = [at for at, (one, two) in enumerate(zip(words, [*words, ""][1:], strict=True)) if self._begins_wish(one, two)]
        if not places or (words[0] in known.wondering and not (words[0] == "when" and words[1] not in known.asking)):
            return False
        return not known.wondering & {*_last_part(words[: places[0]])}

    def _begins_wish(self, one: str, two: str) -> bool:
        """`could you`, `can I`, `would you mind`; `could the note` and `could 3 lamps` only where something is to be done to them."""
        known = lexicon()
        if one in known.pleading or (one == "you" and two in known.modals) or (one in known.modals and two in known.asked):
            return True
        return one in known.modals and _becomes(self.words) and (two in known.determiners | {FILE, "it", "what's"} or two.isdigit())

    def _is_wish(self, at: int) -> bool:
        denied = lexicon().negations & {*self.words[max(0, at - 3) : at]}
        return not denied and not self._is_thing(at) and self._is_told(at)

    def _is_for_me(self, at: int) -> bool:
        """`tell me`, `confirm that …`: the person wants to know."""
        known = lexicon()
        return self.stems[at] in known.telling_verbs and bool(known.to_me & {*self.words[at + 1 : at + 2]})

    def _deal(self, at: int) -> str | None:
        """The verb that `put the order through`, `make a donation`, `an order should be placed` stand for: a light verb, its deed as a thing."""
        known, words = lexicon(), self.words
        if self.stems[at] not in known.light:
            return None
        behind = next((place for place in range(at + 1, min(at + 7, len(words))) if words[place] in known.deals), None)
        if behind is not None:
            between = [*words[at + 1 : behind]]
            if between[1:] and between[-2] in known.determiners:  # `issue a partial refund`
                between.pop()
            return known.deals[words[behind]] if {*between} <= known.determiners | known.prepositions | known.between else None
        before = [word for word in words[max(0, at - 4) : at] if word in known.deals]
        return known.deals[before[-1]] if before and words[at] != self.stems[at] else None

    def _is_thing(self, at: int) -> bool:
        """`the order`, `a new order`, `of order`, `Ann's order`."""
        known = lexicon()
        one, two = (self.words[at - 1] if at else ""), (self.words[at - 2] if at > 1 else "")
        if one in known.determiners or (one.endswith("'s") and one not in known.wishers):
            return True
        if one in known.prepositions:
            return not (one in known.before_doing and self.words[at].endswith("ing"))
        empty = MARKS | known.telling | known.wishers | known.pronouns
        return two in known.determiners and one not in empty and stem(one) not in verbs()

    def _is_told(self, at: int) -> bool:
        """Whether the word stands where a verb is a wish."""
        known, word = lexicon(), self.words[at]
        before = at - 1
        while before >= 0 and self.words[before] in known.adverbs:
            just = self.words[before] == "just" and not (known.first | known.others) & {*self.words[before - 1 : before]}
            if (just or self.words[before] in known.pleading) and word == self.stems[at]:
                return True
            before -= 1
        three, two, one = ["", "", "", *self.words[max(0, before - 2) : before + 1]][-3:]
        if word.endswith("ing") and word != self.stems[at]:
            return one in known.before_doing or (two in known.before_doing and one in known.pronouns)
        if (_PAST.fullmatch(word) or word in known.irregular) and _is_wished_done(self.words[max(0, at - _NEAR) : at]):
            return True
        if word != self.stems[at] or (word == "know" and one != "to"):
            return False  # `he orders`
        if one == "you":
            return two in known.modals | known.governing | MARKS | {"", "of", "please", "that"}
        if (one == "want" and two in known.first) or one == "wanna" or (one in ("i", "we") and word in known.saying):
            return True
        if one in known.modals:
            told = two == "you" or (two == "we" and one in known.obliging - {"may", "can"})
            return told and (not self.question or self.words[0] == "you")
        if one == "to":
            if two == "have" and three in known.first:
                return False  # a duty
            own = three in known.first | known.modals | MARKS | {""}
            return word == "know" or two in known.tasked or (two in known.governing and own)
        if self.question and ((at == 0 and word in known.asking) or not (self.is_polite(at) or self._is_tagged())):
            return False
        if one in known.telling | known.opening | MARKS | {""}:
            return one not in ("and", "or", "then") or not known.others & {*self.words[:at]}
        return False

    def _is_tagged(self) -> bool:
        """`Raise it in the tracker, would you?`"""
        return len(self.words) > 2 and self.words[-3] in lexicon().modals and self.words[-2] == "you"


@lru_cache(maxsize=1024)
def sentences(text: str) -> tuple[Sentence, ...]:
    """A text in its sentences; lines end them too."""
    found = []
    for line in _DOTTED.sub(_flattened, _FILE.sub(f" {FILE} ", text)).splitlines():
        words: list[str] = []
        for token in _TOKEN.findall(line):
            words.append("you" if token == "u" else token.casefold().replace("’", "'"))
            if token in _ENDS:
                found.append(Sentence(tuple(words)))
                words = []
        if words:
            found.append(Sentence(tuple(words)))
    return tuple(found)


def _flattened(match: re.Match[str]) -> str:
    """An address without its dots, or two sentences that are glued together."""
    found = match[0]
    glued = re.fullmatch(r"[a-z]+\.[A-Z][a-z]*\W*", found)
    return found.replace(".", ". ") if glued else re.sub(r"[^\w]", "_", found) + " "


def wished_in(text: str) -> frozenset[str]:
    """The verbs that a clause wishes."""
    return frozenset().union(*(sentence.wished for sentence in sentences(text)))


def told(text: str, wanted: Collection[str]) -> bool:
    """Whether a clause wishes one of these deeds, be they known verbs or not."""
    return any(sentence.wishes(wanted) for sentence in sentences(text))


def hands_over(text: str) -> bool:
    """Whether a clause leaves to a file what is to be done: `handle request.txt`, `please process the note list.txt`."""
    wanted = lexicon().delegating
    return any(
        FILE in sentence.words[at + 1 : at + 6] and sentence.wishes_at(at, wanted)
        for sentence in sentences(text)
        for at in range(len(sentence.words))
    )


def _becomes(words: Sequence[str]) -> bool:
    """`be ordered`, `become a ticket`, `get a ticket`."""
    if {"become", "get"} & {*words}:
        return True
    return any(one == "be" and (two.endswith(("ed", "en")) or two in lexicon().irregular or two == "in") for one, two in pairwise(words))


def _is_wished_done(before: Sequence[str]) -> bool:
    """Whether a deed told as done is wished: `must be ordered`, `have it filed`, `I want it paid`, and not `has been filed`."""
    known, before = lexicon(), _last_part(before)
    perfect = any(one in _PERFECT and two in known.first | known.others for one, two in pairwise(before))
    if known.past & {*before} or perfect or _PERFECT & {*before[-1:]} or known.wondering & {*before[:1]}:
        return False
    if "be" in before:
        at = len(before) - 1 - before[::-1].index("be")
        helper = [word for word in before[:at] if word not in known.adverbs][-1:]
        return bool({*helper} & {"to", *known.obliging})
    if "see" in before[-4:]:  # `I should like to see it filed`
        return not known.wondering & {*before} and not {"if", "whether"} & {*before}
    return bool(known.causing & {*before})


def _last_part(words: Sequence[str]) -> Sequence[str]:
    """The words behind the last mark."""
    return words[max((at + 1 for at, word in enumerate(words) if word in MARKS), default=0) :]


def _root(word: str) -> str:
    """Of a verb that the lexicon's families do not have: `raised`, `logging`."""
    ending = next((ending for ending in ("ging", "ing", "ged", "ed") if word.endswith(ending)), "")
    return word.removesuffix(ending) if ending else word.removesuffix("d")
