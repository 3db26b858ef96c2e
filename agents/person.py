"""The person's part in a turn: words that steer, an answer that was asked for, a decision on what waits."""

from agents import ledger as ledgers
from agents.acting import Acting
from agents.state import Decision, Inbox, Outcome, Waiting, WorkStep
from agents.turn import Turn, new_id
from app.events import EventType
from app.schemas import ApprovalKind, edited


def read_inbox(turn: Turn, inbox: Inbox, acting: Acting, speakers: dict[str, str]) -> None:
    """Steers go into the ledger, an answer or a decision lets the run go on."""
    state = turn.state
    state.steers += inbox.messages
    waiting = state.waiting
    if waiting is None:
        return
    if waiting.kind == "input":
        if inbox.messages:
            state.waiting = None
        return
    decision = next((d for d in inbox.decisions if d.waiting_id == waiting.id), None)
    if decision:
        state.waiting = None
        _take_decision(turn, waiting, decision, acting, speakers)


def _take_decision(turn: Turn, waiting: Waiting, decision: Decision, acting: Acting, speakers: dict[str, str]) -> None:
    state = turn.state
    if waiting.kind == ApprovalKind.PLAN:
        _take_plan(turn, decision, speakers)
    elif waiting.action and decision.approved:
        # A second try of a cut-off action is a new action with an intent of its own.
        retry = waiting.kind == ApprovalKind.UNKNOWN_OUTCOME
        action = edited(waiting.action, decision.edits)
        state.pending = action.model_copy(update={"id": new_id("act")}) if retry else action
        state.approved = action.digest
        if decision.alike and waiting.alike:
            acting.gate.standing.allowed.add(waiting.alike)
            acting.gate.standing.keep(state.memory)
    elif waiting.action and waiting.kind == ApprovalKind.UNKNOWN_OUTCOME:
        text = f"It counts as done. {decision.explanation}".strip()
        turn.block.steps.append(WorkStep(summary=waiting.action.summary, action=waiting.action, observation=text))
    elif waiting.action:
        if decision.explanation:
            state.steers.append(decision.explanation)
        acting.refuse(turn, waiting.action, "person", f"The person said no. {decision.explanation}".strip())


def _take_plan(turn: Turn, decision: Decision, speakers: dict[str, str]) -> None:
    state = turn.state
    if not decision.approved:
        reason = decision.explanation or "The person did not accept the plan."
        turn.end(
            Outcome(
                status="refused",
                refusal={"code": "plan-rejected", "reason": reason, "evidence": "", "alternative": "Say what to do instead."},
            )
        )
        return
    if decision.plan is not None:
        plan, _ = ledgers.repair_plan(decision.plan, speakers)
        state.ledger = state.ledger.model_copy(update={"plan": plan, "revision": state.ledger.revision + 1})
        show_plan(turn, by="person")


def show_plan(turn: Turn, by: str) -> None:
    turn.say(EventType.TASK_LEDGER, by=by, **turn.state.ledger.model_dump())
