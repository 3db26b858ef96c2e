"""Role calls answered by the oracle over the very prompts that the model will see; each answer is a training example, and so is the whole run
as one conversation (agents.stream).

`slips` makes some browser decisions wrong on purpose (never learned, never anything that changes the world), so that the examples also show how
to come back from a wrong page. `breaks` lets the conversation begin anew at some ledgers, as a long one does.
"""

import random
import re
from typing import Any

from agents.profiles.compact import CompactProfile
from agents.profiles.incremental import increment, told_by
from agents.roles import MementoView, View, WebView
from agents.stream import Said, Stream
from app.events import EventType, NewEvent
from infra.training.examples import STREAM, Example
from infra.worlds.base import WorldTask
from infra.worlds.oracle import Lost, Oracle


class OracleRoles:
    """See agents.roles.Roles. `examples` grows with every call; `conversations` gives those of the run so far as a stream, if it is one."""

    def __init__(self, task: WorldTask, slips: float = 0.0, breaks: float = 0.0) -> None:
        self.task = task
        self.oracle = Oracle(task)
        self.profile = CompactProfile()
        self.stream: Stream | None = None
        self.examples: list[Example] = []
        self.slips, self.breaks = slips, breaks
        self._random = random.Random(f"slips {task.family} {task.seed}")
        self._breaking = random.Random(f"breaks {task.family} {task.seed}")
        self._slipped = 0
        self._wrong: set[int] = set()  # places of answers in the stream that are not learned
        self._closed: list[Example] = []
        self._events: list[NewEvent] = []

    async def ask(self, role: str, view: View) -> Any:
        """The oracle's answer, parsed as a model's would be. Raises Lost when it does not fit what the server would enforce."""
        prompt = self.profile.prompt(role, view)
        line = self.oracle.decide(role, view)
        if prompt.constraint.regex and not re.fullmatch(prompt.constraint.regex, line):
            raise Lost(f"the oracle's {role} line {line!r} does not fit {prompt.constraint.regex!r}")
        slip = self._slip(view) if role == "web" else None
        if slip is not None:
            line = slip
        else:
            kind = kind_of(self.task, role, view, line)
            self.examples.append(Example(role, self.task.family, kind, self.task.seed, prompt.messages, line))
        counts = {"prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0, "estimated": True}
        self._events.append(NewEvent(type=EventType.MODEL_CALL, payload={"role": role, **counts}))
        value = self.profile.parse(role, line, view)
        if self.stream is not None:
            self._add(self.stream, role, view, line, value, learned=slip is None)
        return value

    @property
    def conversations(self) -> list[Example]:
        """The run as one conversation, or as several where it began anew."""
        return [*self._closed, *([self._conversation(self.stream.messages)] if self.stream and self.stream.messages else [])]

    def drain(self) -> list[NewEvent]:
        events, self._events = self._events, []
        return events

    def _add(self, stream: Stream, role: str, view: View, line: str, value: Any, learned: bool) -> None:
        if role == "ledger" and len(stream.messages) > 6 and self._breaking.random() < self.breaks:
            self._closed.append(self._conversation(stream.messages[:-2]))  # the memento is there as text from now on
            self._wrong.clear()
            stream.roll_over()
        step = increment(self.profile, role, view, stream)
        stream.add(step.asked, step.answered(line), step.told | told_by(role, value))
        if not learned:
            self._wrong.add(len(stream.messages) - 1)

    def _conversation(self, said: list[Said]) -> Example:
        *before, last = [_wire(m, learn=i not in self._wrong) for i, m in enumerate(said)]
        kind = f"{STREAM}.{self.task.family}.{self.task.variant}"
        return Example(STREAM, self.task.family, kind, self.task.seed, before, last["content"])

    def _slip(self, view: View) -> str | None:
        """Now and then a harmless wrong step: a link, or going back; at most two a task."""
        if not isinstance(view, WebView) or view.page is None or self._slipped >= 2 or self._random.random() >= self.slips:
            return None
        links = [e for e in view.page.elements if e.kind == "link" and not e.disabled]
        if not links or view.page.status >= 400:
            return None
        self._slipped += 1
        return f"click {self._random.choice(links).label}"


def _wire(said: Said, learn: bool) -> dict[str, str]:
    """A message of a conversation as examples have it."""
    wire = {"role": said.role, "content": said.content, "closes": said.closes, "kept": said.kept or None}
    flags = {"opens": said.opens, "memento": said.memento}
    learned = {} if learn else {"learn": "no"}
    return {k: v for k, v in wire.items() if v is not None} | {k: "yes" for k, v in flags.items() if v} | learned


def kind_of(task: WorldTask, role: str, view: View, line: str) -> str:
    """The decision type that examples are balanced by: role, family, variant and the shape of the answer without its parameters."""
    head = f"{role}.{task.family}.{task.variant}"
    if role == "web":
        return f"{head}.{_shape(line)}"
    if role == "ledger":
        return f"{head}.{' '.join(line.split(' ', 2)[:2])}"
    if role == "memento" and isinstance(view, MementoView):
        return f"{head}.{view.plan_step}.{line.rsplit(' Next: ', 1)[1].rstrip('.')}"
    if role == "files":
        return f"{head}.{line.split(' ', 1)[0]}"
    return head


def _shape(line: str) -> str:
    """`visit shop`, `type box Search`, `click button Add to cart`, `click link *` (names of articles vary), `answer`, `answer error`."""
    if line.startswith("answer: "):
        return "answer error" if "error" in line else "answer"
    if line.startswith("save table"):
        return "save table"
    words = line.split(" [")[0]
    if words.startswith("click link "):
        fixed = {"New Ticket", "Tickets", "All Tickets"}
        return words if words.removeprefix("click link ") in fixed else "click link *"
    return re.sub(r"Remove .+", "Remove *", words)
