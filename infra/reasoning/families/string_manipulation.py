"""string_manipulation: a row of different letters is edited by numbered rules, one a block. The memento is the row."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase

from app.errors import InvalidInput
from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered


@dataclass(frozen=True)
class Knobs:
    """`letters` and `rules`: fewest and most. The row keeps three letters or more, and never holds a letter twice."""

    letters: tuple[int, int]
    rules: tuple[int, int]


class StringManipulation:
    name = "string_manipulation"
    levels = (Knobs((4, 6), (1, 2)), Knobs((5, 7), (3, 4)), Knobs((6, 8), (5, 7)), Knobs((7, 9), (8, 10)))
    wordings = Wordings(
        "Here is a row of letters: {letters} . Apply these {count} rules in order. What is the row then?\n{rules}",
        "Start with {letters} and follow the {count} rules below.\n{rules}",
        "The word is {letters} , letter by letter. Edit it {count} times as told and write the result with spaces.\n{rules}",
        "Beads on a string: {letters} . You make {count} changes. How do the beads run at the end?\n{rules}",
        "Change {letters} by {count} rules, one after the other, and give what is left.\n{rules}",
        "People queue up as {letters} . After {count} events, how does the queue read?\n{rules}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        start = row = draw.sample(ascii_lowercase, draw.randint(*knobs.letters))
        rules = []
        for _ in range(draw.randint(*knobs.rules)):
            rules.append(_rule(draw, row, knobs.letters))
            row = _applied(rules[-1], row)[1]
        return self.wordings.write(draw, letters=" ".join(start), count=len(rules), rules=numbered(rules))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['letters']}\n{slots['rules']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        rules = items(slots["rules"])
        done, row = fields(r"done (\d+) row ((?:\w )*\w)", last(mementos, f"done 0 row {slots['letters']}"))
        if int(done) >= len(rules):
            return row
        number, rule = int(done) + 1, rules[int(done)]
        lines, after = _applied(rule, row.split())
        text = written.text([f"{number}: {rule}", f"old {row}", *lines, f"row {' '.join(after)}"])
        return Block(text, f"done {number} row {' '.join(after)}")


def _applied(rule: str, row: list[str]) -> tuple[list[str], list[str]]:
    """Lines and the row after a rule. Raises InvalidInput for a rule that is none, or names a letter that the row has not."""
    match rule.split():
        case ["reverse"]:
            return _turned(row)
        case ["move", x, "to", "front" | "end" as where] if x in row:
            rest = [letter for letter in row if letter != x]
            return [f"without {x} {' '.join(rest)}"], [x, *rest] if where == "front" else [*rest, x]
        case ["swap", x, "and", y] if x in row and y in row:
            return _mapped(row, {x: [y], y: [x]})
        case ["replace", x, "by", z] if x in row:
            return _mapped(row, {x: [z]})
        case ["drop", x] if x in row:
            return _mapped(row, {x: []})
        case ["insert", z, "after", x] if x in row:
            return _mapped(row, {x: [x, z]})
    raise InvalidInput(f"The rule {rule!r} says nothing about {' '.join(row)}.", hint="Take questions from infra.reasoning.problems.")


def _mapped(row: list[str], changes: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """What becomes of each letter, in turn."""
    new = {letter: changes.get(letter, [letter]) for letter in row}
    said = " , ".join(f"{letter} to {' '.join(after) or 'none'}" for letter, after in new.items())
    return [f"turn {said}"], [letter for after in new.values() for letter in after]


def _turned(row: list[str]) -> tuple[list[str], list[str]]:
    steps = [f"before {right} {left}" for left, right in zip(row[-2::-1], row[:0:-1], strict=True)]
    return [f"last {row[-1]} , {' , '.join(steps)}"], row[::-1]


def _rule(draw: Random, row: list[str], letters: tuple[int, int]) -> str:
    x, y = draw.sample(row, 2)
    new = draw.choice([letter for letter in ascii_lowercase if letter not in row])
    rules = ["reverse", f"move {x} to front", f"move {x} to end", f"swap {x} and {y}", f"replace {x} by {new}"]
    if len(row) < letters[1]:
        rules.append(f"insert {new} after {x}")
    if len(row) > max(3, letters[0] - 1):
        rules.append(f"drop {x}")
    return draw.choice(rules)
