"""long_multiplication: one row a digit of the second factor, from its ones; each row adds its products to the total so far.

The mementos hold the total, digit by digit: what a row finishes (its first digit) is never touched again, the rest is carried on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from app.errors import InvalidInput
from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields

TOP = "pqrstuvw"  # places of the first factor, ones first; those of the second factor and of the product are written.PLACES


@dataclass(frozen=True)
class Knobs:
    """`top` and `low`: fewest and most digits of the first factor (columns of a row) and of the second (rows)."""

    top: tuple[int, int]
    low: tuple[int, int]


class LongMultiplication:
    name = "long_multiplication"
    levels = (Knobs((1, 2), (1, 2)), Knobs((2, 3), (2, 3)), Knobs((3, 4), (3, 4)), Knobs((4, 4), (6, 6)))
    wordings = Wordings(
        "What is {top} times {low}?",
        "Multiply {top} by {low}.",
        "Compute the product of {top} and {low}.",
        "Work out {top} * {low}.",
        "A hall has {top} rows with {low} seats each. How many seats are there?",
        "One part costs {top} cents. What do {low} of them cost, in cents?",
        "Find the result of {top} multiplied by {low}.",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        top, low = (_number(draw, draw.randint(*digits)) for digits in (knobs.top, knobs.low))
        return self.wordings.write(draw, top=top, low=low)

    def content(self, question: str) -> str:
        return " ".join(sorted(self.wordings.read(question).values()))

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        if not mementos:
            return _spelled(**self.wordings.read(question))
        if mementos[-1].startswith("product"):
            return fields(r"product (\d+)", mementos[-1])[0]
        top, low = (_digits(part) for part in fields(r"top (.+) low (.+)", mementos[0]))
        rows = [_digits(*fields(r"row [a-o] (.+)", memento)) for memento in mementos[1:]]
        if len(rows) == len(low):
            return _gathered(rows)
        return _row(top, low, written.PLACES[len(rows)], rows[-1] if rows else {})


def _spelled(top: str, low: str) -> Block:
    """Both factors with a letter for every place, in the order in which they stand."""
    spelled = [
        " ".join(f"{label}{digit}" for label, digit in zip(reversed(labels[: len(number)]), number, strict=True))
        for number, labels in ((top, TOP), (low, written.PLACES))
    ]
    text = written.text([f"{top} is {spelled[0]}", f"{low} is {spelled[1]}"])
    return Block(text, f"top {spelled[0]} low {spelled[1]}")


def _row(top: dict[str, str], low: dict[str, str], row: str, before: dict[str, str]) -> Block:
    """`top` times the digit of place `row`, added to the total's digits from that place on."""
    if row not in low:
        raise InvalidInput(f"The second factor has no place {row}.", hint="Its places run from a to that of its first digit.")
    old = {place: digit for place, digit in before.items() if place >= row}
    header = f"row {row} {low[row]} old " + (_spell(old) or "none")
    lines, carry, total = [], 0, {}
    for column, place in zip(reversed(top), written.PLACES[written.PLACES.index(row) :], strict=False):
        product = int(top[column]) * int(low[row])
        carried, result = product + carry, product + carry + int(old.get(place, 0))
        total[place] = str(result % 10)
        sums = f"{product:02d} + {carry} = {carried:02d} + {old.get(place, 0)} = {result:02d}"
        lines.append(f" {column}{top[column]} * {low[row]} = {sums} {place}{total[place]}")
        carry = result // 10
    place = written.PLACES[written.PLACES.index(row) + len(top)]
    total[place] = str(carry)
    return Block(written.text([header, *lines, f" {place}{carry}"]), f"row {row} {_spell(total)}")


def _gathered(rows: Sequence[dict[str, str]]) -> Block:
    """The product's digits from the first place down: all of the last row's, and of each row before it the one that it finished."""
    final = {place: digit for row in rows for place, digit in row.items()}
    places = sorted(final, reverse=True)
    product = "".join(final[place] for place in places).lstrip("0") or "0"
    return Block(written.text([f"read {' '.join(place + final[place] for place in places)}", f"product {product}"]), f"product {product}")


def _digits(spelled: str) -> dict[str, str]:
    """Place to digit."""
    return {pair[0]: pair[1] for pair in spelled.split()}


def _spell(digits: dict[str, str]) -> str:
    return " ".join(place + digit for place, digit in digits.items())


def _number(draw: Random, digits: int) -> int:
    return draw.randint(max(2, 10 ** (digits - 1)), 10**digits - 1)
