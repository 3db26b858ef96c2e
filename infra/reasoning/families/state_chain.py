"""state_chain: a three-digit counter goes through numbered operations, one a block. The memento is the counter."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from app.errors import InvalidInput
from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered

WIDTH = 3


@dataclass(frozen=True)
class Knobs:
    """`steps`: fewest and most operations. Operands have one to three digits, factors are 2 to 9."""

    steps: tuple[int, int]


class StateChain:
    name = "state_chain"
    levels = (Knobs((1, 2)), Knobs((3, 5)), Knobs((6, 9)), Knobs((11, 13)))
    wordings = Wordings(
        "A three-digit counter shows {start} and wraps around at 999. After these {count} steps, what does it show?\n{steps}",
        "Start from {start} and do the {count} steps below. Keep only the last three digits each time.\n{steps}",
        "The state is {start}. Run {count} operations in order, modulo 1000, and give the final state with three digits.\n{steps}",
        "What is the final three-digit state? It begins as {start}, and {count} operations follow, each modulo 1000.\n{steps}",
        "A machine holds the number {start} in three digits, where 999 is followed by 000. It runs {count} instructions:\n{steps}",
        "Take {start}. Follow all {count} lines, dropping whatever goes beyond three digits.\n{steps}",
        "My odometer has three digits and reads {start}. I turn it through {count} changes. Where does it stand at the end?\n{steps}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        steps = [_operation(draw) for _ in range(draw.randint(*knobs.steps))]
        return self.wordings.write(draw, start=f"{draw.randrange(1000):03d}", count=len(steps), steps=numbered(steps))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['start']}\n{slots['steps']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        steps = items(slots["steps"])
        done, state = fields(r"done (\d+) state (\d{3})", last(mementos, f"done 0 state {slots['start']}"))
        if int(done) >= len(steps):
            return state
        number, operation = int(done) + 1, steps[int(done)]
        verb, _, operand = operation.partition(" ")
        if verb == "times":
            header, (lines, state) = f"{state} * {operand}", written.multiply(state, int(operand))
        elif verb in ("add", "subtract"):
            padded = operand.zfill(WIDTH)
            sign, work = ("+", written.add) if verb == "add" else ("-", written.subtract)
            header, (lines, state) = f"{state} {sign} {padded}", work(state, padded)
        else:
            raise InvalidInput(f"There is no operation {operation}.", hint="add, subtract or times.")
        text = written.text([f"{number}: {operation}", header, *lines, f"state {state}"])
        return Block(text, f"done {number} state {state}")


def _operation(draw: Random) -> str:
    verb = draw.choices(("add", "subtract", "times"), (4, 4, 3))[0]
    if verb == "times":
        return f"times {draw.randint(2, 9)}"
    return f"{verb} {draw.randint(1, 10 ** draw.choices((1, 2, 3), (1, 3, 6))[0] - 1)}"
