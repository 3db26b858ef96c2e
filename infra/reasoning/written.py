"""Arithmetic as it is written by hand: one digit at a time, every carry on paper. Lines begin with a space, so that a place's letter is the same
token here as within a line; SmolLM2 reads every digit as a token of its own.
"""

from collections.abc import Sequence

PLACES = "abcdefghijklmno"  # ones first


def add(x: str, y: str) -> tuple[list[str], str]:
    """Lines and sum of two numbers of equal width, in that width: a carry out of the top place is dropped."""
    lines, digits, carry = [], "", 0
    for place, p, q in zip(PLACES, reversed(x), reversed(y), strict=False):
        total = int(p) + int(q) + carry
        lines.append(f" {place} {p} + {q} + {carry} = {total:02d}")
        digits, carry = f"{total % 10}{digits}", total // 10
    return lines, digits


def subtract(x: str, y: str) -> tuple[list[str], str]:
    """Lines and difference of two numbers of equal width, in that width: a borrow out of the top place is dropped."""
    lines, digits, borrow = [], "", 0
    for place, p, q in zip(PLACES, reversed(x), reversed(y), strict=False):
        total = int(p) - int(q) - borrow
        digit, after = total % 10, int(total < 0)
        lines.append(f" {place} {p} - {q} - {borrow} = {digit} borrow {after}")
        digits, borrow = f"{digit}{digits}", after
    return lines, digits


def multiply(x: str, factor: int) -> tuple[list[str], str]:
    """Lines and product of a number with a one-digit factor, in the number's width: a carry out of the top place is dropped."""
    lines, digits, carry = [], "", 0
    for place, p in zip(PLACES, reversed(x), strict=False):
        product = int(p) * factor
        total = product + carry
        lines.append(f" {place} {p} * {factor} = {product:02d} + {carry} = {total:02d}")
        digits, carry = f"{total % 10}{digits}", total // 10
    return lines, digits


def compare(x: str, y: str) -> tuple[str, str]:
    """Digit pairs of two texts of equal width from the left up to the first that differs, and how that one differs: `<`, `=` or `>`."""
    pairs, sign = [], "="
    for p, q in zip(x, y, strict=True):
        sign = "<" if p < q else ">" if p > q else "="
        pairs.append(f"{p} {sign} {q}")
        if sign != "=":
            break
    return " , ".join(pairs), sign


def labelled(digits: Sequence[object], labels: str = PLACES) -> str:
    """`a4 b7 c3`: a digit that is found by its letter. In a row of bare digits a small model loses its place."""
    return " ".join(f"{label}{digit}" for label, digit in zip(labels, digits, strict=False))


def text(lines: Sequence[str]) -> str:
    return "\n".join(lines)
