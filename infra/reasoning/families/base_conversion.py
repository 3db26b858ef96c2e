"""base_conversion: from base 10 by repeated division, into base 10 by multiplying and adding digit after digit (Horner)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, last

DIGITS = "0123456789abcdef"
BASES = (2, 3, 4, 5, 6, 7, 8, 9, 16)
LONGEST = 10  # digits of a number in another base than 10; a longer row of bare digits is copied with errors
DECIMAL = 7  # digits of one in base 10
SOURCE = "pqrstuvwxyz"  # places of a number that is not in base 10, from its first digit; one more than the longest has


@dataclass(frozen=True)
class Knobs:
    """`lines`: fewest and most one-digit divisions or multiplications of a whole solution."""

    lines: tuple[int, int]


class BaseConversion:
    name = "base_conversion"
    levels = (Knobs((2, 5)), Knobs((5, 10)), Knobs((10, 18)), Knobs((24, 31)))
    wordings = Wordings(
        "Convert {number} from base {source} to base {target}.",
        "Write {number}, a number in base {source}, in base {target}.",
        "What is {number} of base {source} when it is written in base {target}?",
        "{number} is given in base {source}. Give it in base {target}.",
        "Change the base of {number} from {source} to {target}.",
        "Turn the base {source} number {number} into base {target}.",
        "A number reads {number} in base {source}. How does it read in base {target}?",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        base, into = draw.choice(BASES), draw.random() < 0.5
        while True:
            digits = draw.randint(2, DECIMAL)
            value = draw.randint(10 ** (digits - 1), 10**digits - 1)
            there = digits_of(value, base)
            fits = knobs.lines[0] <= _lines(value, base, into) <= knobs.lines[1]
            if fits and len(there) <= LONGEST and not _pair_of_letters(there):
                break
            base, into = draw.choice(BASES), draw.random() < 0.5
        slots = {"number": there, "source": base, "target": 10} if into else {"number": value, "source": 10, "target": base}
        return self.wordings.write(draw, **slots)

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['number']} {slots['source']} {slots['target']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        if mementos and mementos[-1].startswith("result"):
            return fields(r"result (\w+)", mementos[-1])[0]
        slots = self.wordings.read(question)
        if slots["source"] == "10":
            return _division(slots["number"], int(slots["target"]), mementos)
        return _horner(slots["number"], int(slots["source"]), mementos)


def _division(number: str, base: int, mementos: Sequence[str]) -> Block:
    """The next digit of the result, from its ones."""
    count, _, rest = fields(r"digit (\d+) is (\w) next (.+)", last(mementos, f"digit 0 is 0 next {written.labelled(number)}"))
    if rest == "none":
        digits = [fields(r"digit \d+ is (\w) next .+", memento)[0] for memento in reversed(mementos)]
        lines = [f"digit {place} is {digit}" for place, digit in zip(range(len(digits), 0, -1), digits, strict=True)]
        return Block(written.text(lines), f"result {''.join(digits)}")
    lines, quotient, left = divide(rest, base)
    digit = f"digit {int(count) + 1} is {DIGITS[left]}"
    return Block(written.text([f"divide {rest} by {base}", *lines, digit]), f"{digit} next {quotient}")


def divide(number: str, base: int) -> tuple[list[str], str, int]:
    """Long division of `a4 b7 c3`. Lines, the quotient with its letters and without leading zeros (`none` when it is 0), the remainder."""
    width = len(str(base))  # of a remainder
    lines: list[str] = []
    quotient: list[str] = []
    left = 0
    for pair in number.split():
        part = 10 * left + int(pair[1:])
        times = part // base
        left = part % base
        # The quotient's digit carries its letter at once: looked for in bare lines, it was the most frequent error of a small model.
        product = f"{times * base:0{width + 1}d}"
        lines.append(f" {pair} {part:0{width + 1}d} : {pair[0]}{times} * {base} = {product} left {left:0{width}d}")
        if times or quotient:
            quotient.append(f"{pair[0]}{times}")
    return lines, " ".join(quotient) or "none", left


def _horner(number: str, base: int, mementos: Sequence[str]) -> Block:
    """The total so far times the base, plus the next digit."""
    if not mementos:
        values = [DIGITS.index(digit) for digit in number]
        source = written.labelled(values, SOURCE)
        return Block(f"{number} is {source}", f"source {source} done p total {written.labelled(str(values[0])[::-1])}")
    digits = dict(zip(SOURCE, fields(r"source (.+) done p total .+", mementos[0])[0].split(), strict=False))
    done, total = fields(r"(?:source .+ )?done (\w) total (.+)", mementos[-1])
    place = SOURCE[SOURCE.index(done) + 1]
    if place not in digits:
        pairs = total.split()[::-1]
        return Block(f"read {' '.join(pairs)}", f"result {''.join(pair[1] for pair in pairs)}")
    lines, after = multiply(total, base, int(digits[place][1:]))
    return Block(written.text([f"next {digits[place]}", *lines]), f"done {place} total {after}")


def multiply(number: str, base: int, carry: int) -> tuple[list[str], str]:
    """`a4 b7 c3`, ones first, times the base plus a first carry. Lines, and the result in the same form."""
    width = len(str(base))  # of a carry
    lines: list[str] = []
    digits: list[str] = []
    for pair in number.split():
        product = int(pair[1:]) * base
        result = product + carry
        digits.append(f"{pair[0]}{result % 10}")
        lines.append(f" {pair} * {base} = {product:0{width + 1}d} + {carry:0{width}d} = {result:0{width + 1}d} {digits[-1]}")
        carry = result // 10
    if carry:
        digits.append(written.labelled(str(carry)[::-1], written.PLACES[len(digits) :]))
        lines.append(f" {digits[-1]}")
    return lines, " ".join(digits)


def digits_of(value: int, base: int) -> str:
    """The digits of a positive number."""
    return (digits_of(value // base, base) if value >= base else "") + DIGITS[value % base]


def _pair_of_letters(digits: str) -> bool:
    """Two letters in a row may be one token, and then cannot be told apart."""
    return any(x.isalpha() and y.isalpha() for x, y in pairwise(digits))


def _lines(value: int, base: int, into: bool) -> int:
    """How many one-digit steps a solution takes."""
    if not into:
        return len(str(value)) + (_lines(value // base, base, into) if value >= base else 0)
    return sum(len(str(value // base**power)) for power in range(1, len(digits_of(value, base))))
