"""What the orchestrator needs of a member of the team: propose one thing at a time, carry it out with the gate's permit."""

from dataclasses import dataclass, field
from typing import Protocol

from agents.roles import Roles
from agents.safety.permit import Permit
from agents.safety.seen import Seen
from agents.state import Block, TeamState
from app.schemas import Action


@dataclass(frozen=True)
class Answer:
    """The member is done with its instruction. `failed` says that it could not be done; `handoff` names who must come next; `labels` say
    where what it looked at came from, steps aside."""

    text: str
    failed: bool = False
    handoff: str | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Observation:
    """What came of an action: text for the block, where it came from, and artifacts to show. `unknown`: it may or may not have happened.
    `seen`: what was read, for the gate; `done` False: the site did not take it, so that it may be tried again."""

    text: str
    ok: bool = True
    unknown: bool = False
    labels: list[str] = field(default_factory=list)
    screenshot: str | None = None
    url: str | None = None
    artifacts: list[dict[str, object]] = field(default_factory=list)
    seen: Seen | None = None
    done: bool = True


class Member(Protocol):
    """One member. `propose` may call the model and read; only `perform` may touch the world, and only with a permit for that action."""

    name: str
    description: str

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer: ...

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation: ...

    async def look_again(self, state: TeamState, action: Action) -> str:
        """What can be seen now of an action whose outcome is unknown, in a few sentences for a person."""
        ...

    async def close(self) -> None: ...
