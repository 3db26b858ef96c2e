"""Questions in several wordings, and their slots read back whatever the wording."""

import re
from collections.abc import Iterable, Sequence
from random import Random

from app.errors import InvalidInput

ASK = "End with the line answer: <value>"
_SLOT = re.compile(r"\{(\w+)\}")


class Wordings:
    """Templates with `{slots}`. All of one object name the same slots, so that a question says the same in each."""

    def __init__(self, *templates: str) -> None:
        self.templates = templates
        self._patterns = [re.compile(_pattern(template), re.DOTALL) for template in templates]

    def write(self, draw: Random, **slots: object) -> str:
        """A question in a drawn wording, ended by ASK."""
        return draw.choice(self.templates).format(**slots) + "\n" + ASK

    def read(self, question: str) -> dict[str, str]:
        """The slots of a question. Raises InvalidInput when it has none of these wordings."""
        core = question.removesuffix("\n" + ASK)
        for pattern in self._patterns if core != question else ():
            if match := pattern.fullmatch(core):
                return match.groupdict()
        raise InvalidInput("This question has none of the family's wordings.", hint="Take questions from infra.reasoning.problems.")


def numbered(items: Iterable[object]) -> str:
    """One item a line, `1: ...`: a small model finds the n-th item by its number, and cannot count to it."""
    return "\n".join(f"{number}: {item}" for number, item in enumerate(items, 1))


def items(text: str) -> list[str]:
    """The items of a numbered list. Raises InvalidInput when the numbers do not run from 1."""
    lines = [line.partition(": ") for line in text.split("\n")]
    if [number for number, _, _ in lines] != [str(number) for number in range(1, len(lines) + 1)]:
        raise InvalidInput("The list is not numbered from 1.", hint="One item a line, as in `1: ...`.")
    return [item for _, _, item in lines]


def fields(pattern: str, memento: str) -> tuple[str, ...]:
    """The groups of `pattern` in a whole memento. Raises InvalidInput when it has another form."""
    match = re.fullmatch(pattern, memento)
    if match is None:
        raise InvalidInput(f"The memento {memento!r} has not the form {pattern}.", hint="A trace of this family cannot go on from it.")
    return tuple(match.groups(""))


def last(mementos: Sequence[str], start: str) -> str:
    """The newest memento, or `start` before the first."""
    return mementos[-1] if mementos else start


def _pattern(template: str) -> str:
    parts = _SLOT.split(template)  # literal, slot, literal, slot, ..., literal
    return "".join(re.escape(part) if index % 2 == 0 else f"(?P<{part}>.+?)" for index, part in enumerate(parts))
