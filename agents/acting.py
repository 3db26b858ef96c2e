"""What members do: propose, be judged by the gate, act with its permit, and be asked about when an effect's outcome is not known.

Every effect has an intent before it (agents.journal), and none of unknown outcome is ever silently repeated.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agents.journal import Journal
from agents.member import Answer, Member, Observation
from agents.roles import Roles
from agents.safety.alarm import alarm
from agents.safety.gate import Gate, GateDecision
from agents.safety.outside import Read
from agents.safety.seen import MOST, Seen, deed
from agents.safety.standing import Alike
from agents.state import Outcome, TeamState, Waiting, WorkStep
from agents.turn import Turn, new_id
from app.errors import ElementMissing, InvalidInput, KeepsakeError, ModelOutputInvalid, PermitMissing
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalKind, Effect, Verdict
from app.vault import Vault

_LATELY = 8  # things read or done before a question
NOTHING_DONE = (ElementMissing, InvalidInput, PermitMissing)  # raised before a member touches the world


@dataclass(frozen=True)
class Acting:
    """The members of a team behind their gate. `hear(turn, labels)` takes the events of the role calls just made.

    `max_actions` bounds one block, `max_refusals` a run.
    """

    roles: Roles
    members: dict[str, Member]
    gate: Gate
    journal: Journal
    hear: Callable[[Turn, Sequence[str]], None]
    max_actions: int
    max_refusals: int

    async def propose(self, turn: Turn) -> Answer | None:
        """The member's next wish, judged; its answer when the work on the instruction is done. Raises retryable KeepsakeErrors of the model."""
        state, block = turn.state, turn.block
        name = state.handoff or block.agent
        if len(block.steps) >= self.max_actions:
            return Answer(f"gave up after {len(block.steps)} actions", failed=True)
        try:
            proposal = await self.members[name].propose(state, block, self.roles)
        except ModelOutputInvalid as error:
            proposal = Answer(error.message, failed=True)
        except KeepsakeError as error:
            if error.retryable and error.boundary == "model":
                raise
            turn.say(EventType.ERROR, name, **error.as_payload())
            proposal = Answer(error.message, failed=True)
        self.hear(turn, proposal.labels if isinstance(proposal, Answer) else [])
        if isinstance(proposal, Answer):
            return proposal
        turn.say(EventType.ACTION_PROPOSED, name, block=block.number, action=proposal.model_dump(mode="json"))
        await self._check(turn, proposal)
        return None

    async def _check(self, turn: Turn, action: Action) -> None:
        state = turn.state
        decision = self.gate.judge(action)
        entry = state.log.add([state.task, *state.steers], state.reads, state.seen, self.gate, action, decision)
        turn.say(
            EventType.GATE_DECIDED,
            action.agent,
            block=turn.block.number,
            action_id=action.id,
            verdict=decision.verdict,
            reason=decision.reason,
            rule=decision.rule,
            log=entry.model_dump(mode="json", exclude={"action", "verdict", "reason", "rule"}),
        )
        if decision.verdict == Verdict.REFUSE:
            self.refuse(turn, action, decision.rule, decision.reason)
        elif action.digest in turn.state.refused:
            self.refuse(turn, action, "refused-before", "This was refused before in this run.")
        elif decision.verdict == Verdict.ASK:
            reason = " ".join(filter(None, (decision.reason, _beware(state))))
            self._request_approval(turn, ApprovalKind.ACTION, action, reason, self.gate.alike(action, decision.rule))
        elif action.effect == Effect.READ:
            await self._carry_out(turn, action, decision)
        else:
            turn.state.pending = action

    async def perform(self, turn: Turn) -> None:
        """The turn of a write or program: intent first, effect after."""
        state = turn.state
        action, approved = state.pending, state.approved
        assert action is not None
        state.pending = state.approved = None
        decision = self.gate.judge(action, approved)
        if decision.permit is None:
            self.refuse(turn, action, decision.rule, decision.reason)
            return
        await self.journal.intend(action, state.turns)
        await self._carry_out(turn, action, decision)

    async def _carry_out(self, turn: Turn, action: Action, decision: GateDecision) -> None:
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
        if self.gate.vault:  # a file or a program may tell one, too
            seen = replace(seen, text=self.gate.vault.hide(seen.text), seen=seen.seen and _hidden(seen.seen, self.gate.vault))
        step = WorkStep(summary=action.summary, action=action, observation=seen.text, ok=seen.ok, labels=seen.labels)
        payload = {"block": block.number, "action_id": action.id, "observation": seen.text, "seconds": round(time.monotonic() - started, 3)}
        payload |= {k: v for k, v in {"screenshot": seen.screenshot, "url": seen.url}.items() if v}
        turn.events.append(NewEvent(type=EventType.ACTION_DONE, agent=action.agent, payload=payload, labels=seen.labels))
        for artifact in seen.artifacts:
            turn.say(EventType.ARTIFACT, action.agent, **artifact)
        remember(state, action, seen)
        if action.kind.startswith("tool."):
            state.reads.append(Read(tool=action.target, arguments=action.arguments, text=seen.text))
        if seen.unknown:
            self._ask_about(turn, action, seen.text)
        else:
            block.steps.append(step)

    def refuse(self, turn: Turn, action: Action, rule: str, reason: str) -> None:
        """Tell the member once; the same wish again, or too many wishes, ends the run as refused: there is no planning around a refusal."""
        state, block = turn.state, turn.block
        block.steps.append(WorkStep(summary=action.summary, action=action, observation=f"Refused: {reason}", ok=False))
        again = action.digest in state.refused
        state.refused.append(action.digest)
        if again or len(state.refused) >= self.max_refusals:
            refusal = {
                "code": rule,
                "reason": reason,
                "evidence": action.summary,
                "alternative": "Change the task's sites or policy, or do this step yourself.",
            }
            turn.end(Outcome(status="refused", refusal=refusal))

    def _request_approval(self, turn: Turn, kind: ApprovalKind, action: Action, reason: str, alike: Alike | None = None) -> None:
        words = alike.words if alike else ""
        turn.state.waiting = Waiting(id=new_id("appr"), kind=kind, action=action, reason=reason, alike=alike, alike_words=words)
        turn.say(
            EventType.APPROVAL_REQUESTED,
            action.agent,
            approval_id=turn.state.waiting.id,
            kind=kind,
            action=action.model_dump(mode="json"),
            reason=reason,
            alike=words,
        )

    async def look_back(self, turn: Turn) -> bool:
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

    def _ask_about(self, turn: Turn, action: Action, seen: str) -> None:
        """An effect with unknown outcome is never silently repeated: its person says whether to try again or to take it as done."""
        turn.say(EventType.ACTION_UNKNOWN, action.agent, action_id=action.id, action=action.model_dump(mode="json"))
        reason = f"It may or may not have happened. {seen} Approve to try it again, reject to go on without."
        self._request_approval(turn, ApprovalKind.UNKNOWN_OUTCOME, action, reason)


