"""Runs as a person handles them: look, cancel, pause, resume, say a word; and the approvals they decide, once."""

from datetime import UTC, datetime

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agents.safety.log import Entry, Known, Record
from agents.state import TeamState
from app.errors import Conflict, InvalidInput, NotFound
from app.events import Event, EventType, NewEvent
from app.schemas import Approval, ApprovalDecision, ApprovalKind, ApprovalStatus, Page, Run, RunStatus, TaskCreate
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

    # Approvals

    async def approvals_page(
        self, cursor: str | None, limit: int, status: ApprovalStatus | None = None, run_id: str | None = None
    ) -> Page[Approval]:
        query = select(ApprovalRow)
        if status is not None:
            query = query.where(ApprovalRow.status == status.value)
        if run_id is not None:
            query = query.where(ApprovalRow.run_id == (run_id if storable(run_id) else ""))
        async with self.database.read() as session:
            rows = (await session.exec(window(query, ApprovalRow, cursor, limit))).all()
        return page_of(rows, limit, _as_approval)

    async def get_approval(self, approval_id: str) -> Approval:
        async with self.database.read() as session:
            return _as_approval(await self._approval(session, approval_id))

    async def decide(self, approval_id: str, decision: ApprovalDecision) -> Approval:
        """Decide once. The same decision again changes nothing; another one raises Conflict."""
        plan = self._checked_plan(decision)
        async with self.database.write() as session:
            run = await self.locked(session, (await self._approval(session, approval_id)).run_id)
            approval = await self._approval(session, approval_id, fresh=True)
            if plan is not None and approval.kind != ApprovalKind.PLAN.value:
                raise InvalidInput("Only the approval of a plan takes an edited plan.", hint="Leave `plan` out.")
            if approval.status != ApprovalStatus.PENDING.value:
                if approval.status == decision.decision.value and approval.edited_plan == plan:
                    return _as_approval(approval)
                raise Conflict(f"This was already decided: {approval.status}.", hint="A decision stands; steer the run with a message.")
            approval.status = decision.decision.value
            approval.explanation = self.redactor.text(decision.explanation)
            approval.edited_plan = plan
            approval.decided_at = datetime.now(UTC)
            payload = {"approval_id": approval.id, "decision": approval.status, "explanation": approval.explanation}
            self.append(session, run, [NewEvent(type=EventType.APPROVAL_DECIDED, payload=payload)])
            if RunStatus(run.status) == RunStatus.AWAITING_APPROVAL:
                self.queue(run, f"the person {approval.status} it")
        self.bell.ring(run.id)
        return _as_approval(approval)

    def _checked_plan(self, decision: ApprovalDecision) -> list[dict[str, object]] | None:
        """The edited plan as numbered steps. Raises InvalidInput."""
        if decision.decision not in {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED}:
            raise InvalidInput(f"`{decision.decision.value}` is not a decision.", hint="Use `approved` or `rejected`.")
        if decision.plan is None:
            return None
        if not 1 <= len(decision.plan) <= 50:
            raise InvalidInput(f"A plan of {len(decision.plan)} steps cannot be taken.", hint="Give 1 to 50 steps.")
        steps: list[dict[str, object]] = []
        for number, step in enumerate(decision.plan, 1):
            agent, instruction = step.get("agent"), step.get("instruction")
            if not isinstance(agent, str) or not isinstance(instruction, str) or not instruction.strip() or len(instruction) > 4000:
                raise InvalidInput(f"Step {number} of the plan cannot be read.", hint="A step is {agent, instruction}, both text.")
            steps.append({"number": number, "agent": self.redactor.text(agent)[:100], "instruction": self.redactor.text(instruction)})
        return steps

    async def _approval(self, session: AsyncSession, approval_id: str, fresh: bool = False) -> ApprovalRow:
        row = await session.get(ApprovalRow, approval_id, populate_existing=fresh) if storable(approval_id) else None
        if row is None:
            raise NotFound(f"There is no approval `{approval_id[:80]}`.", hint="GET /v1/approvals?status=pending lists those that wait.")
        return row

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


def _as_approval(row: ApprovalRow) -> Approval:
    return Approval.model_validate(row, from_attributes=True)
