"""What runs ask a person: listed, and decided once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import Conflict, InvalidInput, NotFound
from app.events import EventType, NewEvent
from app.schemas import Action, Approval, ApprovalDecision, ApprovalKind, ApprovalStatus, Page, RunStatus, editable
from backend.store.base import Shelf, storable
from backend.store.pages import page_of, window
from backend.store.runs import Runs
from backend.tables import ApprovalRow

_CLOCK_SLACK_S = 300.0  # by which clocks may differ


class Approvals(Shelf):
    """The person's decisions. `approval_s`: how long one is waited for, in seconds."""

    def __init__(self, runs: Runs, approval_s: float) -> None:
        super().__init__(runs.database, runs.redactor, runs.bell)
        self.approval_s = approval_s

    async def page(self, cursor: str | None, limit: int, status: ApprovalStatus | None = None, run_id: str | None = None) -> Page[Approval]:
        query = select(ApprovalRow)
        if status is not None:
            query = query.where(ApprovalRow.status == status.value)
        if run_id is not None:
            query = query.where(ApprovalRow.run_id == (run_id if storable(run_id) else ""))
        async with self.database.read() as session:
            rows = (await session.exec(window(query, ApprovalRow, cursor, limit))).all()
        return page_of(rows, limit, self._as_approval)

    async def get(self, approval_id: str) -> Approval:
        async with self.database.read() as session:
            return self._as_approval(await self._approval(session, approval_id))

    async def decide(self, approval_id: str, decision: ApprovalDecision) -> Approval:
        """Decide once. The same decision again changes nothing; another one, or one that comes too late, raises Conflict."""
        plan = self._checked_plan(decision)
        async with self.database.write() as session:
            run = await self.locked(session, (await self._approval(session, approval_id)).run_id)
            approval = await self._approval(session, approval_id, fresh=True)
            if plan is not None and approval.kind != ApprovalKind.PLAN.value:
                raise InvalidInput("Only the approval of a plan takes an edited plan.", hint="Leave `plan` out.")
            edits = self._checked_edits(approval, decision)
            if approval.status != ApprovalStatus.PENDING.value:
                same = (approval.status, approval.edited_plan, approval.for_run, approval.edits)
                if same == (decision.decision.value, plan, decision.for_run, edits):
                    return self._as_approval(approval)
                raise Conflict(f"This was already decided: {approval.status}.", hint="A decision stands; steer the run with a message.")
            late = self._is_late(approval)
            approval.status = ApprovalStatus.EXPIRED.value if late else decision.decision.value
            approval.explanation = "Nobody decided in time." if late else self.redactor.text(decision.explanation)
            if not late:
                approval.edited_plan, approval.for_run, approval.edits = plan, decision.for_run, edits
            approval.decided_at = datetime.now(UTC)
            payload: dict[str, Any] = {"approval_id": approval.id, "decision": approval.status, "explanation": approval.explanation}
            payload |= {"for_run": True} if approval.for_run else {}
            payload |= {"edits": self.redactor.value(edits)} if approval.edits else {}
            self.append(session, run, [NewEvent(type=EventType.APPROVAL_DECIDED, payload=payload)])
            if RunStatus(run.status) == RunStatus.AWAITING_APPROVAL:
                self.queue(run, f"the person {approval.status} it" if not late else "nobody decided in time")
        self.bell.ring(run.id)
        if late:
            hours = f"{self.approval_s / 3600:g} hours"
            raise Conflict(
                f"This waited longer than {hours}; it counts as rejected.", hint="Start the run again, or steer it with a message."
            )
        return self._as_approval(approval)

    def _is_late(self, approval: ApprovalRow) -> bool:
        """Whether it waited too long. A clock that was set back by more than a little makes every approval late, so that none lives for ever."""
        age = (datetime.now(UTC) - _aware(approval.created_at)).total_seconds()
        return not -_CLOCK_SLACK_S <= age <= self.approval_s

    @staticmethod
    def _checked_edits(approval: ApprovalRow, decision: ApprovalDecision) -> dict[str, str] | None:
        """The person's changes to an action. Raises InvalidInput for what cannot be changed, or allowed for a run."""
        if decision.for_run and (not approval.alike or decision.decision != ApprovalStatus.APPROVED):
            raise InvalidInput("This is asked about each time.", hint="Leave `for_run` out; payments, deletions and the like stand alone.")
        if not decision.edits:
            return None
        known = editable(Action.model_validate(approval.action)) if approval.action else {}
        if decision.decision != ApprovalStatus.APPROVED or (unknown := sorted(decision.edits.keys() - known.keys())):
            what = f"`{unknown[0][:40]}`" if decision.decision == ApprovalStatus.APPROVED else "What is rejected"
            names = ", ".join(known) or "nothing"
            raise InvalidInput(f"{what} cannot be changed here.", hint=f"Of this action a person may change {names}.")
        return decision.edits

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

    def _as_approval(self, row: ApprovalRow) -> Approval:
        approval = Approval.model_validate(row, from_attributes=True)
        return approval.model_copy(update={"expires_at": _aware(row.created_at) + timedelta(seconds=self.approval_s)})


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # SQLite keeps no zone
