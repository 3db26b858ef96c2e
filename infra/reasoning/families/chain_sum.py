"""chain_sum: a running total of signed numbers, one term a block. The memento is the total, in four digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered

WIDTH = 4


@dataclass(frozen=True)
class Knobs:
    """`terms`: fewest and most. Terms have one to three digits; no running total is negative, none has more than four digits."""

    terms: tuple[int, int]


class ChainSum:
    name = "chain_sum"
    levels = (Knobs((1, 2)), Knobs((3, 5)), Knobs((6, 8)), Knobs((9, 11)))
    wordings = Wordings(
        "What is the sum of these {count} terms?\n{terms}",
        "Add up the {count} numbers below, minding their signs.\n{terms}",
        "An account starts at 0 and has {count} movements. What is its balance at the end?\n{terms}",
        "Here are {count} signed numbers, one a line. Give their total.\n{terms}",
        "A stock of parts is empty at first. It changes {count} times as follows; how many parts are there then?\n{terms}",
        "Begin with zero and apply {count} gains and losses. Where do you end?\n{terms}",
        "Compute the total of a list with {count} entries:\n{terms}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        terms: list[int] = []
        for _ in range(draw.randint(*knobs.terms)):
            size = draw.randint(1, 10 ** draw.choices((1, 2, 3), (1, 3, 8))[0] - 1)
            terms.append(-size if size <= sum(terms) and draw.random() < 0.45 else size)
        return self.wordings.write(draw, count=len(terms), terms=numbered(f"{term:+d}" for term in terms))

    def content(self, question: str) -> str:
        return self.wordings.read(question)["terms"]

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        terms = items(self.wordings.read(question)["terms"])
        done, total = fields(r"done (\d+) total (\d{4})", last(mementos, f"done 0 total {0:04d}"))
        if int(done) >= len(terms):
            return str(int(total))
        number, term = int(done) + 1, terms[int(done)]
        sign, operand = term[0], term[1:].zfill(WIDTH)
        lines, after = (written.subtract if sign == "-" else written.add)(total, operand)
        text = written.text([f"{number}: {term}", f"{total} {sign} {operand}", *lines, f"total {after}"])
        return Block(text, f"done {number} total {after}")