def remember(state: TeamState, action: Action, seen: Observation) -> None:
    """What was done and read, for the gate; the same page read again counts once, and texts above a bound are not kept."""
    done = deed(action) if seen.done and not action.kind.startswith(("tool.", "code.")) else None
    read = seen.seen
    if read is not None and sum(len(one.text) for one in state.seen) > MOST:
        read = read.model_copy(update={"text": ""})
    state.seen += [one for one in (done, read) if one is not None and (one.what == "deed" or one not in state.seen)]


def _beware(state: TeamState) -> str:
    """A sentence for whoever is asked, where something that was read lately speaks to the assistant as if it were its person."""
    for seen in reversed(state.seen[-_LATELY:]):
        if seen.what != "deed" and (words := alarm(seen.text)):
            return f"Beware: {seen.where or 'a program'} speaks to the assistant (“{words}”)."
    return ""


def _hidden(seen: Seen, vault: Vault) -> Seen:
    return seen.model_copy(update={"text": vault.hide(seen.text)})


def _reaches_out(action: Action) -> bool:
    """Whether this changes something outside the run's own workspace and sandbox, where doing it twice is not doing it once."""
    saves = action.kind in ("web.save_table", "web.download")
    return action.effect != Effect.READ and action.kind.startswith(("web.", "tool.")) and not saves
