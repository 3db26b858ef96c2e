"""Magentic-One's two loops (arXiv 2411.04468), one turn at a time over JSON state.

Outer loop: task ledger (facts, plan), made anew after too many stalls. Inner loop: progress ledger, one member works on one instruction, its
block closes with a memento, and the ledgers reason from mementos. A turn looks, chooses, checks, acts or remembers; then it returns. Nothing
waits inside a turn: what needs a person ends it with `waiting`, and the next turn carries the decision out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agents import ledger as ledgers
from agents.acting import Acting
from agents.context import TokenCounter, measure, memento_lines
from agents.journal import Journal
from agents.member import Answer, Member
from agents.person import read_inbox, show_plan
from agents.roles import FactsView, FinalView, LedgerView, MementoView, PlanView, Roles
from agents.safety.gate import Gate
from agents.state import Block, Inbox, Memento, Outcome, PlanStep, TaskLedger, TeamState, TurnResult, Waiting
from agents.turn import Turn, new_id
from app.errors import KeepsakeError, ModelOutputInvalid
from app.events import EventType, NewEvent
from app.schemas import ApprovalKind

PERSON = "person"  # as next speaker: ask the person and wait
_REASONING = (EventType.BLOCK_TEXT, EventType.THOUGHT)


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
        self.limits = limits = limits or Limits()
        self.acting = Acting(roles, members, gate, journal, self._hear, limits.max_actions, limits.max_refusals)
        self.speakers = {name: m.description for name, m in members.items() if name != "executor"}
        self._spent: list[NewEvent] = []  # what a turn that has to be taken again has cost already

    async def turn(self, state: TeamState, inbox: Inbox | None = None) -> TurnResult:
        """Take one turn. `state` is not changed. Raises only retryable KeepsakeErrors (model down); all else becomes part of the run."""
        turn = Turn(state.fork())
        turn.events, self._spent = self._spent, []
        self.roles.stream = turn.state.stream
        self.gate.allows_request.recall(turn.state.memory)  # what a person opened before this process or segment began
        self.gate.standing.recall(turn.state.memory)
        read_inbox(turn, inbox or Inbox(), self.acting, self.speakers)
        if turn.state.given is None:
            turn.state.given = await self._file_names(turn.state)
        self.gate.follow([turn.state.task, *turn.state.steers], turn.state.reads, turn.state.seen, turn.state.given)
        if turn.state.outcome is None and turn.state.waiting is None:
            try:
                await self.acting.look_back(turn) or await self._step(turn)
            except KeepsakeError as error:
                self._hear(turn)
                if error.retryable:
                    self._spent = [e for e in turn.events if e.type == EventType.MODEL_CALL]
                    raise
                turn.say(EventType.ERROR, **error.as_payload())
                turn.end(Outcome(status="failed", error=error.as_payload()))
        turn.state.turns += 1
        return TurnResult(state=turn.state, events=turn.events)

    async def _step(self, turn: Turn) -> None:
        phase = turn.state.phase
        if phase == "plan":
            await self._plan(turn)
        elif phase == "ledger":
            await self._choose(turn)
        elif phase == "act":
            await self._act(turn)
        elif phase == "memento":
            await self._remember(turn)
        elif phase == "final":
            await self._answer(turn)

    def _hear(self, turn: Turn, labels: Sequence[str] = ()) -> None:
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

    async def _plan(self, turn: Turn) -> None:
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
        show_plan(turn, by="model")
        state.phase = "ledger"
        if state.review_plan and not state.replans:
            reason = "The plan waits for its person."
            state.waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.PLAN, reason=reason)
            plan_payload = [s.model_dump() for s in facts.plan]
            turn.say(EventType.APPROVAL_REQUESTED, approval_id=state.waiting.id, kind=ApprovalKind.PLAN, plan=plan_payload, reason=reason)

    # Inner loop

    async def _choose(self, turn: Turn) -> None:
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
            state.waiting = Waiting(id=new_id("ask"), kind="input", question=progress.instruction)
            turn.say(EventType.INPUT_REQUESTED, question=progress.instruction)
        else:
            self._open_block(turn)

    def _stalled(self, turn: Turn) -> bool:
        state = turn.state
        if state.progress and state.progress.progress and not state.progress.in_loop:
            state.stalls = max(0, state.stalls - 1)
            return False
        state.stalls += 1
        turn.say(EventType.STALL, stalls=state.stalls, limit=self.limits.max_stalls)
        return state.stalls >= self.limits.max_stalls

    def _replan(self, turn: Turn) -> None:
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

    def _open_block(self, turn: Turn) -> None:
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

    # Remembering

    async def _act(self, turn: Turn) -> None:
        if turn.state.pending:
            await self.acting.perform(turn)
        elif answer := await self.acting.propose(turn):
            self._close(turn, answer)

    def _close(self, turn: Turn, answer: Answer) -> None:
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

    async def _remember(self, turn: Turn) -> None:
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
            if state.stream:
                state.stream.close(text)
        self._hear(turn)
        memento = Memento(
            block=block.number, agent=block.agent, text=text, plan_step=block.plan_step, failed=block.failed, labels=block.labels
        )
        account = await measure(state, memento, block, self.count)
        state.mementos.append(memento)
        payload = {"block": block.number, "text": text, **account}
        turn.events.append(NewEvent(type=EventType.MEMENTO, agent=block.agent, payload=payload, labels=block.labels))
        state.block, state.phase = None, "ledger"

    async def _answer(self, turn: Turn) -> None:
        state = turn.state
        past = memento_lines(state)
        try:
            text = await self.roles.ask("final", FinalView(state.task, past))
        except ModelOutputInvalid as error:
            text = past[-1] if past else "Nothing had to be done."
            turn.say(EventType.LEDGER_REPAIRED, role="final", problem=error.message, repair="took the last memento")
        self._hear(turn)
        turn.end(Outcome(status="succeeded", answer=text))

    async def _file_names(self, state: TeamState) -> list[str]:
        files = self.members.get("files")
        return await files.names() if isinstance(files, NamesFiles) else list(state.memory.get("files", []))
