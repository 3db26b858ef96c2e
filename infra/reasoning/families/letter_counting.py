"""letter_counting: words are spelled, and the count is written behind every letter that matches. The memento is the count so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from random import Random

from infra.reasoning import written
from infra.reasoning.base import Block
from infra.reasoning.wording import Wordings, fields, items, last, numbered

A_BLOCK = 4  # words

# Each is one token after a space, and how it is spelled has to be learned: the list is closed on purpose.
WORDS = tuple((files("infra.reasoning.families") / "words.txt").read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class Knobs:
    """`words`: fewest and most."""

    words: tuple[int, int]


class LetterCounting:
    name = "letter_counting"
    levels = (Knobs((1, 3)), Knobs((4, 9)), Knobs((10, 18)), Knobs((22, 26)))
    wordings = Wordings(
        "How often does the letter {letter} occur in these {count} words?\n{words}",
        "Count every {letter} in the {count} words below.\n{words}",
        "Here are {count} words. How many times is the letter {letter} in them, all together?\n{words}",
        "I print {count} words with stamps, one stamp a letter. How many stamps {letter} do I need?\n{words}",
        "Find the number of letters {letter} in this list of {count} words.\n{words}",
        "Spell all {count} words; how many {letter} are there?\n{words}",
    )

    def make(self, draw: Random, knobs: Knobs) -> str:
        words = draw.sample(WORDS, draw.randint(*knobs.words))
        letter = draw.choice("aeiourtnslc") if draw.random() < 0.7 else draw.choice(draw.choice(words))
        return self.wordings.write(draw, letter=letter, count=len(words), words=numbered(words))

    def content(self, question: str) -> str:
        slots = self.wordings.read(question)
        return f"{slots['letter']}\n{slots['words']}"

    def step(self, question: str, mementos: Sequence[str]) -> Block | str:
        slots = self.wordings.read(question)
        words, letter = items(slots["words"]), slots["letter"]
        done, counted = (int(value) for value in fields(r"done (\d+) count (\d+)", last(mementos, "done 0 count 0")))
        if done >= len(words):
            return str(counted)
        lines = []
        for number, word in list(enumerate(words, 1))[done : done + A_BLOCK]:
            spelled = ""
            for symbol in word:
                counted += symbol == letter
                spelled += f" {symbol} {counted}" if symbol == letter else f" {symbol}"
            lines += [f"{number}: {word}", spelled]
        memento = f"done {min(done + A_BLOCK, len(words))} count {counted}"
        return Block(written.text([f"letter {letter}", *lines]), memento)
