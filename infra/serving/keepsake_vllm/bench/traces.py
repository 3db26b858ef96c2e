"""Frozen requests and arrivals: the same for the same seed, on every machine, whatever the model answers.

A text is sentences, and half of them were said before in the same stream, in blocks that are evicted by then included. A model that still saw an
evicted block would predict them, so a mask that is wrong shows.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

BLOCK_START, BLOCK_END, SUMMARY_START, SUMMARY_END = TOKENS = (7, 8, 9, 10)

# Tokens of one more sentence. Sense matters: on random tokens fp32 itself is off by 4e-4 now and then, in transformers against fp64 as well.
Speak = Callable[[random.Random], Sequence[int]]

NAMES = ["The keeper", "The clerk", "Anna", "The pilot", "My neighbour", "The baker", "Dr Weiss", "The gardener", "Our guide"]
VERBS = ["counted", "sold", "carried", "wrote down", "found", "painted", "repaired", "lost", "ordered", "weighed"]
THINGS = ["ships", "letters", "red lamps", "maps", "loaves of bread", "old clocks", "apple trees", "tickets", "books", "bags of flour"]
PLACES = ["in the harbour", "at the station", "behind the house", "on the second floor", "near the river", "in Paris", "at the market"]
ENDS = ["before noon", "when it rained", "and then went home", "for three days", "without a word", "as the list says"]


def sentence(rng: random.Random) -> str:
    """Plain English with a number in it."""
    words = rng.choice(NAMES), rng.choice(VERBS), str(rng.randint(2, 980)), rng.choice(THINGS), rng.choice(PLACES), rng.choice(ENDS)
    return f" {' '.join(words)}."


def english(tokenizer: Any) -> Speak:
    """Sentences in the ids of a tokenizer (of transformers)."""
    return lambda rng: tokenizer.encode(sentence(rng), add_special_tokens=False)


def noise(first: int, last: int) -> Speak:
    """Stretches of random ids from `first` to `last`, for a model without a language."""
    return lambda rng: [rng.randint(first, last) for _ in range(rng.randint(3, 9))]


@dataclass(frozen=True)
class Trace:
    """A scripted request: its prompt, the answer it is made to give, and when it arrives, in seconds."""

    prompt: list[int]
    script: list[int]
    arrival: float = 0.0


class Writer:
    """Writes one stream: text, blocks with their mementos. Sizes are in tokens and include delimiters."""

    def __init__(self, speak: Speak, seed: str) -> None:
        self.speak = speak
        self.random = random.Random(f"keepsake-serving-{seed}")
        self.said: list[Sequence[int]] = []

    def text(self, size: int) -> list[int]:
        out: list[int] = []
        while len(out) < size:
            repeats = len(self.said) > 2 and self.random.random() < 0.5
            self.said.append(self.random.choice(self.said) if repeats else self.speak(self.random))
            out += self.said[-1]
        return out[:size]

    def block(self, size: int) -> list[int]:
        return [BLOCK_START, *self.text(size - 2), BLOCK_END]

    def memento(self, size: int) -> list[int]:
        return [SUMMARY_START, *self.text(size - 2), SUMMARY_END]

    def thought(self, *sizes: tuple[int, int], then: int = 0) -> list[int]:
        """Blocks with their mementos, each (block, memento), and `then` tokens of text behind them."""
        parts = [self.block(block) + self.memento(memento) for block, memento in sizes]
        return [token for part in parts for token in part] + self.text(then)


@dataclass(frozen=True)
class Load:
    """Requests with answers of one size. `block` 0: answers without blocks. `rate`: arrivals a second, a Poisson process; 0: all at once."""

    requests: int
    tokens: int
    block: int = 0
    memento: int = 0
    rate: float = 0.0
    prompt: int = 32
    seed: int = 0

    def traces(self, speak: Speak) -> list[Trace]:
        """Each request is at another phase of its first block: in step, all would fill and empty their memory at once."""
        return [self._trace(Writer(speak, f"load-{self.seed}-{number}"), number, at) for number, at in enumerate(self.arrivals())]

    def arrivals(self) -> list[float]:
        """The first at 0."""
        clock, times = random.Random(f"keepsake-arrivals-{self.seed}"), [0.0]
        while len(times) < self.requests:
            times.append(times[-1] + (clock.expovariate(self.rate) if self.rate else 0.0))
        return times

    def _trace(self, writer: Writer, number: int, arrival: float) -> Trace:
        prompt = writer.text(self.prompt)
        if not self.block:
            return Trace(prompt, writer.text(self.tokens), arrival)
        script = writer.thought((max(8, number * self.block // self.requests), self.memento))
        while len(script) < self.tokens:
            script += writer.thought((self.block, self.memento))
        return Trace(prompt, script[: self.tokens], arrival)
