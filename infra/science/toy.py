"""The task of the toy: ten blocks of five random digits, after each the running sum as its memento, at the end the sum once more as the answer.

    begin (block_start d d d d d block_end summary_start s s s summary_end) * 10 answer s s s

The running sum of 50 digits is at most 450: three digits, most significant first. Every sequence has the same layout, so one mask serves a
whole batch. Needs numpy, not torch.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.memento.grammar import TokenIds
from app.memento.visibility import Policy, evict_after

IDS = TokenIds(10, 11, 12, 13)  # 0 to 9 are the digits
BEGIN, ANSWER = 14, 15
VOCABULARY = 16

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Toy:
    """Sizes of the task. Places are indices into a sequence; blocks count from 0."""

    blocks: int = 10
    digits: int = 5
    width: int = 3

    def __post_init__(self) -> None:
        if 9 * self.digits * self.blocks >= 10**self.width:
            raise ValueError(f"a sum of {self.digits * self.blocks} digits does not fit into {self.width} digits")

    @property
    def pair(self) -> int:
        """Tokens of a block with its memento."""
        return self.digits + self.width + 4

    @property
    def length(self) -> int:
        return 1 + self.blocks * self.pair + 1 + self.width

    def block(self, number: int) -> range:
        """Places of a block's digits."""
        start = 2 + number * self.pair
        return range(start, start + self.digits)

    def memento(self, number: int) -> range:
        """Places of a memento with its delimiters, summary_start to summary_end."""
        end = 1 + (number + 1) * self.pair
        return range(end - self.width - 2, end)

    def sums(self, number: int) -> range:
        """Places of a memento's digits."""
        return self.memento(number)[1:-1]

    @property
    def answer(self) -> range:
        """Places of the answer's digits."""
        return range(self.length - self.width, self.length)

    @property
    def written(self) -> tuple[int, ...]:
        """Places of all that the model writes: the mementos' digits and the answer's."""
        return tuple(place for number in range(self.blocks) for place in self.sums(number)) + tuple(self.answer)

    def sequences(self, numbers: Tokens) -> Tokens:
        """Numbers of shape (n, blocks, digits) as token ids (n, length), with the right sums."""
        found = np.empty((len(numbers), self.length), dtype=np.int64)
        found[:, 0], found[:, -self.width - 1] = BEGIN, ANSWER
        totals = numbers.sum(2).cumsum(1)
        scale = 10 ** np.arange(self.width - 1, -1, -1)
        for number in range(self.blocks):
            block, memento = self.block(number), self.memento(number)
            found[:, block.start - 1], found[:, block.stop] = IDS.block_start, IDS.block_end
            found[:, memento.start], found[:, memento.stop - 1] = IDS.summary_start, IDS.summary_end
            found[:, block.start : block.stop] = numbers[:, number]
            found[:, memento.start + 1 : memento.stop - 1] = totals[:, number, None] // scale % 10
        found[:, self.answer.start :] = totals[:, -1, None] // scale % 10
        return found

    def sample(self, draw: np.random.Generator, count: int) -> Tokens:
        """Random sequences (count, length)."""
        return self.sequences(draw.integers(0, 10, (count, self.blocks, self.digits)))

    def after(self, policy: Policy) -> list[int]:
        """`evict_after` of any sequence of this layout."""
        return evict_after(self.sequences(np.zeros((1, self.blocks, self.digits), dtype=np.int64))[0].tolist(), IDS, policy)


def told_by_sums(digits: int) -> float:
    """The best accuracy anyone can reach at naming a block's digits from the running sums alone, chance being 0.1.

    The sums before and after a block tell the sum S of its digits and nothing else of them, and the digits are exchangeable given S, so the best
    guess for each is the digit d for which the other digits' sum, S - d, is likeliest: the mean over S of max_d P(d | S).
    """
    others = _ways(digits - 1)
    best = (max(others.get(total - d, 0) for d in range(10)) for total in range(9 * digits + 1))
    return sum(best) / 10**digits


def _ways(digits: int) -> dict[int, int]:
    """How many ways so many digits have of reaching each sum."""
    ways = {0: 1}
    for _ in range(digits):
        ways = {total: sum(ways.get(total - digit, 0) for digit in range(10)) for total in range(max(ways) + 10)}
    return ways
