"""Role calls: what each role of the team is shown (a view) and what it decides (a typed value).

A view is everything a prompt may use; a profile (agents.profiles) turns it into messages and the model's text back into the value. One role
call is one decision. Who answers is behind `Roles`: the model, or an oracle when training data is made, over byte-identical prompts.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.state import PlanStep, ProgressLedger, TaskLedger
from agents.stream import Stream
from agents.web.screen.base import PageView
from app.events import NewEvent


@dataclass(frozen=True)
class FactsView:
    """Task ledger, part one: facts. `problem` is set on a re-plan."""

    task: str
    sites: list[str]
    files: list[str]
    mementos: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class PlanView:
    """Task ledger, part two: the plan."""

    task: str
    ledger: TaskLedger
    members: dict[str, str]
    mementos: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class LedgerView:
    """Progress ledger: the plan, the mementos so far and the person's steers; members are the allowed next speakers."""

    task: str
    ledger: TaskLedger
    members: dict[str, str]
    mementos: list[str]
    steers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class WebView:
    """One browser decision. `history` is what was done in this block, `page` what is on the screen (None before the first visit), `problem` what
    the last step ran into."""

    instruction: str
    sites: list[str]
    history: list[str]
    page: PageView | None
    problem: str = ""


@dataclass(frozen=True)
class FilesView:
    """One decision about files. `content` is what the last read gave (None before one), `problem` what the last step ran into."""

    instruction: str
    files: list[str]
    history: list[str]
    content: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class CoderView:
    """Write a program. `files` maps names to a hint (a CSV's header line); `error` is what the last try printed."""

    instruction: str
    files: dict[str, str]
    code: str = ""
    error: str = ""


@dataclass(frozen=True)
class MementoView:
    """Compress a finished block. `steps` is the number of steps in the plan."""

    agent: str
    instruction: str
    plan_step: int | None
    steps: int
    history: list[str]
    result: str
    failed: bool


@dataclass(frozen=True)
class FinalView:
    """Answer the person from the mementos alone."""

    task: str
    mementos: list[str]


@dataclass(frozen=True)
class WebChoice:
    """A browser decision: verb visit | click | type | select | save_table | download | scroll | back | read | answer.

    `element` is the id on the page, `text` the site or URL, typed text, option, file name or answer; `enter` presses Enter after typing.
    """

    verb: str
    element: int | None = None
    text: str = ""
    enter: bool = False


@dataclass(frozen=True)
class FilesChoice:
    """A files decision: verb read | write | list | answer."""

    verb: str
    path: str = ""
    text: str = ""


View = FactsView | PlanView | LedgerView | WebView | FilesView | CoderView | MementoView | FinalView
Value = TaskLedger | list[PlanStep] | ProgressLedger | WebChoice | FilesChoice | str


class Roles(Protocol):
    """Answers role calls. `role` is facts | plan | ledger | web | files | coder | memento | final.

    `stream`: that of the run whose turn is being taken, which calls add to; None: every call stands alone. The orchestrator sets it.
    """

    stream: Stream | None

    async def ask(self, role: str, view: View) -> Any:
        """The typed value of the role (see `Value`). Raises ModelError when there is none after retries."""
        ...

    def drain(self) -> list[NewEvent]:
        """Events of the calls since the last drain (model.call, model.retry)."""
        ...
