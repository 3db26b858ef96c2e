"""Turns as a worker takes them: claimed under a fresh token, committed whole or not at all.

Whoever ends, pauses or re-queues a run takes the token away, so a try that was cut off, overtaken or killed can write nothing afterwards.
That, with (run_id, seq) as key of the events, is why every event exists exactly once after a kill at any moment.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agents.state import Decision, Inbox, PlanStep, TeamState, TurnResult
from app.errors import KeepsakeError, NotFound
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalKind, ApprovalStatus, RunStatus, TaskCreate
from backend.store.base import WITHOUT_STATE, Shelf
from backend.tables import ApprovalRow, IntentRow, MessageRow, RunRow, TaskFileRow, TaskRow, UploadRow

MAX_RESTARTS = 10  # times in a row that a turn may be cut off: one that takes its worker along must not do so for ever


class Superseded(Exception):
    """This try may not write any more: the run was ended, paused or deleted, or another try has its claim. Not an error of the run."""


@dataclass(frozen=True)
class WorkspaceFile:
    """An upload that belongs into a run's workspace."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Claim:
    """Leave to take one turn: everything it needs, and the token to commit it with. `state` is None before the first turn."""

    run_id: str
    turn: int
    token: str
    task: TaskCreate
    files: list[WorkspaceFile]
    state: TeamState | None
    inbox: Inbox
    message_seqs: list[int]
    tokens_left: int
    seconds_left: float


