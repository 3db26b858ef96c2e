"""Catalogues for the shop: realistic prices, open words, and for every product that a task is about some that share words with it."""

import random
from collections.abc import Sequence

from infra.worlds.base import Product
from infra.worlds.words import Words

_ENDINGS = (0, 0, 50, 50, 95, 99, 90, 25, 75, 49, 20, 80)


def price(rng: random.Random) -> int:
    """Cents: mostly below 100.00, usually with a common ending."""
    whole = int(rng.choice((rng.uniform(1, 20), rng.uniform(1, 20), rng.uniform(20, 90), rng.uniform(90, 400))))
    return whole * 100 + (rng.choice(_ENDINGS) if rng.random() < 0.7 else rng.randrange(100))


def random_catalogue(rng: random.Random, words: Words, targets: Sequence[str], stock: int = 1) -> tuple[Product, ...]:
    """15 to 26 products in 3 to 5 categories, `targets` and their look-alikes among them. Every target has at least `stock` in stock."""
    names = dict.fromkeys(targets)
    for target in targets:
        for _ in range(rng.randint(1, 3)):
            names.setdefault(_look_alike(rng, words, target))
    while len(names) < rng.randint(15, 20):
        names.setdefault(words.product(rng))
    categories = _categories(rng, words)
    products = [
        Product(name, rng.choice(categories), price(rng), rng.randint(stock, stock + 60) if name in targets else rng.randint(1, 60))
        for name in names
    ]
    rng.shuffle(products)
    return tuple(products)


def distinct_products(rng: random.Random, words: Words, count: int) -> list[str]:
    """Names that share no word, so that each can be told from the others at a glance."""
    names: list[str] = []
    used: set[str] = set()
    while len(names) < count:
        name = words.product(rng)
        parts = set(name.split())
        if not parts & used and len(parts) == len(name.split()):
            names.append(name)
            used |= parts
    return names


def _look_alike(rng: random.Random, words: Words, name: str) -> str:
    """The name with one word changed."""
    parts = name.split()
    place = rng.randrange(len(parts))
    parts[place] = (words.noun(rng) if place == len(parts) - 1 else rng.choice(words.adjectives)).capitalize()
    return " ".join(parts)


def _categories(rng: random.Random, words: Words) -> list[str]:
    return [noun.capitalize() for noun in rng.sample(words.nouns, rng.randint(3, 5))]
