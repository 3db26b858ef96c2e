"""lookup: find figures in the shop or in a table of invoices, compute, write the result into a file.

Variants: `price` (count times a price), `pair` (two prices added), `status` and `client` (invoices of one kind summed up).
"""

import random
import re
from dataclasses import dataclass
from decimal import Decimal

from infra.worlds import desk
from infra.worlds.base import Check, Facts, Split, WorldState, WorldTask, money, untouched
from infra.worlds.catalogue import distinct_products, random_catalogue
from infra.worlds.wording import compose
from infra.worlds.words import Words, words

_VARIANTS = {"price": 0.32, "pair": 0.24, "status": 0.22, "client": 0.22}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class LookupGoal:
    """`total` in cents must be the one number in `output`."""

    output: str
    total: int

    def note(self) -> str:
        return ""

    def check(self, task: WorldTask, state: WorldState) -> Check:
        if self.output not in state.files:
            return Check(False, f"there is no file {self.output}")
        numbers = _NUMBER.findall(state.files[self.output])
        if len(numbers) != 1 or Decimal(numbers[0]) * 100 != self.total:
            return Check(False, f"{self.output} says {state.files[self.output].strip()[:60]!r}, not {money(self.total)}")
        return untouched(task, state, outputs=[self.output])


@dataclass(frozen=True)
class PriceGoal(LookupGoal):
    item: str
    count: int

    def facts(self) -> Facts:
        given = (f"item {self.item}", f"count {self.count}", f"file {self.output}")
        return Facts(given, (f"price of {self.item}",), (f"total for {self.count}",))

    def plan(self) -> tuple[str, ...]:
        return (
            f"web: find the price of {self.item} in shop",
            f"coder: compute {self.count} * price",
            f"files: write the total to {self.output}",
        )


@dataclass(frozen=True)
class PairGoal(LookupGoal):
    first: str
    second: str

    def facts(self) -> Facts:
        given = (f"item {self.first}", f"item {self.second}", f"file {self.output}")
        return Facts(given, (f"price of {self.first}", f"price of {self.second}"), ("sum of both prices",))

    def plan(self) -> tuple[str, ...]:
        finds = (f"web: find the price of {item} in shop" for item in (self.first, self.second))
        return (*finds, "coder: compute price + price", f"files: write the total to {self.output}")


@dataclass(frozen=True)
class TableGoal(LookupGoal):
    table: str
    column: str
    value: str

    def facts(self) -> Facts:
        given = (f"table {self.table}", f"rows with {self.value}", f"column {self.column}", f"file {self.output}")
        return Facts(given, (), (f"sum of {self.column}",))

    def plan(self) -> tuple[str, ...]:
        return (f"coder: sum {self.column} of rows with {self.value} in {self.table}", f"files: write the total to {self.output}")


def make(seed: int, split: Split) -> WorldTask:
    rng = random.Random(f"lookup {seed}")
    variant = rng.choices(list(_VARIANTS), list(_VARIANTS.values()))[0]
    pool = words(split)
    if variant == "price":
        return _price(rng, pool, seed, split)
    if variant == "pair":
        return _pair(rng, pool, seed, split)
    return _table(rng, pool, seed, split, variant)


def _price(rng: random.Random, pool: Words, seed: int, split: Split) -> WorldTask:
    [item] = distinct_products(rng, pool, 1)
    count = rng.randint(2, 40)
    products = random_catalogue(rng, pool, [item])
    total = count * next(p.price for p in products if p.name == item)
    output = desk.output_name(rng, pool, item)
    text = compose("lookup_price", split, rng, x=item, n=str(count), f=output)
    goal = PriceGoal(output, total, item, count)
    return WorldTask("lookup", "price", seed, split, text, ("shop",), goal, products=products, fault_rate=_fault_rate(rng))


def _pair(rng: random.Random, pool: Words, seed: int, split: Split) -> WorldTask:
    first, second = distinct_products(rng, pool, 2)
    products = random_catalogue(rng, pool, [first, second])
    total = sum(p.price for p in products if p.name in (first, second))
    output = desk.output_name(rng, pool, f"{first} {second}")
    text = compose("lookup_pair", split, rng, x=first, y=second, f=output)
    goal = PairGoal(output, total, first, second)
    return WorldTask("lookup", "pair", seed, split, text, ("shop",), goal, products=products, fault_rate=_fault_rate(rng))


def _table(rng: random.Random, pool: Words, seed: int, split: Split, variant: str) -> WorldTask:
    table = desk.table_name(rng, pool)
    bills = desk.invoices(rng, pool, split)
    column = bills.status if variant == "status" else bills.client
    value = rng.choice(sorted({row[column] for row in bills.rows}))
    output = desk.output_name(rng, pool, value)
    text = compose(f"lookup_{variant}", split, rng, t=table, v=value, c=bills.amount, f=output)
    goal = TableGoal(output, bills.total(value), table, bills.amount, value)
    return WorldTask("lookup", variant, seed, split, text, (), goal, files={table: bills.text})


def _fault_rate(rng: random.Random) -> float:
    return rng.choice((0.0, 0.0, 0.03, 0.06, 0.12))
