"""A profile: how broad the prompts are. It turns a role's view into a prompt and the model's text into the role's typed value."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jinja2

from agents.model import Constraint
from agents.roles import FilesView, View
from agents.stream import Said


class Malformed(ValueError):
    """The model's text does not fit the role. The message is the feedback that the model gets on its next try."""


@dataclass(frozen=True)
class Prompt:
    """Messages of one role call ({role, content}), the constraint on the answer, and the longest answer in tokens.

    Of a run that is a stream: `said` in place of `messages`, and whether the answer is the memento of the open block (`closes`).
    """

    messages: list[dict[str, str]]
    constraint: Constraint
    max_tokens: int
    closes: bool = False
    said: tuple[Said, ...] = ()


class Profile(Protocol):
    """Implemented by agents.profiles.compact and agents.profiles.full."""

    name: str

    def prompt(self, role: str, view: View) -> Prompt: ...

    def parse(self, role: str, text: str, view: View) -> Any:
        """The role's value. Raises Malformed with feedback for the model."""
        ...


@lru_cache
def templates(profile: str) -> jinja2.Environment:
    """The templates of a profile: one text file a role below agents/prompts/<profile>."""
    folder = Path(__file__).parent.parent / "prompts" / profile
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )


def one_line(text: str, limit: int) -> str:
    """`text` on one line, at most `limit` characters; what is cut is marked."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def content_lines(view: FilesView) -> list[str]:
    """What a small model is shown of a file."""
    return [one_line(line, 160) for line in (view.content or "").splitlines() if line.strip()][:16]
