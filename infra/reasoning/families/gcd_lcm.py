"""gcd_lcm: two numbers move toward each other until they are equal. For the greatest common divisor the smaller is taken from the larger; for
the least common multiple the smaller grows by the number it began as. The memento is the pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, last

WIDTH = 5
_GCD = ("greatest common divisor", "largest common factor", "gcd")
_LCM = ("least common multiple", "smallest common multiple", "lcm")


@dataclass(frozen=True)
class Knobs:
    """`steps`: fewest and most subtractions (gcd) or additions (lcm) until the two are equal. Neither they nor the lcm exceed `largest`."""

    steps: tuple[int, int]
    largest: int = 99_999


class GcdLcm:
    name = "gcd_lcm"
    levels = (Knobs((1, 2)), Knobs((2, 3)), Knobs((4, 5)), Knobs((6, 7)))
    wordings = Wordings(
        "What is the {what} of {first} and {second}?",
        "Find the {what} of the numbers {first} and {second}.",
        "Compute the {what} for this pair: {first} and {second}.",
        "Two numbers are given, {first} and {second}. Give their {what}.",
        "For {first} and {second}, work out the {what}.",
        "I need the {what} of two integers: {first} and {second}.",
        "Take {first} and {second}. Which number is their {what}?",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        what = draw.choice(draw.choice((_GCD, _LCM)))
        steps = draw.randint(*knobs.steps)
        first, second = _differences(draw, steps) if what in _GCD else _multiples(draw, steps)
        bound = knobs.largest // (max(first, second) if what in _GCD else first * second)
        factor = draw.randint(2, draw.choice((99, bound)))
        return self.wordings.write(draw, what=what, first=first * factor, second=second * factor)

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        low, high = sorted((int(slots["first"]), int(slots["second"])))
        return f"{'gcd' if slots['what'] in _GCD else 'lcm'} {low} {high}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        bases = {name: slots[name].zfill(WIDTH) for name in ("first", "second")}
        newest = last(mementos, f"pair {bases['first']} {bases['second']}")
        if newest.startswith("result"):
            return str(int(*fields(r"result (\d{5})", newest)))
        pair = dict(zip(bases, fields(r"pair (\d{5}) (\d{5})", newest), strict=True))
        digits, sign = written.compare(pair["first"], pair["second"])
        comparison = f"compare {pair['first']} {pair['second']} : {digits}"
        if sign == "=":
            return Block(written.text([comparison, "equal"]), f"result {pair['first']}")
        larger, smaller = ("first", "second") if sign == ">" else ("second", "first")
        if slots["what"] in _GCD:
            action = f"{larger} larger : {pair[larger]} - {pair[smaller]}"
            lines, pair[larger] = written.subtract(pair[larger], pair[smaller])
        else:
            action = f"{smaller} smaller : {pair[smaller]} + {bases[smaller]}"
            lines, pair[smaller] = written.add(pair[smaller], bases[smaller])
        changed = larger if slots["what"] in _GCD else smaller
        text = written.text([comparison, action, *lines, f"{changed} {pair[changed]}"])
        return Block(text, f"pair {pair['first']} {pair['second']}")


def _differences(draw: Random, steps: int) -> tuple[int, int]:
    """Numbers without a common factor that so many subtractions make equal, by the way back from 1 and 1."""
    first, second = 1, 1
    for _ in range(steps):
        first, second = (first + second, second) if draw.random() < 0.5 else (first, first + second)
    return first, second


def _multiples(draw: Random, steps: int) -> tuple[int, int]:
    """Numbers without a common factor, whose multiples first meet after so many additions."""
    first = draw.choice([part for part in range(1, steps + 2) if gcd(part, steps + 2) == 1])
    return first, steps + 2 - first
