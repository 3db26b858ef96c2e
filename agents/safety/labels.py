"""Labels: how far a text can be trusted, and who may see it. Where texts are joined they only rise, whatever is cut or summarised.

Integrity after FIDES (arXiv 2505.23643): what the person said, what a tool of the house computed, what strangers wrote. A memento has the join
of its block: its words may leave the block's out, its keys and values do not (MEMENTO, arXiv 2604.09852).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce

from agents.safety.tools import Tool


class Integrity(IntEnum):
    """Whose words these are; higher is less trusted."""

    PERSON = 0
    TOOL = 1  # computed here, from no stranger's words
    UNTRUSTED = 2


class Confidentiality(IntEnum):
    """Who may see it; higher is fewer."""

    PUBLIC = 0
    PERSON = 1
    SECRET = 2


@dataclass(frozen=True, order=True)
class Label:
    integrity: Integrity = Integrity.PERSON
    confidentiality: Confidentiality = Confidentiality.PUBLIC

    def join(self, other: "Label") -> "Label":
        """The least label that covers both."""
        return Label(max(self.integrity, other.integrity), max(self.confidentiality, other.confidentiality))


def join(labels: Iterable[Label]) -> Label:
    return reduce(Label.join, labels, Label())


def of_tool(tool: Tool) -> Label:
    """Of what a tool returns: records of the person's own accounts are theirs to see, but others wrote in them."""
    return Label(Integrity.UNTRUSTED, Confidentiality.PUBLIC if tool.open_world else Confidentiality.PERSON)
