"""A scripted cast for control-flow tests: roles that say lines through the compact profile, and a member whose world is a list."""

import secrets
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from agents.member import Answer, Observation
from agents.profiles.compact import CompactProfile
from agents.roles import View
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from agents.stream import Stream
from app.errors import ModelOutputInvalid
from app.events import NewEvent
from app.schemas import Action, Effect

Line = str | Exception | Callable[[View], str]


class ScriptedRoles:
    """Answers each role from its own list of lines; the last line repeats. Views are kept in `seen`."""

    def __init__(self, **lines: list[Line]) -> None:
        self.lines = lines
        self.seen: dict[str, list[View]] = defaultdict(list)
        self.profile = CompactProfile()
        self.stream: Stream | None = None
        self.thoughts: list[NewEvent] = []  # what the next drain gives

    async def ask(self, role: str, view: View) -> Any:
        self.seen[role].append(view)
        script = self.lines.get(role)
        if not script:
            raise ModelOutputInvalid(f"nothing scripted for {role}")
        line = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(line, Exception):
            raise line
        return self.profile.parse(role, line(view) if callable(line) else line, view)

    def drain(self) -> list[NewEvent]:
        thoughts, self.thoughts = self.thoughts, []
        return thoughts


class Hand:
    """A member that proposes the given kinds of actions in order, then answers; `done` is its world."""

    description = "acts"

    def __init__(
        self, name: str = "web", kinds: tuple[str, ...] = (), effect: Effect = Effect.READ, target: str = "http://site.test/"
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.effect = effect
        self.target = target
        self.done: list[Action] = []
        self.closed = False

    async def propose(self, state: TeamState, block: Block, roles: Any) -> Action | Answer:
        taken = sum(1 for s in block.steps if s.action)
        if taken >= len(self.kinds):
            return Answer(f"{self.name} did {taken}")
        kind = self.kinds[taken]
        return Action(
            id=f"act_{secrets.token_hex(4)}", agent=self.name, kind=kind, effect=self.effect, target=self.target, summary=f"{kind} {taken}"
        )

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:
        permit.check(action)
        self.done.append(action)
        return Observation("seen " + "x" * 50, labels=["untrusted:web"])

    async def look_again(self, state: TeamState, action: Action) -> str:
        return "The cart is empty."

    async def close(self) -> None:
        self.closed = True
