"""Words for every slot of a task: products, clients, files, titles. Drawn from open lists, with lists of their own for train, dev and eval.

The source is the word lists inside the PyPI package `wonderwords` (MIT): about 5,500 nouns and 750 adjectives here. Closed lists of a dozen
words were memorised by small models and failed on new ones, so slots are drawn from these.
"""

import functools
import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TypeVar

from infra.worlds.base import Split

T = TypeVar("T")

EVAL_SHARE = 0.15
DEV_SHARE = 0.07


@dataclass(frozen=True)
class Words:
    """The nouns and adjectives of one split, sorted; lower case, three to nine letters."""

    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]

    def noun(self, rng: random.Random) -> str:
        return rng.choice(self.nouns)

    def product(self, rng: random.Random) -> str:
        """Such as `Copper Kettle` or `Bright Copper Kettle`."""
        count = 2 if rng.random() < 0.25 else 1
        return " ".join(word.capitalize() for word in [*rng.sample(self.adjectives, count), self.noun(rng)])

    def client(self, rng: random.Random) -> str:
        """Such as `Orchard Partners`."""
        first = rng.choice(self.nouns if rng.random() < 0.7 else self.adjectives).capitalize()
        second = rng.choice((*_FIRMS, self.noun(rng).capitalize()))
        return rng.choice((f"{first} {second}", f"{first} {second}", first))


_FIRMS = ("Ltd", "Inc", "Partners", "Group", "Works", "Brothers", "Studio", "Trading", "Supplies")


@functools.cache
def words(split: Split) -> Words:
    """The split's words; no word is in two splits, whatever its part of speech."""
    assets, own = files("wonderwords") / "assets", files("infra.worlds") / "wordings"
    banned = {w.strip() for w in (assets / "profanitylist.txt").read_text().splitlines()}
    for name in ("tasteless.txt", "taken.txt"):
        banned |= {w for line in (own / name).read_text().splitlines() if not line.startswith("#") for w in line.split()}

    def pool(name: str) -> tuple[str, ...]:
        found = {w.strip() for w in (assets / name).read_text().splitlines()}
        good = {w for w in found if re.fullmatch(r"[a-z]{3,9}", w) and w not in banned}
        return tuple(sorted(w for w in good if _share(w) == split))

    return Words(pool("nounlist.txt"), pool("adjectivelist.txt"))


def portion(items: Sequence[T], split: Split) -> list[T]:
    """The split's part of a closed list. In the order of their hashes 15 % of the items are eval, 7 % dev (at least one each), the rest train."""
    ranked = sorted(items, key=lambda item: hashlib.sha256(repr(item).encode()).digest())
    first = max(1, round(len(ranked) * EVAL_SHARE))
    second = first + max(1, round(len(ranked) * DEV_SHARE))
    return {"eval": ranked[:first], "dev": ranked[first:second], "train": ranked[second:]}[split]


def _share(word: str) -> Split:
    draw = int.from_bytes(hashlib.sha256(f"word {word}".encode()).digest()[:8], "big") / 2**64
    if draw < EVAL_SHARE:
        return "eval"
    return "dev" if draw < EVAL_SHARE + DEV_SHARE else "train"
