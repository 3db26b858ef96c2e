"""What every part of the store shares: a run locked for one transaction, events appended to it, and the one way a run ends."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy.orm import QueryableAttribute, defer
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import NotFound
from app.events import EventType, NewEvent
from app.schemas import ApprovalStatus, Run, RunStatus
from backend.database import Database
from backend.redaction import Redactor
from backend.store.bell import Bell
from backend.tables import ApprovalRow, EventRow, IntentRow, RunRow

# The team's state may be large; whoever only looks at a run leaves it where it is.
WITHOUT_STATE = defer(cast(QueryableAttribute[Any], RunRow.state))


class Shelf:
    """Base of the store's parts."""

    def __init__(self, database: Database, redactor: Redactor, bell: Bell) -> None:
        self.database = database
        self.redactor = redactor
        self.bell = bell

    async def locked(self, session: AsyncSession, run_id: str) -> RunRow:
        """The run, locked until the transaction ends (SQLite: the whole database is). Raises NotFound."""
        row = None
        if storable(run_id):
            row = (await session.exec(select(RunRow).where(RunRow.id == run_id).with_for_update())).first()
        if row is None:
            raise NotFound(f"There is no run `{run_id[:80]}`.", hint="GET /v1/runs lists the runs.")
        return row

    def append(self, session: AsyncSession, run: RunRow, events: Iterable[NewEvent], step: int | None = None) -> None:
        """Give each event the run's next number. `run` must be locked, so numbers have no gaps and no doubles."""
        for event in events:
            run.last_seq += 1
            session.add(
                EventRow(
                    run_id=run.id,
                    seq=run.last_seq,
                    time=event.time,
                    type=event.type.value,
                    step=run.turns if step is None else step,
                    agent=event.agent,
                    payload=self.redactor.value(event.payload),
                    labels=self.redactor.value(event.labels),
                )
            )
        run.updated_at = datetime.now(UTC)

    async def unresolved(self, session: AsyncSession, run: RunRow) -> list[IntentRow]:
        """Intents of the turn that has not been committed: they may or may not have happened."""
        return list((await session.exec(select(IntentRow).where(IntentRow.run_id == run.id, IntentRow.turn == run.turns))).all())

    async def finish(
        self,
        session: AsyncSession,
        run: RunRow,
        status: RunStatus,
        *,
        answer: str | None = None,
        refusal: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """End a run: what was cut off is named, what was pending expires, and nobody may commit to it any more."""
        for intent in await self.unresolved(session, run):
            self.append(
                session, run, [NewEvent(type=EventType.ACTION_UNKNOWN, payload={"action_id": intent.action_id, "action": intent.action})]
            )
        pending = select(ApprovalRow).where(ApprovalRow.run_id == run.id, ApprovalRow.status == ApprovalStatus.PENDING.value)
        for approval in (await session.exec(pending)).all():
            approval.status = ApprovalStatus.EXPIRED.value
            payload = {"approval_id": approval.id, "decision": ApprovalStatus.EXPIRED.value, "explanation": "The run ended first."}
            self.append(session, run, [NewEvent(type=EventType.APPROVAL_DECIDED, payload=payload)])
        run.status, run.claim = status.value, None
        run.answer = self.redactor.text(answer) if answer is not None else None
        run.refusal, run.error = self.redactor.value(refusal), self.redactor.value(error)
        parts = {"answer": run.answer, "refusal": run.refusal, "error": run.error}
        payload = {"status": status.value, **{name: part for name, part in parts.items() if part is not None}}
        self.append(session, run, [NewEvent(type=EventType.RUN_FINISHED, payload=payload)], step)

    def wait(self, session: AsyncSession, run: RunRow, status: RunStatus, step: int | None = None) -> None:
        """Let a run stand still until a person acts."""
        run.status, run.claim = status.value, None
        self.append(session, run, [NewEvent(type=EventType.RUN_WAITING, payload={"status": status.value})], step)

    def queue(self, run: RunRow, reason: str) -> None:
        """Ask for the run's next segment; a worker says `run.resumed` when it takes it up."""
        run.status, run.claim = RunStatus.QUEUED.value, None
        run.segment += 1
        run.resume_reason = reason
        run.restarts = 0
        run.updated_at = datetime.now(UTC)


def storable(key: str) -> bool:
    """Whether a key from outside can be one of ours at all; PostgreSQL refuses NUL in a parameter."""
    return key.isascii() and key.isprintable() and len(key) <= 200


def as_run(row: RunRow) -> Run:
    return Run.model_validate(row, from_attributes=True)
