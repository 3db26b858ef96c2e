"""coin_flip: three coins are flipped many times; an even number of flips changes nothing. The memento says what each shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered

A_BLOCK = 4  # actions
COINS = ("red", "blue", "green")
_OTHER = {"heads": "tails", "tails": "heads"}
_SHOWN = " ".join(rf"{coin} (heads|tails)" for coin in COINS)


@dataclass(frozen=True)
class Knobs:
    """`actions`: fewest and most. Each flips one coin, or all of them, once to `flips` times."""

    actions: tuple[int, int]
    flips: int


class CoinFlip:
    name = "coin_flip"
    levels = (Knobs((1, 3), 9), Knobs((3, 6), 9), Knobs((6, 10), 99), Knobs((12, 15), 99))
    wordings = Wordings(
        "Three coins lie there: {coins}. After these {count} actions, what do red, blue and green show?\n{actions}",
        "The coins are {coins}. Do {count} things with them and name the sides of red, blue, green.\n{actions}",
        "At first: {coins}. Then {count} flips of several turns follow. Give the sides in the order red, blue, green.\n{actions}",
        "Which sides are up at the end, in the order red, blue, green? The start is {coins}. There are {count} actions:\n{actions}",
        "I put down three coins ({coins}) and flip them as the {count} lines say. How do red, blue and green lie then?\n{actions}",
        "Coins on a table: {coins}. Follow the {count} instructions; answer with red, then blue, then green.\n{actions}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        shown = " ".join(f"{coin} {draw.choice(('heads', 'tails'))}" for coin in COINS)
        actions = [
            f"flip {draw.choice((*COINS, *COINS, 'all'))} {draw.randint(1, knobs.flips)} times" for _ in range(draw.randint(*knobs.actions))
        ]
        return self.wordings.write(draw, coins=shown, count=len(actions), actions=numbered(actions))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['coins']}\n{slots['actions']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        actions = items(slots["actions"])
        done, *sides = fields(rf"done (\d+) {_SHOWN}", last(mementos, f"done 0 {slots['coins']}"))
        if int(done) >= len(actions):
            return " ".join(sides)
        lines, shown = [], dict(zip(COINS, sides, strict=True))
        for number, action in list(enumerate(actions, 1))[int(done) : int(done) + A_BLOCK]:
            which, flips = fields(r"flip (\w+) (\d+) times", action)
            odd = int(flips) % 2 == 1
            shown = {coin: _OTHER[side] if odd and which in (coin, "all") else side for coin, side in shown.items()}
            lines.append(f"{number}: flip {which} {flips} times , {'odd' if odd else 'even'}\nnow {_said(shown)}")
        return Block(written.text(lines), f"done {min(int(done) + A_BLOCK, len(actions))} {_said(shown)}")


def _said(shown: dict[str, str]) -> str:
    return " ".join(f"{coin} {side}" for coin, side in shown.items())