class Turns(Shelf):
    """The worker's side of runs."""

    async def next_turn(self, run_id: str, segment: int) -> int | None:
        """Number of the run's next turn, None when this segment has nothing more to do."""
        async with self.database.read() as session:
            run = await session.get(RunRow, run_id, options=[WITHOUT_STATE])
        return run.turns if run is not None and _is_live(run, segment) else None

    async def claim(self, run_id: str, segment: int) -> Claim:
        """Take the run's next turn under a fresh token. Raises Superseded when the segment has nothing more to do."""
        claim = await self._new_claim(run_id, segment)
        self.bell.ring(run_id)
        if claim is None:
            raise Superseded
        return claim

    async def _new_claim(self, run_id: str, segment: int) -> Claim | None:
        """The claim; None when the run was given up over it."""
        async with self.database.write() as session:
            run = await self._locked(session, run_id)
            if not _is_live(run, segment):
                raise Superseded
            task_row = await session.get(TaskRow, run.task_id)
            assert task_row is not None  # the foreign key holds it
            task = TaskCreate.model_validate(task_row.spec)
            cut_off = run.claim is not None and run.claim_turn == run.turns
            if cut_off and await self._given_up(session, run):
                return None
            if run.status == RunStatus.QUEUED.value and (run.state is not None or run.segment > 1):
                self._resumed(session, run, run.resume_reason)
            elif cut_off and run.state is not None:
                self._resumed(session, run, "the worker was cut off in this turn")
            run.claim, run.claim_turn = secrets.token_hex(16), run.turns
            inbox, seqs = await self._inbox(session, run)
            return Claim(
                run_id=run.id,
                turn=run.turns,
                token=run.claim,
                task=task,
                files=await self._files(session, run),
                state=TeamState.model_validate(run.state) if run.state is not None else None,
                inbox=inbox,
                message_seqs=seqs,
                tokens_left=task.budgets.tokens - run.tokens,
                seconds_left=task.budgets.seconds - run.seconds,
            )

    async def start(self, claim: Claim, state: TeamState, **payload: Any) -> None:
        """Store the state before the first turn, with `run.started`."""
        async with self.database.write() as session:
            run = await self._claimed(session, claim)
            if run.state is not None:
                raise Superseded
            run.state = state.model_dump(mode="json")
            run.status = RunStatus.RUNNING.value
            self.append(session, run, [NewEvent(type=EventType.RUN_STARTED, payload=payload)])
        self.bell.ring(claim.run_id)

    async def holds(self, claim: Claim) -> bool:
        """Whether the claim still stands."""
        async with self.database.read() as session:
            token = (await session.exec(select(RunRow.claim).where(RunRow.id == claim.run_id))).first()
        return token == claim.token

    async def say(self, claim: Claim, *events: NewEvent) -> None:
        """Append events at once, before the turn is committed (a retry that the person should see)."""
        async with self.database.write() as session:
            self.append(session, await self._claimed(session, claim), events)
        self.bell.ring(claim.run_id)

    async def commit(self, claim: Claim, result: TurnResult, seconds: float) -> RunStatus:
        """Store a turn whole: events, state, what it read, what it waits for or how the run ended. Raises Superseded."""
        async with self.database.write() as session:
            run = await self._claimed(session, claim)
            state = result.state
            if state.turns != run.turns + 1:
                raise KeepsakeError(f"Turn {run.turns} came back as turn {state.turns - 1}.", hint="This is a defect of the team.")
            self.append(session, run, result.events)
            await self._mark_taken(session, claim)
            run.state = state.model_dump(mode="json")
            run.turns += 1
            run.tokens += sum(_tokens(event) for event in result.events)
            run.seconds += seconds
            run.claim, run.restarts = None, 0
            if state.outcome is not None:
                outcome = state.outcome
                parts = outcome.model_dump(exclude={"status"})
                await self.finish(session, run, RunStatus(outcome.status), step=claim.turn, **parts)
            elif state.waiting is not None:
                await self._stand_still(session, run, state, claim.turn)
            status = RunStatus(run.status)
        self.bell.ring(claim.run_id)
        return status

    async def fail(self, claim: Claim, error: KeepsakeError, seconds: float, *, say: bool = True) -> None:
        """End the run as failed with `error`, also told as an `error` event unless it was already. Raises Superseded."""
        async with self.database.write() as session:
            run = await self._claimed(session, claim)
            run.seconds += seconds
            if say:
                self.append(session, run, [NewEvent(type=EventType.ERROR, payload=error.as_payload())])
            await self.finish(session, run, RunStatus.FAILED, error=error.as_payload())
        self.bell.ring(claim.run_id)

    async def spend(self, run_id: str, seconds: float) -> None:
        """Count time that a cut-off turn used."""
        async with self.database.write() as session:
            try:
                run = await self._locked(session, run_id)
            except Superseded:
                return
            run.seconds += seconds

    # Intents

    async def intend(self, claim: Claim, action: Action, turn: int) -> None:
        """Write an intent with its event, durable on return. The same action of the same turn has one intent, however often it is tried."""
        async with self.database.write() as session:
            run = await self._claimed(session, claim)
            if turn != run.turns:
                raise KeepsakeError(f"An intent for turn {turn} came in turn {run.turns}.", hint="This is a defect of the team.")
            known = await session.get(IntentRow, (run.id, action.id))
            if known is not None:
                if known.turn != turn:
                    raise KeepsakeError("An action id was used twice.", hint="This is a defect of the team.")
                return
            session.add(IntentRow(run_id=run.id, action_id=action.id, turn=turn, action=action.model_dump(mode="json")))
            event = NewEvent(type=EventType.ACTION_INTENT, agent=action.agent, payload={"action_id": action.id, "digest": action.digest})
            self.append(session, run, [event])
        self.bell.ring(claim.run_id)

    async def intent_of(self, run_id: str, turn: int) -> Action | None:
        """The intent of a turn that has not been committed, if any."""
        async with self.database.read() as session:
            run = await session.get(RunRow, run_id)
            if run is None or run.turns != turn:
                return None
            intents = await self.unresolved(session, run)
        return Action.model_validate(intents[-1].action) if intents else None

    # What the dispatcher needs

    async def live(self, queued_only: bool = False) -> list[tuple[str, int]]:
        """(run, segment) of every run that wants to be worked on, or of those that nobody has begun with."""
        wanted = [RunStatus.QUEUED.value] + ([] if queued_only else [RunStatus.RUNNING.value])
        async with self.database.read() as session:
            query = select(RunRow.id, RunRow.segment).where(col(RunRow.status).in_(wanted)).order_by(col(RunRow.created_at))
            return [(run_id, segment) for run_id, segment in (await session.exec(query)).all()]

    async def restart(self, run_id: str, segment: int) -> None:
        """Give a run whose segment was lost (its workflow ended, the run did not) a new one; too many in a row end it as failed."""
        async with self.database.write() as session:
            try:
                run = await self._locked(session, run_id)
            except Superseded:
                return
            if not _is_live(run, segment):
                return
            if not await self._given_up(session, run):
                restarts = run.restarts
                self.queue(run, "its work was lost")
                run.restarts = restarts
        self.bell.ring(run_id)

    async def is_gone(self, run_id: str) -> bool:
        async with self.database.read() as session:
            return (await session.exec(select(RunRow.id).where(RunRow.id == run_id))).first() is None

    async def run_ids(self) -> set[str]:
        async with self.database.read() as session:
            return set((await session.exec(select(RunRow.id))).all())

    # Parts

    async def _locked(self, session: AsyncSession, run_id: str) -> RunRow:
        try:
            return await self.locked(session, run_id)
        except NotFound:
            raise Superseded from None

    async def _claimed(self, session: AsyncSession, claim: Claim) -> RunRow:
        """The run, if the claim still stands: the compare of every compare-and-set."""
        run = await self._locked(session, claim.run_id)
        if run.claim != claim.token or run.turns != claim.turn:
            raise Superseded
        return run

    async def _given_up(self, session: AsyncSession, run: RunRow) -> bool:
        """Count one more try that came to nothing; too many in a row end the run as failed."""
        run.restarts += 1
        if run.restarts <= MAX_RESTARTS:
            return False
        error = KeepsakeError(f"The run was cut off {run.restarts} times in one turn.", hint="See the worker's log, then start a new run.")
        self.append(session, run, [NewEvent(type=EventType.ERROR, payload=error.as_payload())])
        await self.finish(session, run, RunStatus.FAILED, error=error.as_payload())
        return True

    def _resumed(self, session: AsyncSession, run: RunRow, reason: str) -> None:
        run.status = RunStatus.RUNNING.value
        self.append(session, run, [NewEvent(type=EventType.RUN_RESUMED, payload={"reason": reason})])

    async def _inbox(self, session: AsyncSession, run: RunRow) -> tuple[Inbox, list[int]]:
        """Decisions and messages that no turn has read, and the numbers of the messages."""
        decided = [ApprovalStatus.APPROVED.value, ApprovalStatus.REJECTED.value, ApprovalStatus.EXPIRED.value]  # too late is a no
        query = select(ApprovalRow).where(
            ApprovalRow.run_id == run.id, col(ApprovalRow.taken_in).is_(None), col(ApprovalRow.status).in_(decided)
        )
        approvals = (await session.exec(query.order_by(col(ApprovalRow.decided_at)))).all()
        words = select(MessageRow).where(MessageRow.run_id == run.id, col(MessageRow.taken_in).is_(None)).order_by(col(MessageRow.seq))
        messages = (await session.exec(words)).all()
        decisions = [
            Decision(
                waiting_id=a.id,
                approved=a.status == ApprovalStatus.APPROVED.value,
                explanation=a.explanation or "",
                plan=[PlanStep.model_validate(step) for step in a.edited_plan] if a.edited_plan is not None else None,
                alike=a.for_run,
                edits=a.edits or {},
            )
            for a in approvals
        ]
        return Inbox(decisions=decisions, messages=[m.text for m in messages]), [m.seq for m in messages]

    async def _mark_taken(self, session: AsyncSession, claim: Claim) -> None:
        """What the turn was shown is read now; what arrived meanwhile is not."""
        for decision in claim.inbox.decisions:
            approval = await session.get(ApprovalRow, decision.waiting_id)
            if approval is not None:
                approval.taken_in = claim.turn
        for seq in claim.message_seqs:
            message = await session.get(MessageRow, (claim.run_id, seq))
            if message is not None:
                message.taken_in = claim.turn

    async def _files(self, session: AsyncSession, run: RunRow) -> list[WorkspaceFile]:
        query = (
            select(TaskFileRow.name, UploadRow.sha256)
            .join(UploadRow, col(UploadRow.id) == col(TaskFileRow.upload_id))
            .where(TaskFileRow.task_id == run.task_id)
            .order_by(col(TaskFileRow.position))
        )
        return [WorkspaceFile(name, sha256) for name, sha256 in (await session.exec(query)).all()]

    async def _stand_still(self, session: AsyncSession, run: RunRow, state: TeamState, step: int) -> None:
        """Store what the run waits for. A question already put (its id is known) is not put twice."""
        waiting = state.waiting
        assert waiting is not None
        if waiting.kind == "input":
            self.wait(session, run, RunStatus.AWAITING_INPUT, step)
        else:
            if await session.get(ApprovalRow, waiting.id) is None:
                kind = ApprovalKind(waiting.kind)
                steps = [step.model_dump(mode="json") for step in state.ledger.plan] if kind == ApprovalKind.PLAN else None
                action = waiting.action.model_dump(mode="json") if waiting.action else None
                session.add(
                    ApprovalRow(
                        id=waiting.id,
                        run_id=run.id,
                        kind=kind.value,
                        status=ApprovalStatus.PENDING.value,
                        action=self.redactor.value(action),
                        plan=self.redactor.value(steps),
                        reason=self.redactor.text(waiting.reason),
                        alike=waiting.alike_words,
                    )
                )
            self.wait(session, run, RunStatus.AWAITING_APPROVAL, step)
        run.waits_since = run.last_seq


def _is_live(run: RunRow, segment: int) -> bool:
    return run.segment == segment and run.status in {RunStatus.QUEUED.value, RunStatus.RUNNING.value}


def _tokens(event: NewEvent) -> int:
    if event.type != EventType.MODEL_CALL:
        return 0
    # A run that is one conversation sends all of it with every call, and what the server has in its cache costs nothing.
    whole = int(event.payload.get("prompt_tokens", 0)) + int(event.payload.get("completion_tokens", 0))
    return int(event.payload.get("computed_tokens") or whole)
