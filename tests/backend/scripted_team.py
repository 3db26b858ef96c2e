"""A team whose moves stand in its task's text, one line a move, so that a test can say exactly what a run does.

think 0.1        a turn with a model call of 100 tokens that takes 0.1 s; leaves a file `cut-off` when it is stopped
order kettle     a write: proposed in one turn, carried out in the next with its intent first; POSTs to the task's site, not idempotent
approve kettle   like order, but asks first
plan             waits for its plan to be accepted
ask Which one?   waits for the person's words
down 2           the model is unavailable at the first two tries of this turn (in this process)
model 0.1        a model call of 0.1 s that fails until the workspace has a file `model-up`
crash            an exception nobody expected, with a path in it
refuse           ends as refused
fail             ends as failed
save notes.txt   an artifact
answer Done.     ends as succeeded
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from agents.journal import ArtifactSink, Journal
from agents.state import Inbox, Outcome, PlanStep, TaskLedger, TeamState, TurnResult, Waiting
from app.config import Settings
from app.errors import ModelUnavailable
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalKind, Effect, TaskCreate
from backend.ids import new_id


@dataclass(frozen=True)
class ScriptedMember:
    description: str = "Does what the script says."


class ScriptedTeam:
    """Keeps to the contract of agents.team: JSON state, an intent before a write, look back at the start of a turn."""

    def __init__(self, task: TaskCreate, workspace: Path, journal: Journal, artifacts: ArtifactSink) -> None:
        self.members: Mapping[str, ScriptedMember] = {"scripted": ScriptedMember()}
        self.task = task
        self.workspace = workspace
        self.journal = journal
        self.artifacts = artifacts
        self.failures: dict[int, int] = {}
        self.closed = False

    def initial_state(self, task: TaskCreate) -> TeamState:
        names = sorted(p.name for p in self.workspace.iterdir())
        return TeamState(task=task.text, sites=task.sites, review_plan=task.review_plan, memory={"files": names, "line": 0})

    async def turn(self, state: TeamState, inbox: Inbox | None = None) -> TurnResult:
        state = state.model_copy(deep=True)
        events: list[NewEvent] = []
        self._read(state, inbox or Inbox(), events)
        if state.outcome is None and state.waiting is None and not await self._look_back(state, events):
            if state.pending is not None:
                await self._carry_out(state, events)
            else:
                await self._next_line(state, events)
        state.turns += 1
        return TurnResult(state=state, events=events)

    async def close(self) -> None:
        self.closed = True

    async def _next_line(self, state: TeamState, events: list[NewEvent]) -> None:
        lines = [line for line in state.task.splitlines() if line.strip()]
        verb, _, rest = lines[state.memory["line"]].strip().partition(" ")
        state.memory["line"] += 1
        if verb == "think":
            try:
                await asyncio.sleep(float(rest or 0))
            except asyncio.CancelledError:
                (self.workspace / "cut-off").touch()
                raise
            call = {"role": "ledger", "prompt_tokens": 90, "completion_tokens": 10, "seconds": 0.0, "estimated": False}
            events.append(NewEvent(type=EventType.MODEL_CALL, payload=call))
        elif verb in {"order", "slow"}:
            state.pending = _order(rest, seconds=5.0 if verb == "slow" else 0.03)
        elif verb == "stubborn":
            await _ignore_cancellation(float(rest))
        elif verb == "approve":
            self._request(state, events, ApprovalKind.ACTION, _order(rest), "writes ask")
        elif verb == "plan":
            state.ledger = TaskLedger(plan=[PlanStep(number=1, agent="scripted", instruction=rest or "go on")], revision=1)
            events.append(NewEvent(type=EventType.TASK_LEDGER, payload={"by": "model", **state.ledger.model_dump()}))
            self._request(state, events, ApprovalKind.PLAN, None, "the plan waits")
        elif verb == "ask":
            state.waiting = Waiting(id=new_id("ask"), kind="input", question=rest)
            events.append(NewEvent(type=EventType.INPUT_REQUESTED, payload={"question": rest}))
        elif verb == "down":
            self.failures[state.turns] = self.failures.get(state.turns, 0) + 1
            if self.failures[state.turns] <= int(rest):
                raise ModelUnavailable("The model server does not answer.", hint="Is it running?")
        elif verb == "model":
            await asyncio.sleep(float(rest or 0))
            if not (self.workspace / "model-up").exists():
                raise ModelUnavailable("The model server does not answer.", hint="Is it running?")
        elif verb == "crash":
            raise ZeroDivisionError("/home/somebody/secret/place.py exploded")
        elif verb == "refuse":
            state.outcome = Outcome(status="refused", refusal={"code": "test", "reason": rest, "evidence": "", "alternative": ""})
        elif verb == "fail":
            state.outcome = Outcome(status="failed", error={"code": "stalled", "boundary": "model", "message": rest, "retryable": False})
        elif verb == "save":
            text = f"{rest} of {state.task[:20]}".encode()
            artifact_id = await self.artifacts.save(rest, "text/plain", text)
            shown = {"artifact_id": artifact_id, "name": rest, "media_type": "text/plain", "size": len(text)}
            events.append(NewEvent(type=EventType.ARTIFACT, payload=shown))
        elif verb == "answer":
            said = " ".join([rest, *state.steers, *state.memory["files"]]).strip()
            state.outcome = Outcome(status="succeeded", answer=said)
        else:
            raise ValueError(f"the script says {verb}")

    async def _carry_out(self, state: TeamState, events: list[NewEvent]) -> None:
        action = state.pending
        assert action is not None
        state.pending = None
        await self.journal.intend(action, state.turns)
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            await asyncio.sleep(action.arguments["seconds"])  # room for a kill before and after the effect
            await client.post(f"{state.sites[0].url}/orders", json={"item": action.target, "action": action.id})
            await asyncio.sleep(0.15)
        events.append(NewEvent(type=EventType.ACTION_DONE, agent="scripted", payload={"action_id": action.id, "observation": "ordered"}))

    async def _look_back(self, state: TeamState, events: list[NewEvent]) -> bool:
        action = await self.journal.unresolved(state.turns)
        if action is None:
            return False
        state.pending = None
        shown = {"action_id": action.id, "action": action.model_dump(mode="json")}
        events.append(NewEvent(type=EventType.ACTION_UNKNOWN, agent="scripted", payload=shown))
        self._request(state, events, ApprovalKind.UNKNOWN_OUTCOME, action, "cut off: it may or may not have happened")
        return True

    def _request(self, state: TeamState, events: list[NewEvent], kind: ApprovalKind, action: Action | None, reason: str) -> None:
        state.waiting = Waiting(id=new_id("appr"), kind=kind, action=action, reason=reason)
        payload = {"approval_id": state.waiting.id, "kind": kind, "reason": reason}
        payload |= {"action": action.model_dump(mode="json")} if action else {"plan": [s.model_dump() for s in state.ledger.plan]}
        events.append(NewEvent(type=EventType.APPROVAL_REQUESTED, payload=payload))

    def _read(self, state: TeamState, inbox: Inbox, events: list[NewEvent]) -> None:
        state.steers += inbox.messages
        waiting = state.waiting
        if waiting is None:
            return
        if waiting.kind == "input":
            state.waiting = None if inbox.messages else waiting
            return
        decision = next((d for d in inbox.decisions if d.waiting_id == waiting.id), None)
        if decision is None:
            return
        state.waiting = None
        if waiting.action and decision.approved:
            retry = waiting.kind == ApprovalKind.UNKNOWN_OUTCOME
            state.pending = (
                waiting.action.model_copy(update={"id": new_id("act"), "arguments": {"seconds": 0.03}}) if retry else waiting.action
            )
        elif waiting.kind == ApprovalKind.PLAN and decision.plan:
            state.ledger.plan = decision.plan
            events.append(NewEvent(type=EventType.TASK_LEDGER, payload={"by": "person", **state.ledger.model_dump()}))


def _order(item: str, seconds: float = 0.03) -> Action:
    return Action(
        id=new_id("act"),
        agent="scripted",
        kind="tool.order",
        effect=Effect.WRITE,
        target=item,
        arguments={"seconds": seconds},
        summary=f"order {item}",
    )


async def _ignore_cancellation(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(deadline - time.monotonic())


def open_scripted_team(settings: Settings, *, task: TaskCreate, workspace: Path, journal: Journal, artifacts: ArtifactSink) -> ScriptedTeam:
    return ScriptedTeam(task, workspace, journal, artifacts)
