"""A turn under way: the state that it changes, and what it has to tell."""

import secrets

from agents.state import Block, Outcome, TeamState
from app.events import EventType, NewEvent


class Turn:
    """State and events; both are the orchestrator's to give back."""

    def __init__(self, state: TeamState) -> None:
        self.state = state
        self.events: list[NewEvent] = []

    @property
    def block(self) -> Block:
        assert self.state.block is not None, "no block is open"
        return self.state.block

    def say(self, kind: EventType, agent: str | None = None, /, **payload: object) -> None:
        self.events.append(NewEvent(type=kind, agent=agent, payload=payload))

    def end(self, outcome: Outcome) -> None:
        self.state.outcome = outcome
        self.state.phase = "done"


def new_id(tag: str) -> str:
    """`appr_…`, `act_…`: an id that nobody can guess."""
    return f"{tag}_{secrets.token_hex(12)}"
