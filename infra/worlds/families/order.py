"""order: buy within a budget. About 30 % are over it: then nothing may be ordered.

Variants: `text` (the task says what and how much it may cost) and `note` (a file says it).
"""

import random
from dataclasses import dataclass

from infra.worlds import desk
from infra.worlds.base import Check, Facts, Order, OrderLine, Split, WorldState, WorldTask, untouched
from infra.worlds.catalogue import distinct_products, random_catalogue
from infra.worlds.wording import compose
from infra.worlds.words import words

OVER_BUDGET = 0.3
AT_THE_LIMIT = 0.05


@dataclass(frozen=True)
class OrderGoal:
    """One order of `count` `item` when their total is within `limit` (cents), and no order otherwise. `file` names the note, if any."""

    item: str
    count: int
    price: int
    limit: int
    limit_text: str
    file: str = ""

    @property
    def within(self) -> bool:
        return self.count * self.price <= self.limit

    def facts(self) -> Facts:
        if self.file:
            return Facts(
                (f"note {self.file}",), (f"item, count and limit in {self.file}", "price of the item"), ("total within the limit",)
            )
        given = (f"item {self.item}", f"count {self.count}", f"limit {self.limit_text}")
        return Facts(given, (f"price of {self.item}",), (f"total for {self.count} within limit {self.limit_text}",))

    def plan(self) -> tuple[str, ...]:
        if self.file:
            return (
                f"files: read {self.file} for item, count, limit",
                "web: find the price of the item in shop",
                "coder: compare count * price with limit",
                "web: order the items in shop if within budget",
            )
        return (
            f"web: find the price of {self.item} in shop",
            f"coder: compare {self.count} * price with limit {self.limit_text}",
            f"web: order {self.count} {self.item} in shop if within budget",
        )

    def note(self) -> str:
        return f"item {self.item}; count {self.count}; limit {self.limit_text}" if self.file else ""

    def check(self, task: WorldTask, state: WorldState) -> Check:
        wanted = (Order((OrderLine(self.item, self.count, self.price),)),) if self.within else ()
        return untouched(task, state, orders=wanted)


def make(seed: int, split: Split) -> WorldTask:
    rng = random.Random(f"order {seed}")
    pool = words(split)
    [item] = distinct_products(rng, pool, 1)
    count = rng.randint(2, 15)
    products = random_catalogue(rng, pool, [item], stock=count)
    price = next(p.price for p in products if p.name == item)
    limit, limit_text = _limit(rng, count * price)
    fault_rate = rng.choice((0.0, 0.0, 0.03, 0.06, 0.12))
    if rng.random() < 0.6:
        text = compose("order_text", split, rng, x=item, n=str(count), l=limit_text)
        goal = OrderGoal(item, count, price, limit, limit_text)
        return WorldTask("order", "text", seed, split, text, ("shop",), goal, products=products, fault_rate=fault_rate)
    file = desk.input_name(rng, pool, rng.choice(("order", "purchase", "shopping", "request", "wish")))
    text = compose("order_note", split, rng, f=file)
    files = {file: desk.order_note(rng, pool, split, item, count, limit_text)}
    goal = OrderGoal(item, count, price, limit, limit_text, file)
    return WorldTask("order", "note", seed, split, text, ("shop",), goal, files=files, products=products, fault_rate=fault_rate)


def _limit(rng: random.Random, total: int) -> tuple[int, str]:
    """A limit in cents as a person would say it, on the wanted side of `total`."""
    if rng.random() < AT_THE_LIMIT:
        return total, f"{total / 100:.2f}"
    over = rng.random() < OVER_BUDGET / (1 - AT_THE_LIMIT)
    goal = total * (rng.uniform(0.4, 0.95) if over else rng.uniform(1.03, 1.9))
    for step in (*rng.sample((10_000, 5_000, 1_000, 500, 100, 50), 3), 100, 50, 10, 1):
        limit = round(goal / step) * step
        if limit > 0 and (limit < total) == over:
            text = f"{limit // 100}" if limit % 100 == 0 and rng.random() < 0.6 else f"{limit / 100:.2f}"
            return limit, text
    raise AssertionError("a limit in whole cents always fits")
