"""What a message asks of whoever reads it, besides the deeds that it wishes: whether it wants to be told something, forbids, or puts off."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from agents.safety.lexicon import lexicon
from agents.safety.sentence import FILE, MARKS, Sentence, sentences
from agents.safety.words import Words, stem
from app.schemas import Effect

_CONDITIONAL = {("as", "soon"), ("the", "moment"), ("in", "case"), ("on", "condition")}
_MINE = re.compile(  # the last step is the person's own: `I'll submit it`, `for me to press`
    r"\b(?:i'll|i will) (?:then )?(?:confirm|submit|send|do|press|book|pay|post|sign|save|publish|approve|decide|order|buy|file)\b"
    r"|\bfor me to (?:press|confirm|send|submit|click|approve)\b|\bunsaved\b"
)
_NOT = ("don't", "dont", "not", "never")
_BARELY = ("so", "yes", "no", "not", "ok", "okay")  # `if not then leave it`
_BRIEF = 2  # words of a condition that says nothing of its own: `if so`
_SHORTEST = 6  # words and marks; `Quick favour?` wants no answer


@dataclass(frozen=True)
class Asking:
    """`acquires`: something is to be got; `tells`: something is to be told; `finds`: to be found out; `forbids`: nothing is to be done, or by
    others; `denied`: effects of deeds that are not to be done, `unwanted` the words for them; `depends`: on what the assistant cannot
    know; `waits`: it speaks of another time, or of somebody's leave."""

    acquires: bool
    tells: bool
    finds: bool
    forbids: bool
    denied: frozenset[Effect]
    unwanted: frozenset[str]
    depends: bool
    waits: bool

    @property
    def free(self) -> bool:
        """Whether nothing but a deed can be what it asks for."""
        return not (self.tells or self.forbids or self.denied or self.depends or self.waits or (self.finds and not self.acquires))


def asking(said: Words) -> Asking:
    return _asking(said.bare)


@lru_cache(maxsize=256)
def _asking(text: str) -> Asking:
    known, said = lexicon(), sentences(text)
    acquiring = known.acquiring | known.acquiring_within
    asked = any(_is_asked(own) and not _is_condition(said, at) for at, own in enumerate(said))
    forbidden = [_forbidden(sentence, before) for sentence, before in zip(said, (None, *said), strict=False)]
    return Asking(
        acquires=any(sentence.wishes(acquiring) for sentence in said),
        tells=asked or any(sentence.wishes(known.telling_verbs) or _wants_known(sentence) for sentence in said),
        finds=any(sentence.wishes(known.finding) for sentence in said),
        forbids=any(None in own for own in forbidden),
        denied=frozenset(effect for own in forbidden for effect in own if effect is not None),
        unwanted=frozenset().union(*(_unwanted(sentence) for sentence in said)),
        depends=any(map(_depends, said)),
        waits=any(map(_waits, said)),
    )


def _is_condition(said: Sequence[Sentence], at: int) -> bool:
    """Whether a question only begins a condition: `Does it fit? Then buy it.`, `Does it not? Then leave it.`"""
    known, later = lexicon(), said[at + 1 :]
    if len(said[at].words) < _SHORTEST and later and later[0].words[0] in known.resuming:
        return True
    deeds = known.acquiring | known.acquiring_within | _changing()
    return any((own.words[0] in known.resuming or "if" in own.said) and own.wishes(deeds) for own in later)


def _is_asked(sentence: Sentence) -> bool:
    """A question that wants an answer: no polite wish, and no `Got a minute?`."""
    known, words = lexicon(), sentence.words
    if not sentence.question:
        return False
    start = max((at + 1 for at, word in enumerate(words[:-1]) if word == ":" and words[at + 1] in known.asking), default=0)
    own = Sentence(words[start:])
    if len(own.words) < _SHORTEST and own.words[0] not in known.asking:
        return False
    if own.words[0] in known.asking - known.modals and not own.wished & _changing():
        return True
    if {"still", "too"} & own.said and "or" in own.said and not own.wished & _changing():
        return True
    return not (own.is_polite() or own.wished & _changing())


def _wants_known(sentence: Sentence) -> bool:
    """Words for what is wanted to be known: `I need the price of 3 lamps`; not beside a bound (`if they cost more`), nor of what a file says."""
    known, words = lexicon(), sentence.words
    if "let me know" in " ".join(words) and not known.done & sentence.said:
        return True
    if known.curious & sentence.said and not sentence.wishes(known.finding):
        return True
    if known.comparing & sentence.said:
        return False
    asked = [at for at, word in enumerate(words) if word in known.asked_about]
    return any(FILE not in words or known.needing & {*words[max(0, at - 4) : at]} for at in asked)


def _depends(sentence: Sentence) -> bool:
    """A condition that is not the assistant's to judge: `if the landlord agrees`, `once Greg has looked`; not `if it costs less`."""
    known, words = lexicon(), sentence.words
    begins = [at for at, word in enumerate(words) if word in known.conditional]
    begins += [at + 1 for at, pair in enumerate(pairwise(words)) if pair in _CONDITIONAL]
    if words[0] == "should" and not sentence.question and words[1:2] not in (("you",), ("it",)):
        begins.append(0)
    for at in begins:
        part = words[at + 1 : at + 1 + next((n for n, word in enumerate(words[at + 1 :]) if word in MARKS), 99)]
        if len(part) <= _BRIEF or part[0].endswith("ing") or part[0][:1].isdigit() or FILE in part[:2]:
            continue  # `if so`, `after reading it`, `I'm after 3 lamps`
        if words[at] == "after" and words[at - 1 : at] not in ((), (",",), ("and",)) and not {"has", "have"} & {*part}:
            continue  # `look after note.txt`
        if not _is_judged(part):
            return True
    return False


