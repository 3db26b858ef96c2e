"""A prompt made of token ids that are known and text that is not: how a conversation goes on without a re-tokenisation of what was said.

The chat template is rendered with a placeholder where an earlier answer stands. The ids of the answer take the placeholder's place; where the
ids of everything up to and with the answer are known, the text before it is dropped. Only what remains is tokenised.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


class SpliceFailed(ValueError):
    """The template did not render a placeholder exactly once."""


@dataclass(frozen=True)
class Known:
    """`ids` that stand in place of the placeholder; `all`: of all text before it too."""

    placeholder: str
    ids: list[int]
    all: bool = False


@dataclass
class Splice:
    known: list[Known] = field(default_factory=list)

    def place(self, ids: list[int], everything: bool = False) -> str:
        """A new placeholder for `ids`: letters and digits that no template changes and no text holds."""
        placeholder = f"keepsake{secrets.token_hex(16)}"
        self.known.append(Known(placeholder, ids, everything))
        return placeholder

    async def apply(self, text: str, encode: Callable[[str, bool], Awaitable[list[int]]]) -> list[int]:
        """The prompt's ids. `encode(text, first)` tokenises; `first`: whether it is the prompt's beginning. Raises SpliceFailed."""
        ids: list[int] = []
        first = True
        for known in self.known:
            if text.count(known.placeholder) != 1:
                raise SpliceFailed(
                    "this model's chat template cannot continue a conversation by token ids: it does not give an earlier answer's text once"
                )
            before, text = text.split(known.placeholder)
            if known.all:
                ids = list(known.ids)
            else:
                ids = joined(ids, await encode(before, first) if before else [])
                ids += known.ids
            first = False
        return joined(ids, await encode(text, first) if text else [])


def joined(ids: list[int], more: list[int]) -> list[int]:
    """`more` after `ids`. The token that ended an answer was sampled, and the template writes it again: it stands once."""
    return ids + (more[1:] if ids and more and ids[-1] == more[0] else more)
