"""The person's words, taken apart before anything else is read: what is to be done, how often, with what values, read from where.

No parser of English: clauses, verbs by their families, and nouns that name a kind of value. What it does not understand grants nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agents.safety.lexicon import lexicon, verbs
from agents.safety.values import Kind, Said, number_of

_CLAUSE = re.compile(
    r"(?<=[.!?;])\s+(?=[^a-z\s])|\n+|;\s*|,?\s+(?:and then|then|after that|afterwards|also)\s+|(?:^|(?<=[.;:!?\n]))\s*\d{1,2}[.)]\s+"
)
_GLUED = re.compile(r"(?<=[a-z]{2}[.!?])(?=[A-Z][a-z]*\s)")  # `www.our-company.com.They sent`
_WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")
_QUOTES = re.compile(r"\"([^\"]{2,2000})\"|(?<!\w)'((?:[^']|'(?=\w)){2,2000})'(?!\w)|“([^”]{2,2000})”|‘([^’]{2,2000})’|`([^`]{2,2000})`")
_COLON = re.compile(
    r"(?:message|question|text|comment|note|reply|body|content)\b(?![^:\n]{0,80}\.\w{2,4}:)[^:\n]{0,80}:\s*(\S[^\n]*)", re.IGNORECASE
)
_BOUND = re.compile(r"\bat (?:the )?(?:most|least|latest)\b", re.IGNORECASE)  # bounds a number, and chooses nothing
_ENDINGS = (("", ""), ("s", ""), ("es", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("d", ""), ("ies", "y"), ("ied", "y"))


@dataclass(frozen=True)
class Clause:
    """A part of the words that asks for something. `families`: of the lexicon's verbs. `kinds`: of values that it says are to be looked up;
    `any_kind`: it says so of whatever is there. `many`: more than once. `choosing`: which one is to be found out, `among` what."""

    said: Said
    families: frozenset[int]
    kinds: frozenset[Kind]
    any_kind: bool
    many: bool
    choosing: bool
    among: frozenset[str]
    words: frozenset[str]


@dataclass(frozen=True)
class Words:
    """All that the person has said in a run, in its clauses."""

    texts: tuple[str, ...]
    said: Said
    clauses: tuple[Clause, ...]
    bare: str = ""  # without what they quote

    def say(self, value: Any) -> bool:
        """Whether the person said a value: letter for letter, or in the plural."""
        return self.said.says(value) or (isinstance(value, str) and len(value) > 3 and self.said.holds(f"{value}s"))

    def count(self, value: Any) -> bool:
        """Whether the person said this as an amount, in digits or in words; `invoice 7781` is none, and no number of anything else is said so."""
        number = number_of(value)
        return number is not None and number in self._counted

    @cached_property
    def _counted(self) -> frozenset[Any]:
        numbers = lexicon().numbers
        said = {numbers[word] for clause in self.clauses for word in clause.words & numbers.keys()}
        return frozenset({*said, *map(number_of, self.amounts)})

    @cached_property
    def amounts(self) -> list[str]:
        return amounts(self.said)

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Words":
        whole = _GLUED.sub(" ", "\n".join(texts))
        # What is quoted is to be carried, not to be done; but quotes are also put around names.
        bare = _QUOTES.sub(lambda match: match[0] if len(match[0].split()) <= 3 else " ", whole)
        bare = _COLON.sub(lambda match: match[0].replace(match[1], " "), bare)
        return cls(tuple(texts), Said(whole), tuple(_clause(part) for part in _CLAUSE.split(bare) if part and part.strip()), bare)


def joined(messages: Sequence[Words]) -> Words:
    """Several messages as one: their clauses are the same objects."""
    texts = tuple(text for words in messages for text in words.texts)
    return Words(texts, Said("\n".join(words.said.text for words in messages)), tuple(c for words in messages for c in words.clauses))


def amounts(said: Said) -> list[str]:
    """Numbers that may be amounts: not those that only number something, as in `invoice 7781`, nor years."""
    found = []
    for value in said.values:
        before = [word.casefold() for word in _WORD.findall(re.split(r"[.!?;:,\n]", said.text[max(0, value.start - 60) : value.start])[-1])]
        numbers = bool(before) and before[-1] in lexicon().numbered and not (before[-1] in verbs() and _tells(before[:-1]))
        if value.kind == Kind.NUMBER and not numbers and not re.fullmatch(r"(?:19|20)\d\d", value.text):
            found.append(value.text)
    return found


def _tells(before: list[str]) -> bool:
    """Whether the next word tells somebody to do something: at the beginning, or behind `please`, `and`, `to`."""
    return not before or before[-1] in lexicon().telling


def _chosen_among(plain: list[str]) -> frozenset[str]:
    """The words around one that says several, or which: `all my open orders`, `a channel with the most users`."""
    known = lexicon()
    found: set[str] = set()
    for at, word in enumerate(plain):
        if word in known.choosing or word in known.many:
            found |= set(plain[at + 1 : at + 8]) | {before for before in plain[max(0, at - 4) : at] if before not in verbs()}
    return frozenset(found)


def _clause(text: str) -> Clause:
    known, told = lexicon(), Said(text)
    plain, choosing = ([word.casefold() for word in _WORD.findall(part)] for part in (text, _BOUND.sub(" ", text)))
    stems = [stem(word) for word in plain]
    said, things = set(plain), _things(plain)
    kinds = {kind for nouns in known.noun_kinds if nouns.nouns & things for kind in nouns.kinds}
    # `the page www.a.example` is told, not to be looked up; `invoice 7781` is no amount.
    kinds -= {value.kind for value in told.values} - {Kind.NUMBER} | ({Kind.NUMBER} if amounts(told) else set())
    return Clause(
        told,
        known.families_of(_wishes(text, plain, stems)),
        frozenset(kinds),
        bool(known.any_kind & said),
        bool(known.many & said),
        bool(known.choosing & set(choosing)),
        _chosen_among(choosing),
        frozenset(said | set(stems)),
    )


def _wishes(text: str, plain: list[str], stems: list[str]) -> set[str]:
    """The verbs that ask for something: none of a question that is no polite wish, none that is denied, none that tells what was done."""
    known = lexicon()
    if text.rstrip().endswith("?") and plain and plain[0] in known.asking and not known.polite & set(plain):
        return set()
    found = [
        stem for at, stem in enumerate(stems) if not known.negations & set(plain[max(0, at - 3) : at]) and not _is_past(plain, stems, at)
    ]
    return {*found, *_pairs(found)}


def _is_past(plain: list[str], stems: list[str], at: int) -> bool:
    past = plain[at] != stems[at] and (plain[at].endswith("ed") or plain[at] in lexicon().irregular)
    return past and not lexicon().passive & set(plain[max(0, at - 8) : at])


def _things(plain: list[str]) -> set[str]:
    """The words that can stand for a thing; those that are verbs as well only behind an article. In `email Ann the report`, `email` is none."""
    articles = lexicon().articles
    return {
        word
        for at, word in enumerate(plain)
        if word not in verbs()
        or articles & set(plain[max(0, at - 3) : at])
        or any(before.endswith("'s") for before in plain[max(0, at - 2) : at])
    }


def stem(word: str) -> str:
    """`paying`, `pays`, `paid`: pay. Enough for the verbs that are known."""
    if word in lexicon().irregular:
        return lexicon().irregular[word]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and (stem := word[: len(word) - len(ending)] + instead) in verbs():
            return stem
    for ending in ("ing", "ed"):  # doubled: dropping, planned
        if word.endswith(ending) and (stem := word[: -len(ending) - 1]) in verbs() and word[-len(ending) - 1] == stem[-1:]:
            return stem
    return word


def spellings(words: Iterable[str]) -> set[str]:
    """The words, and what they may be written as: without an ending, in the plural, in the singular."""
    return {form for word in words for form in (word, stem(word), f"{word}s", word.removesuffix("s"))}


def _pairs(stems: list[str]) -> set[str]:
    """`send them back` is one verb as well."""
    found = set()
    for pair, verb in lexicon().pairs.items():
        first, second = pair.split()
        found |= {verb for at, stem in enumerate(stems) if stem == first and second in stems[at + 1 : at + 8]}
    return found
