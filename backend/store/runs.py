"""Runs as a person handles them: look, cancel, pause, resume, say a word."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agents.safety.log import Entry, Known, Record
from agents.state import TeamState
from app.errors import Conflict, InvalidInput, NotFound
from app.events import Event, EventType, NewEvent
from app.schemas import ApprovalStatus, Page, Run, RunStatus, TaskCreate
from backend.store.base import WITHOUT_STATE, Shelf, as_run, storable
from backend.store.pages import page_of, window
from backend.tables import ApprovalRow, EventRow, MessageRow, RunRow, TaskRow

_WAITS = {RunStatus.AWAITING_APPROVAL, RunStatus.AWAITING_INPUT}


class Runs(Shelf):
    """The person's side of runs. Every change takes the claim away from a worker in mid-turn, so nothing races."""

    async def get(self, run_id: str) -> Run:
        async with self.database.read() as session:
            row = await session.get(RunRow, run_id, options=[WITHOUT_STATE]) if storable(run_id) else None
        if row is None:
            raise NotFound(f"There is no run `{run_id[:80]}`.", hint="GET /v1/runs lists the runs.")
        return as_run(row)

    async def page(self, cursor: str | None, limit: int, task_id: str | None = None, status: RunStatus | None = None) -> Page[Run]:
        query = select(RunRow).options(WITHOUT_STATE)
        if task_id is not None:
            query = query.where(RunRow.task_id == task_id)
        if status is not None:
            query = query.where(RunRow.status == status.value)
        async with self.database.read() as session:
            if task_id is not None and (not storable(task_id) or await session.get(TaskRow, task_id) is None):
                raise NotFound(f"There is no task `{task_id[:80]}`.", hint="GET /v1/tasks lists the tasks.")
            rows = (await session.exec(window(query, RunRow, cursor, limit))).all()
        return page_of(rows, limit, as_run)

    async def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[Event]:
        """Events with seq > `after`, in order. Raises NotFound when there is no such run."""
        async with self.database.read() as session:
            query = select(EventRow).where(EventRow.run_id == run_id, EventRow.seq > after).order_by(col(EventRow.seq)).limit(limit)
            rows = (await session.exec(query)).all() if storable(run_id) else []
            if not rows and (not storable(run_id) or (await session.exec(select(RunRow.id).where(RunRow.id == run_id))).first() is None):
                raise NotFound(f"There is no run `{run_id[:80]}`.", hint="GET /v1/runs lists the runs.")
        return [Event.model_validate(row, from_attributes=True) for row in rows]

    async def decisions(self, run_id: str) -> Record:
        """The gate's decisions of a run, and all that they were made on. Raises NotFound when there is no such run."""
        kinds = (EventType.ACTION_PROPOSED.value, EventType.GATE_DECIDED.value)
        async with self.database.read() as session:
            run = await session.get(RunRow, run_id) if storable(run_id) else None
            task = await session.get(TaskRow, run.task_id) if run else None
            if run is None or task is None:
                raise NotFound(f"There is no run `{run_id[:80]}`.", hint="GET /v1/runs lists the runs.")
            query = select(EventRow).where(EventRow.run_id == run_id, col(EventRow.type).in_(kinds)).order_by(col(EventRow.seq))
            rows = (await session.exec(query)).all()
        state = TeamState.model_validate(run.state or {"task": task.spec["text"]})
        spec = TaskCreate.model_validate(task.spec)
        texts = [state.task, *state.steers]
        known = Known(policy=spec.policy, sites=spec.sites, files=state.given or [], texts=texts, reads=state.reads, seen=state.seen)
        actions = {row.payload["action"]["id"]: row.payload["action"] for row in rows if row.type == EventType.ACTION_PROPOSED}
        decided = [row.payload for row in rows if row.type == EventType.GATE_DECIDED and "log" in row.payload]
        entries = [Entry.model_validate({**own, **own["log"], "action": actions[own["action_id"]]}) for own in decided]
        return Record(known=known, entries=entries, last=state.log.last)

    async def is_over(self, run_id: str, after: int) -> bool:
        """Whether the run has ended and `after` is its last event."""
        async with self.database.read() as session:
            row = (await session.exec(select(RunRow.status, RunRow.last_seq).where(RunRow.id == run_id))).first()
        return row is None or (RunStatus(row[0]).ended and row[1] <= after)

    async def cancel(self, run_id: str) -> Run:
        """End the run now. The worker's turn in flight is cut off and can commit nothing."""
        async with self.database.write() as session:
            run = await self.locked(session, run_id)
            if RunStatus(run.status) == RunStatus.CANCELLED:
                return as_run(run)
            if RunStatus(run.status).ended:
                raise Conflict(f"The run has already {run.status}.", hint="Only a run that has not ended can be cancelled.")
            await self.finish(session, run, RunStatus.CANCELLED)
        return self._rung(run)

    async def pause(self, run_id: str) -> Run:
        """Let the run stand still. What it waits for stays; a turn in flight is cut off and taken again on resume."""
        async with self.database.write() as session:
            run = await self.locked(session, run_id)
            status = RunStatus(run.status)
            if status == RunStatus.PAUSED:
                return as_run(run)
            if status.ended:
                raise Conflict(f"The run has {run.status}.", hint="Only a run that has not ended can be paused.")
            self.wait(session, run, RunStatus.PAUSED)
        return self._rung(run)

    async def resume(self, run_id: str) -> Run:
        """Go on with a paused run, or with one that failed for a reason that may have passed (model down, storage)."""
        async with self.database.write() as session:
            run = await self.locked(session, run_id)
            status = RunStatus(run.status)
            if status in {RunStatus.QUEUED, RunStatus.RUNNING}:
                return as_run(run)
            if status == RunStatus.FAILED and (run.error or {}).get("retryable"):
                run.error = None
                self.queue(run, "resumed by the person")
            elif status == RunStatus.PAUSED:
                still = await self._waits_for(session, run)
                if still is None:
                    self.queue(run, "resumed by the person")
                else:
                    self.wait(session, run, still)
            elif status in _WAITS:
                raise Conflict(f"The run is {status.value.replace('_', ' ')}.", hint="Decide its approval or answer its question.")
            else:
                raise Conflict(f"The run has {run.status} and cannot go on.", hint="Start a new run of the task.")
        return self._rung(run)

    async def message(self, run_id: str, text: str) -> Run:
        """A person's word: the answer to a question that the run waits with, else a steer for its next turn."""
        if not text.strip() or "\0" in text:
            raise InvalidInput("The message has no text.", hint="Say something, without NUL characters.")
        async with self.database.write() as session:
            run = await self.locked(session, run_id)
            if RunStatus(run.status).ended:
                raise Conflict(f"The run has {run.status}.", hint="Start a new run of the task.")
            self.append(session, run, [NewEvent(type=EventType.MESSAGE, payload={"text": text})])
            session.add(MessageRow(run_id=run.id, seq=run.last_seq, text=text))
            if RunStatus(run.status) == RunStatus.AWAITING_INPUT:
                self.queue(run, "the person answered")
        return self._rung(run)

    async def _waits_for(self, session: AsyncSession, run: RunRow) -> RunStatus | None:
        """What a paused run still waits for, None when it can go on: the approval is decided, the question answered."""
        waiting = (run.state or {}).get("waiting")
        if not waiting:
            return None
        if waiting["kind"] == "input":
            answered = select(MessageRow).where(MessageRow.run_id == run.id, MessageRow.seq > run.waits_since).limit(1)
            return None if (await session.exec(answered)).first() else RunStatus.AWAITING_INPUT
        approval = await session.get(ApprovalRow, waiting["id"])
        pending = approval is not None and approval.status == ApprovalStatus.PENDING.value
        return RunStatus.AWAITING_APPROVAL if pending else None

    def _rung(self, run: RunRow) -> Run:
        self.bell.ring(run.id)
        return as_run(run)
