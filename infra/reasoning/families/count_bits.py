"""count_bits: a number is halved until nothing is left; what remains of an odd one is a bit. The memento is the bits so far and the half."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, last

A_BLOCK = 2  # halvings


@dataclass(frozen=True)
class Knobs:
    """`digits`: fewest and most of the number, in base 10."""

    digits: tuple[int, int]


class CountBits:
    name = "count_bits"
    levels = (Knobs((2, 3)), Knobs((3, 3)), Knobs((4, 4)), Knobs((5, 5)))
    wordings = Wordings(
        "How many bits of {number} are 1?",
        "Write {number} in binary. How many ones does it have?",
        "Count the 1 bits in the binary form of {number}.",
        "What is the number of set bits of {number}?",
        "In base 2, how often does the digit 1 occur in {number}?",
        "Give the bit count (the ones in binary) of {number}.",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        digits = draw.randint(*knobs.digits)
        return self.wordings.write(draw, number=draw.randint(max(2, 10 ** (digits - 1)), 10**digits - 1))

    def content(self, question: str) -> str:
        return self.wordings.read(question)["number"]

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        start = f"ones 0 next {written.labelled(self.wordings.read(question)['number'])}"
        ones, rest = fields(r"ones (\d+) next (.+)", last(mementos, start))
        if rest == "none":
            return ones
        lines, total = [], int(ones)
        for _ in range(A_BLOCK):
            if rest != "none":
                steps, after, bit = _half(rest)
                total += bit
                lines += [f"halve {rest}", *steps, f"bit {bit} ones {total}"]
                rest = after
        return Block(written.text(lines), f"ones {total} next {rest}")


def _half(number: str) -> tuple[list[str], str, int]:
    """Half of `a4 b7 c3`. Lines, the half with its letters and without leading zeros (`none` when it is 0), and what remains."""
    lines: list[str] = []
    half: list[str] = []
    left = 0
    for pair in number.split():
        part = 10 * left + int(pair[1:])
        digit, left = divmod(part, 2)
        lines.append(f" {pair} {part:02d} half {digit} left {left}")
        if digit or half:
            half.append(f"{pair[0]}{digit}")
    return lines, " ".join(half) or "none", left
