"""bitwise_arithmetic: a register of twelve bits, written as four octal digits, goes through numbered operations, one a block."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from app.errors import InvalidInput
from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered

DIGITS = 4
_WORK = {"and": lambda x, y: x & y, "or": lambda x, y: x | y, "xor": lambda x, y: x ^ y}


@dataclass(frozen=True)
class Knobs:
    """`steps`: fewest and most operations."""

    steps: tuple[int, int]


class BitwiseArithmetic:
    name = "bitwise_arithmetic"
    levels = (Knobs((1, 2)), Knobs((2, 4)), Knobs((5, 6)), Knobs((8, 9)))
    wordings = Wordings(
        "A register of 12 bits holds octal {start}. What does it hold after these {count} operations, in octal?\n{steps}",
        "All numbers are octal, with four digits. Start from {start} and apply {count} bit operations.\n{steps}",
        "Begin with the 12-bit value {start} (octal). Run the {count} lines and give four octal digits.\n{steps}",
        "Which octal value results from {start} by {count} bitwise steps, each on 12 bits?\n{steps}",
        "The flags read {start} in octal. They are changed {count} times, bit by bit. What do these 12 bits read then?\n{steps}",
        "Work through {count} operations on the octal number {start}; bits beyond twelve are lost.\n{steps}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        steps = [_operation(draw) for _ in range(draw.randint(*knobs.steps))]
        return self.wordings.write(draw, start=_octal(draw), count=len(steps), steps=numbered(steps))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['start']}\n{slots['steps']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        steps = items(slots["steps"])
        done, state = fields(r"done (\d+) state ([0-7]{4})", last(mementos, f"done 0 state {slots['start']}"))
        if int(done) >= len(steps):
            return state
        number, operation = int(done) + 1, steps[int(done)]
        verb, _, operand = operation.partition(" ")
        if verb == "shift":
            header, (lines, state) = f"{state} {operation}", _shifted(state, operand)
        elif verb == "not":
            header, lines = f"not {state}", [f" {p} {d} {_bits(d)} = {_bits(7 - int(d))} {7 - int(d)}" for p, d in _placed(state)]
            state = "".join(str(7 - int(digit)) for digit in state)
        elif verb in _WORK:
            header = f"{state} {verb} {operand}"
            lines, digits = [], ""
            for (place, x), y in zip(_placed(state), operand, strict=True):
                digit = _WORK[verb](int(x), int(y))
                lines.append(f" {place} {x} {_bits(x)} {verb} {y} {_bits(y)} = {_bits(digit)} {digit}")
                digits += str(digit)
            state = digits
        else:
            raise InvalidInput(f"There is no operation {operation}.", hint="and, or, xor, not, shift left, shift right.")
        text = written.text([f"{number}: {operation}", header, *lines, f"state {state}"])
        return Block(text, f"done {number} state {state}")


def _shifted(state: str, direction: str) -> tuple[list[str], str]:
    """By one bit. A digit's bits move, one comes in from the digit before (in the direction of travel), one goes out to the next."""
    lines, digits, carried = [], {}, "0"
    for place, digit in _placed(state) if direction == "right" else reversed(_placed(state)):
        bits = _bits(digit)
        moved, out = (carried + bits[:2], bits[2]) if direction == "right" else (bits[1:] + carried, bits[0])
        digits[place] = str(int(moved, 2))
        lines.append(f" {place} {digit} {bits} in {carried} = {moved} {digits[place]} out {out}")
        carried = out
    return lines, "".join(digits[place] for place in sorted(digits))


def _placed(state: str) -> list[tuple[str, str]]:
    """Digits with their places, a the first."""
    return list(zip(written.PLACES, state, strict=False))


def _bits(digit: str | int) -> str:
    return f"{int(digit):03b}"


def _octal(draw: Random) -> str:
    return "".join(draw.choice("01234567") for _ in range(DIGITS))


def _operation(draw: Random) -> str:
    verb = draw.choices(("and", "or", "xor", "not", "shift"), (3, 3, 4, 1, 3))[0]
    if verb == "shift":
        return f"shift {draw.choice(('left', 'right'))}"
    return verb if verb == "not" else f"{verb} {_octal(draw)}"
