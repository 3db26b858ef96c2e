"""number_sorting: one block for each first digit gathers the numbers that begin with it, in the order of the question, and sorts these few.

The mementos are the sorted pieces; the answer is all of them in a row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, numbered

_UP = ("from smallest to largest", "in ascending order", "from low to high")
_DOWN = ("from largest to smallest", "in descending order", "from high to low")


@dataclass(frozen=True)
class Knobs:
    """`count`: fewest and most numbers, all different and of `digits` digits. At most `bucket` of them begin alike."""

    count: tuple[int, int]
    digits: int
    bucket: int


class NumberSorting:
    name = "number_sorting"
    levels = (Knobs((2, 4), 2, 2), Knobs((4, 7), 2, 3), Knobs((6, 9), 3, 3), Knobs((11, 13), 3, 3))
    wordings = Wordings(
        "Sort these {count} numbers {order}.\n{numbers}",
        "Put the {count} numbers below {order}.\n{numbers}",
        "Here is a list of {count} numbers. Write them {order}.\n{numbers}",
        "Arrange all {count} values {order}:\n{numbers}",
        "{count} runners have these numbers. List them {order}.\n{numbers}",
        "The {count} entries that follow belong {order}. Bring them into that order.\n{numbers}",
        "Give this list of {count} again, but {order}.\n{numbers}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        count, pool = draw.randint(*knobs.count), range(10 ** (knobs.digits - 1), 10**knobs.digits)
        while True:
            numbers = draw.sample(pool, count)
            if max(Counter(str(number)[0] for number in numbers).values()) <= knobs.bucket:
                order = draw.choice(draw.choice((_UP, _DOWN)))
                return self.wordings.write(draw, count=count, order=order, numbers=numbered(numbers))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{'up' if slots['order'] in _UP else 'down'}\n{slots['numbers']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        up = slots["order"] in _UP
        firsts = "123456789" if up else "987654321"
        if len(mementos) >= len(firsts):
            pieces = [fields(r"begin \d : (.+)", memento)[0] for memento in mementos]
            return " ".join(piece for piece in pieces if piece != "none")
        first = firsts[len(mementos)]
        numbers = items(slots["numbers"])
        scan = [
            f"{label}: {first} take {number}" if number[0] == first else f"{label}: {number[0]}" for label, number in enumerate(numbers, 1)
        ]
        found = [number for number in numbers if number[0] == first]
        lines, ordered = _inserted(found, up)
        memento = f"begin {first} : {' '.join(ordered) or 'none'}"
        return Block(written.text([f"begin {first}", *scan, f"found {' '.join(found) or 'none'}", *lines]), memento)


def _inserted(found: Sequence[str], up: bool) -> tuple[list[str], list[str]]:
    """Each number goes in front of the first that it must precede. Lines, and the numbers in order; nothing to write for fewer than two."""
    lines: list[str] = []
    ordered = list(found[:1])
    for number in found[1:]:
        place = len(ordered)
        for index, other in enumerate(ordered):
            digits, sign = written.compare(number[1:], other[1:])
            lines.append(f"{number} {other} : {digits}")
            if sign == ("<" if up else ">"):
                place = index
                break
        ordered.insert(place, number)
        lines.append(f"order {' '.join(ordered)}")
    return lines, ordered
