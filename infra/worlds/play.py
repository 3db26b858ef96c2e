"""One world task through the real team: the same turns as the durable engine takes, then the world's own state check."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from agents.state import Decision, Inbox, Outcome, TeamState
from agents.team import MementoTeam
from app.errors import KeepsakeError
from app.events import EventType, NewEvent
from app.schemas import Budgets, Policy, Site, TaskCreate
from infra.worlds.base import Check, WorldTask


@dataclass
class Played:
    """What came of one task. `tokens` are prompt and completion tokens together; `cause` says in short why it was not solved."""

    check: Check
    outcome: Outcome | None
    turns: int
    model_calls: int
    tokens: int
    seconds: float
    events: list[NewEvent] = field(default_factory=list)

    @property
    def cause(self) -> str:
        """Why it was not solved: how the run ended and what the state check missed."""
        if self.check.solved:
            return ""
        ended = self.outcome.status if self.outcome else "out of turns"
        error = (self.outcome.error or {}).get("code", "") if self.outcome else ""
        return f"{ended}{' ' + error if error else ''}: {self.check.reason}"


def request(task: WorldTask, sites: list[Site]) -> TaskCreate:
    """The task as a person would give it, unattended: what its own sites and workspace cover runs unasked."""
    return TaskCreate(text=task.text, sites=sites, policy=Policy.ALLOW_LISTED, budgets=Budgets(steps=120))


def fill(workspace: Path, task: WorldTask) -> None:
    """Put the task's files into an empty workspace."""
    workspace.mkdir(parents=True, exist_ok=True)
    for name, content in task.files.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


async def play(
    team: MementoTeam, wanted: TaskCreate, *, max_turns: int = 120, keep_events: bool = True, approves: bool = False
) -> tuple[TeamState, Played]:
    """Turns until the run ends, waits for a person or `max_turns` are over. `approves`: a person says yes to every action that asks; else nobody
    answers. The check is the caller's, with the world."""
    state = team.initial_state(wanted)
    events: list[NewEvent] = []
    started = time.monotonic()
    while state.outcome is None and (state.waiting is None or (approves and state.waiting.action)) and state.turns < max_turns:
        answers = [Decision(waiting_id=state.waiting.id, approved=True)] if state.waiting else []
        try:
            result = await team.turn(state, Inbox(decisions=answers))
        except KeepsakeError as error:  # the model is down: this attempt is over
            state.outcome = Outcome(status="failed", error=error.as_payload())
            break
        state = result.state
        events += result.events
    calls = [e.payload for e in events if e.type == EventType.MODEL_CALL]
    played = Played(
        check=Check(False, "not checked"),
        outcome=state.outcome,
        turns=state.turns,
        model_calls=len(calls),
        tokens=sum(c["prompt_tokens"] + c["completion_tokens"] for c in calls),
        seconds=time.monotonic() - started,
        events=events if keep_events else [],
    )
    return state, played
