"""Magentic-One's two loops (arXiv 2411.04468), one turn at a time over JSON state.

Outer loop: task ledger (facts, plan), made anew after too many stalls. Inner loop: progress ledger, one member works on one instruction, its
block closes with a memento, and the ledgers reason from mementos. A turn looks, chooses, checks, acts or remembers; then it returns. Nothing
waits inside a turn: what needs a person ends it with `waiting`, and the next turn carries the decision out.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agents import ledger as ledgers
from agents.context import TokenCounter, measure, memento_lines
from agents.journal import Journal
from agents.member import Answer, Member
from agents.roles import FactsView, FinalView, LedgerView, MementoView, PlanView, Roles
from agents.safety.gate import Gate, GateDecision
from agents.state import Block, Decision, Inbox, Memento, Outcome, PlanStep, TaskLedger, TeamState, TurnResult, Waiting, WorkStep
from app.errors import ElementMissing, InvalidInput, KeepsakeError, ModelOutputInvalid, PermitMissing
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalKind, Effect, Verdict

PERSON = "person"  # as next speaker: ask the person and wait
_REASONING = (EventType.BLOCK_TEXT, EventType.THOUGHT)
NOTHING_DONE = (ElementMissing, InvalidInput, PermitMissing)  # raised before a member touches the world


@dataclass(frozen=True)
class Limits:
    """When to plan anew and when to give up. `max_actions` bounds one block."""

    max_stalls: int = 3
    max_replans: int = 2
    max_actions: int = 20
    max_refusals: int = 3


@runtime_checkable
class NamesFiles(Protocol):
    """A files member that can say which files there are."""

    async def names(self) -> list[str]: ...


class Orchestrator:
    """The loop of one team. Stateless between turns: everything is in TeamState."""

    def __init__(
        self, roles: Roles, members: dict[str, Member], gate: Gate, journal: Journal, count: TokenCounter, limits: Limits | None = None
    ) -> None:
        self.roles = roles
        self.members = members
        self.gate = gate
        self.journal = journal
        self.count = count
        self.limits = limits or Limits()
        self.speakers = {name: m.description for name, m in members.items() if name != "executor"}
        self._spent: list[NewEvent] = []  # what a turn that has to be taken again has cost already

    async def turn(self, state: TeamState, inbox: Inbox | None = None) -> TurnResult:
        """Take one turn. `state` is not changed. Raises only retryable KeepsakeErrors (model down); all else becomes part of the run."""
        turn = _Turn(state.fork())
        turn.events, self._spent = self._spent, []
        self.gate.allows_request.recall(turn.state.memory)  # what a person opened before this process or segment began
        self._read_inbox(turn, inbox or Inbox())
        if turn.state.outcome is None and turn.state.waiting is None:
            try:
                await self._look_back(turn) or await self._step(turn)
            except KeepsakeError as error:
                self._hear(turn)
                if error.retryable:
                    self._spent = [e for e in turn.events if e.type == EventType.MODEL_CALL]
                    raise
                turn.say(EventType.ERROR, **error.as_payload())
                turn.end(Outcome(status="failed", error=error.as_payload()))
        turn.state.turns += 1
        return TurnResult(state=turn.state, events=turn.events)

    async def _step(self, turn: "_Turn") -> None:
        phase = turn.state.phase
        if phase == "plan":
            await self._plan(turn)
        elif phase == "ledger":
            await self._choose(turn)
        elif phase == "act":
            await (self._perform(turn) if turn.state.pending else self._propose(turn))
        elif phase == "memento":
            await self._remember(turn)
        elif phase == "final":
            await self._answer(turn)

    def _hear(self, turn: "_Turn", labels: Sequence[str] = ()) -> None:
        """Take the events of the role calls just made. Reasoning belongs to the open block, and may quote whatever the prompt showed: it carries
        the labels of the block and of the answer (`labels`), outside of blocks those of the mementos that it read."""
        state = turn.state
        for event in self.roles.drain():
            if event.type in _REASONING:
                event.payload["block"] = state.block.number if state.block else None
                before = state.block.labels if state.block else [label for memento in state.mementos for label in memento.labels]
                event.labels = sorted({*before, *labels})
            turn.events.append(event)

    # Outer loop

    async def _plan(self, turn: "_Turn") -> None:
        state = turn.state
        problem = f"The plan did not work after {len(state.mementos)} steps." if state.replans else ""
        past = memento_lines(state)
        files = await self._file_names(state)
        try:
            facts: TaskLedger = await self.roles.ask("facts", FactsView(state.task, [s.name for s in state.sites], files, past, problem))
        except ModelOutputInvalid as error:
            facts = TaskLedger()
            turn.say(EventType.LEDGER_REPAIRED, role="facts", problem=error.message, repair="went on without facts")
        self._hear(turn)
        try:
            plan: list[PlanStep] = await self.roles.ask("plan", PlanView(state.task, facts, self.speakers, past, problem))
        except ModelOutputInvalid as error:
            plan = [PlanStep(number=1, agent=next(iter(self.speakers)), instruction=state.task)]
            turn.say(EventType.LEDGER_REPAIRED, role="plan", problem=error.message, repair="one step: the task itself")
        self._hear(turn)
        facts.plan, repairs = ledgers.repair_plan(plan, self.speakers)
        for repair in repairs:
            turn.say(EventType.LEDGER_REPAIRED, role="plan", problem=repair.problem, repair=repair.repair)
        facts.revision = state.ledger.revision + 1
        state.ledger = facts
        self._show_plan(turn, by="model")
        state.phase = "ledger"
        if state.review_plan and not state.replans:
            reason = "The plan waits for its person."
            state.waiting = Waiting(id=_new_id("appr"), kind=ApprovalKind.PLAN, reason=reason)
            plan_payload = [s.model_dump() for s in facts.plan]
            turn.say(EventType.APPROVAL_REQUESTED, approval_id=state.waiting.id, kind=ApprovalKind.PLAN, plan=plan_payload, reason=reason)

    # Inner loop

    async def _choose(self, turn: "_Turn") -> None:
        state = turn.state
        view = LedgerView(state.task, state.ledger, self.speakers, memento_lines(state), state.steers)
        try:
            answer = await self.roles.ask("ledger", view)
        except ModelOutputInvalid:
            answer = None
        self._hear(turn)
        progress, repairs = ledgers.repair_progress(answer, state, self.speakers | {PERSON: ""})
        for repair in repairs:
            turn.say(EventType.LEDGER_REPAIRED, role="ledger", problem=repair.problem, repair=repair.repair)
        if not progress.satisfied and ledgers.in_loop(state, progress.next_speaker or "", progress.instruction):
            progress = progress.model_copy(update={"in_loop": True})
        state.progress = progress
        turn.say(EventType.PROGRESS_LEDGER, **progress.model_dump())
        if progress.satisfied:
            state.phase = "final"
        elif self._stalled(turn):
            self._replan(turn)
        elif progress.next_speaker == PERSON:
            state.waiting = Waiting(id=_new_id("ask"), kind="input", question=progress.instruction)
            turn.say(EventType.INPUT_REQUESTED, question=progress.instruction)
        else:
            self._open_block(turn)

    def _stalled(self, turn: "_Turn") -> bool:
        state = turn.state
        if state.progress and state.progress.progress and not state.progress.in_loop:
            state.stalls = max(0, state.stalls - 1)
            return False
        state.stalls += 1
        turn.say(EventType.STALL, stalls=state.stalls, limit=self.limits.max_stalls)
        return state.stalls >= self.limits.max_stalls

    def _replan(self, turn: "_Turn") -> None:
        state = turn.state
        if state.replans >= self.limits.max_replans:
            message = f"No progress after {state.replans} new plans."
            error = {
                "code": "stalled",
                "boundary": "model",
                "message": message,
                "hint": "Say more in the task, or steer the run.",
                "retryable": False,
            }
            turn.end(Outcome(status="failed", error=error))
            return
        state.replans += 1
        state.stalls = 0  # the paper's algorithm clears the count; the stock orchestrator forgets to
        state.handoff = None
        turn.say(EventType.REPLAN, number=state.replans, limit=self.limits.max_replans, reason="too many turns without progress")
        state.phase = "plan"

    def _open_block(self, turn: "_Turn") -> None:
        state = turn.state
        progress = state.progress
        assert progress is not None and progress.next_speaker is not None
        state.blocks += 1
        state.block = Block(
            number=state.blocks, agent=progress.next_speaker, instruction=progress.instruction, plan_step=progress.plan_step
        )
        state.phase = "act"
        turn.say(
            EventType.BLOCK_OPENED,
            progress.next_speaker,
            block=state.blocks,
            instruction=progress.instruction,
            plan_step=progress.plan_step,
        )

    # Acting

    async def _propose(self, turn: "_Turn") -> None:
        state, block = turn.state, turn.block
        name = state.handoff or block.agent
        if len(block.steps) >= self.limits.max_actions:
            self._close(turn, Answer(f"gave up after {len(block.steps)} actions", failed=True))
            return
        try:
            proposal = await self.members[name].propose(state, block, self.roles)
        except ModelOutputInvalid as error:
            proposal = Answer(error.message, failed=True)
        except KeepsakeError as error:
            if error.retryable and error.boundary == "model":
                raise
            turn.say(EventType.ERROR, name, **error.as_payload())
            proposal = Answer(error.message, failed=True)
        self._hear(turn, proposal.labels if isinstance(proposal, Answer) else [])
        if isinstance(proposal, Answer):
            self._close(turn, proposal)
            return
        turn.say(EventType.ACTION_PROPOSED, name, block=block.number, action=proposal.model_dump(mode="json"))
        await self._check(turn, proposal)

    async def _check(self, turn: "_Turn", action: Action) -> None:
        decision = self.gate.judge(action)
        turn.say(
            EventType.GATE_DECIDED,
            action.agent,
            block=turn.block.number,
            action_id=action.id,
            verdict=decision.verdict,
            reason=decision.reason,
            rule=decision.rule,
        )
        if decision.verdict == Verdict.REFUSE:
            self._refuse(turn, action, decision.rule, decision.reason)
        elif action.digest in turn.state.refused:
            self._refuse(turn, action, "refused-before", "This was refused before in this run.")
        elif decision.verdict == Verdict.ASK:
            self._request_approval(turn, ApprovalKind.ACTION, action, decision.reason)
        elif action.effect == Effect.READ:
            await self._carry_out(turn, action, decision)
        else:
            turn.state.pending = action

    async def _perform(self, turn: "_Turn") -> None:
        """The turn of a write or program: intent first, effect after."""
        state = turn.state
        action, approved = state.pending, state.approved
        assert action is not None
        state.pending = state.approved = None
        decision = self.gate.judge(action, approved)
        if decision.permit is None:
            self._refuse(turn, action, decision.rule, decision.reason)
            return
        await self.journal.intend(action, state.turns)
        await self._carry_out(turn, action, decision)

    async def _carry_out(self, turn: "_Turn", action: Action, decision: GateDecision) -> None:
        state, block = turn.state, turn.block
        assert decision.permit is not None
        started = time.monotonic()
        try:
            seen = await self.members[action.agent].perform(state, block, action, decision.permit)
        except KeepsakeError as error:
            turn.say(EventType.ACTION_FAILED, action.agent, block=block.number, action_id=action.id, error=error.as_payload())
            if _reaches_out(action) and not isinstance(error, NOTHING_DONE):
                self._ask_about(turn, action, error.message)
            else:
                observation = f"Failed: {error.message}"
                block.steps.append(WorkStep(summary=action.summary, action=action, observation=observation, ok=False))
            return
        step = WorkStep(summary=action.summary, action=action, observation=seen.text, ok=seen.ok, labels=seen.labels)
        payload = {"block": block.number, "action_id": action.id, "observation": seen.text, "seconds": round(time.monotonic() - started, 3)}
        payload |= {k: v for k, v in {"screenshot": seen.screenshot, "url": seen.url}.items() if v}
        turn.events.append(NewEvent(type=EventType.ACTION_DONE, agent=action.agent, payload=payload, labels=seen.labels))
        for artifact in seen.artifacts:
            turn.say(EventType.ARTIFACT, action.agent, **artifact)
        if seen.unknown:
            self._ask_about(turn, action, seen.text)
        else:
            block.steps.append(step)

    def _refuse(self, turn: "_Turn", action: Action, rule: str, reason: str) -> None:
        """Tell the member once; the same wish again, or too many wishes, ends the run as refused: there is no planning around a refusal."""
        state, block = turn.state, turn.block
        block.steps.append(WorkStep(summary=action.summary, action=action, observation=f"Refused: {reason}", ok=False))
        again = action.digest in state.refused
        state.refused.append(action.digest)
        if again or len(state.refused) >= self.limits.max_refusals:
            refusal = {
                "code": rule,
                "reason": reason,
                "evidence": action.summary,
                "alternative": "Change the task's sites or policy, or do this step yourself.",
            }
            turn.end(Outcome(status="refused", refusal=refusal))

    def _request_approval(self, turn: "_Turn", kind: ApprovalKind, action: Action, reason: str) -> None:
        turn.state.waiting = Waiting(id=_new_id("appr"), kind=kind, action=action, reason=reason)
        turn.say(
            EventType.APPROVAL_REQUESTED,
            action.agent,
            approval_id=turn.state.waiting.id,
            kind=kind,
            action=action.model_dump(mode="json"),
            reason=reason,
        )

    async def _look_back(self, turn: "_Turn") -> bool:
        """An earlier try of this very turn was cut off after its intent: look again, then ask. True when the turn is spent on that."""
        action = await self.journal.unresolved(turn.state.turns)
        if action is None or not _reaches_out(action):
            return False  # files and sandboxed programs may run twice: the same text lands in the same place
        turn.state.pending = turn.state.approved = None
        try:
            seen = await self.members[action.agent].look_again(turn.state, action)
        except KeepsakeError as error:
            seen = f"The page could not be looked at again: {error.message}"
        self._ask_about(turn, action, seen)
        return True

    def _ask_about(self, turn: "_Turn", action: Action, seen: str) -> None:
        """An effect with unknown outcome is never silently repeated: its person says whether to try again or to take it as done."""
        turn.say(EventType.ACTION_UNKNOWN, action.agent, action_id=action.id, action=action.model_dump(mode="json"))
        reason = f"It may or may not have happened. {seen} Approve to try it again, reject to go on without."
        self._request_approval(turn, ApprovalKind.UNKNOWN_OUTCOME, action, reason)

    # Remembering

    def _close(self, turn: "_Turn", answer: Answer) -> None:
        state, block = turn.state, turn.block
        kind = "code" if answer.handoff else "answer"
        speaker = state.handoff or block.agent
        block.seen = sorted({*block.seen, *answer.labels})
        turn.events.append(
            NewEvent(
                type=EventType.BLOCK_TEXT,
                agent=speaker,
                payload={"block": block.number, "kind": kind, "text": answer.text},
                labels=block.labels,
            )
        )
        state.handoff = answer.handoff
        if answer.handoff:
            return
        block.result, block.failed = answer.text, answer.failed
        state.phase = "memento"

    async def _remember(self, turn: "_Turn") -> None:
        state, block = turn.state, turn.block
        history = [s.summary for s in block.steps]
        view = MementoView(
            block.agent, block.instruction, block.plan_step, len(state.ledger.plan), history, block.result or "", block.failed
        )
        try:
            text = await self.roles.ask("memento", view)
        except ModelOutputInvalid as error:
            text = f"{block.agent}: {' '.join((block.result or 'nothing').split())[:300]}"
            turn.say(EventType.LEDGER_REPAIRED, block.agent, role="memento", problem=error.message, repair="took the result's own words")
        self._hear(turn)
        memento = Memento(
            block=block.number, agent=block.agent, text=text, plan_step=block.plan_step, failed=block.failed, labels=block.labels
        )
        account = await measure(state, memento, block, self.count)
        state.mementos.append(memento)
        payload = {"block": block.number, "text": text, **account}
        turn.events.append(NewEvent(type=EventType.MEMENTO, agent=block.agent, payload=payload, labels=block.labels))
        state.block, state.phase = None, "ledger"

    async def _answer(self, turn: "_Turn") -> None:
        state = turn.state
        past = memento_lines(state)
        try:
            text = await self.roles.ask("final", FinalView(state.task, past))
        except ModelOutputInvalid as error:
            text = past[-1] if past else "Nothing had to be done."
            turn.say(EventType.LEDGER_REPAIRED, role="final", problem=error.message, repair="took the last memento")
        self._hear(turn)
        turn.end(Outcome(status="succeeded", answer=text))

    # The person

    def _read_inbox(self, turn: "_Turn", inbox: Inbox) -> None:
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
            self._take_decision(turn, waiting, decision)

    def _take_decision(self, turn: "_Turn", waiting: Waiting, decision: Decision) -> None:
        state = turn.state
        if waiting.kind == ApprovalKind.PLAN:
            self._take_plan(turn, decision)
        elif waiting.action and decision.approved:
            # A second try of a cut-off action is a new action with an intent of its own.
            retry = waiting.kind == ApprovalKind.UNKNOWN_OUTCOME
            state.pending = waiting.action.model_copy(update={"id": _new_id("act")}) if retry else waiting.action
            state.approved = waiting.action.digest
        elif waiting.action and waiting.kind == ApprovalKind.UNKNOWN_OUTCOME:
            text = f"It counts as done. {decision.explanation}".strip()
            turn.block.steps.append(WorkStep(summary=waiting.action.summary, action=waiting.action, observation=text))
        elif waiting.action:
            if decision.explanation:
                state.steers.append(decision.explanation)
            self._refuse(turn, waiting.action, "person", f"The person said no. {decision.explanation}".strip())

    def _take_plan(self, turn: "_Turn", decision: Decision) -> None:
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
            plan, _ = ledgers.repair_plan(decision.plan, self.speakers)
            state.ledger = state.ledger.model_copy(update={"plan": plan, "revision": state.ledger.revision + 1})
            self._show_plan(turn, by="person")

    def _show_plan(self, turn: "_Turn", by: str) -> None:
        turn.say(EventType.TASK_LEDGER, by=by, **turn.state.ledger.model_dump())

    async def _file_names(self, state: TeamState) -> list[str]:
        files = self.members.get("files")
        return await files.names() if isinstance(files, NamesFiles) else list(state.memory.get("files", []))


class _Turn:
    """A turn under way: the state it changes and the events it has to tell."""

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


def _reaches_out(action: Action) -> bool:
    """Whether this changes something outside the run's own workspace and sandbox, where doing it twice is not doing it once."""
    saves = action.kind in ("web.save_table", "web.download")
    return action.effect != Effect.READ and action.kind.startswith(("web.", "tool.")) and not saves


def _new_id(tag: str) -> str:
    return f"{tag}_{secrets.token_hex(12)}"