def _is_judged(part: Sequence[str]) -> bool:
    """Whether the assistant can tell by itself what a condition says: by whom or what it is about."""
    known, sums = lexicon(), lexicon().bounding | lexicon().limits | lexicon().comparing
    if part[0] in _BARELY:
        return True
    while len(part) > 1 and part[0] in known.prepositions | known.adverbs | {"and", "is", "not", "if"}:
        part = part[1:]
    head, told = part[0], bool({*part} & sums) and any(word[:1].isdigit() for word in part)
    if head in known.judged | known.things_judged | sums:
        return True
    if head in ("they", "they're", "we", "we're"):
        return bool({*part} & sums)
    if head in known.determiners and len(part) > 1:
        return told or bool({word.removesuffix("'s") for word in part[1:3]} & (sums | known.things_judged))
    return told


def _waits(sentence: Sentence) -> bool:
    """Whether it speaks of another time, or of somebody's leave; `until 50` and `until now` do not."""
    following = zip(sentence.words, [*sentence.words[1:], ""], strict=True)
    said = {word for word, nxt in following if word not in ("until", "till") or not (nxt[:1].isdigit() or nxt == "now")}
    return bool(lexicon().postponing & said)


def _forbidden(sentence: Sentence, before: Sentence | None) -> set[Effect | None]:
    """Effects of deeds that a sentence says are not to be done, without a condition; None for all of them, or where others do it. The question
    `before` may be a condition."""
    known = lexicon()
    text = f" {' '.join(sentence.words)} "
    for harmless in known.harmless:
        text = text.replace(f" {harmless} ", " ")
    words = text.split()
    if known.selves & sentence.said or any(f" {phrase} " in text for phrase in known.never) or _MINE.search(text):
        return {None}  # whatever else it says
    deeds = _changing() | known.doings | known.entering | known.giving
    for at, word in enumerate(words):
        if (
            word in _NOT
            and not _is_so(words, at)
            and "yet" in words[at + 1 : at + 8]
            and not known.had & {*words[at : at + 5]}
            and deeds & {*map(stem, words[at + 1 : at + 4])}
        ):
            return {None}
    asked = before is not None and before.question and words[:1] and words[0] in known.negations | {"nothing"}
    if not words or known.conditions & {*words} or words[0] == "then" or asked:
        return set()
    if any(f" {phrase} " in text for phrase in known.forbidding):
        return {None}
    return set().union(*(_denied(words, at) | ({None} if _leaves(words, at) else set()) for at in range(len(words))))


def _denied(words: Sequence[str], at: int) -> set[Effect | None]:
    """`do not order`, `no ticket`, `change nothing`, `so don't.`; not what is so (`has not been filed`, `there is no ticket`)."""
    known, word = lexicon(), words[at]
    if word not in known.negations | {"nothing"} or word == "without" or _is_so(words, at) or known.had & {*words[max(0, at - 1) : at + 5]}:
        return set()
    if word in ("no", "nothing") and {"there", "there's", "is"} & {*words[max(0, at - 3) : at]}:
        return set()
    if word == "nothing" and at and stem(words[at - 1]) in _changing():
        return {None}
    behind = {*map(stem, words[at + 1 : at + 5])}
    ends = at + 1 == len(words) or words[at + 1] in MARKS
    if behind & known.doings or (word in ("don't", "dont") and ends):
        return {None}
    return {known.families[number].effect for number in known.families_of(behind & _changing())} - {Effect.READ}


def _is_so(words: Sequence[str], at: int) -> bool:
    """Whether a negation tells what is so, and not what shall not be: `it is not filed yet`, `the tracker does not know it`."""
    before = words[at - 1] if at else ""
    return words[at] == "not" and before in ("is", "are", "was", "were", "does", "did", "it's", "that's", "there's", "still")


def _unwanted(sentence: Sentence) -> set[str]:
    """The words behind a negation that no condition softens: of `don't request leave yet`, `request`, `leave`, `yet`."""
    known, words = lexicon(), sentence.words
    if known.conditions & sentence.said or any(f" {own} " in f" {' '.join(words)} " for own in known.harmless):
        return set()
    return {word for at, one in enumerate(words) if one in _NOT and not _is_so(words, at) for word in words[at + 1 : at + 4]}


def _leaves(words: Sequence[str], at: int) -> bool:
    """`leave it as it is`, `put it off`."""
    known = lexicon()
    if words[at] == "put":
        return "off" in words[at + 1 : at + 12]
    heads = at == 0 or words[at - 1] in MARKS | known.telling | known.opening
    behind = {*words[at + 1 : at + 9]}
    return words[at] == "leave" and heads and bool(known.untouched & behind) and words[at + 1] not in ("a", "an", "my")  # `leave a comment`


@cache
def _changing() -> frozenset[str]:
    """Verbs of all families that change something."""
    return frozenset().union(*(family.verbs for family in lexicon().families if family.effect != Effect.READ))
