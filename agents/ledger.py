"""The two ledgers made sound: a malformed one is repaired by fixed rules, and every repair is told.

The defects this answers are those of the stock MagenticOneOrchestrator: an unknown next speaker ends the run, a missing key ends the run.
"""

from dataclasses import dataclass

from agents.state import PlanStep, ProgressLedger, TaskLedger, TeamState


@dataclass(frozen=True)
class Repair:
    """What was wrong with a ledger and what was put in its place."""

    problem: str
    repair: str


def repair_plan(plan: list[PlanStep], members: dict[str, str], limit: int = 20) -> tuple[list[PlanStep], list[Repair]]:
    """A plan whose steps count from 1 and name members only. An empty plan gets one step for the first member."""
    repairs: list[Repair] = []
    steps = []
    for step in plan:
        if step.agent not in members:
            nearest = _nearest(step.agent, members)
            repairs.append(Repair(f"plan step {step.number} names `{step.agent}`, who is not in the team", f"given to {nearest}"))
            step = step.model_copy(update={"agent": nearest})
        if step.instruction.strip():
            steps.append(step)
    if len(steps) > limit:
        repairs.append(Repair(f"the plan has {len(steps)} steps", f"cut to {limit}"))
        steps = steps[:limit]
    return [s.model_copy(update={"number": i}) for i, s in enumerate(steps, 1)], repairs


def repair_progress(answer: ProgressLedger | None, state: TeamState, members: dict[str, str]) -> tuple[ProgressLedger, list[Repair]]:
    """A progress ledger that can be acted on. None (the model never gave a readable one) becomes the next open plan step."""
    repairs: list[Repair] = []
    if answer is None:
        step = next_open_step(state)
        if step is None:
            return ProgressLedger(satisfied=True, in_loop=False, progress=True), [Repair("no readable progress ledger", "the plan is done")]
        repairs.append(Repair("no readable progress ledger", f"took plan step {step.number}"))
        return _follow(step, progress=False), repairs
    if answer.satisfied:
        return answer, repairs
    update: dict[str, object] = {}
    planned = next((s for s in state.ledger.plan if s.number == answer.plan_step), None)
    if answer.next_speaker not in members:
        speaker = planned.agent if planned else _nearest(answer.next_speaker or "", members)
        repairs.append(Repair(f"next speaker `{answer.next_speaker}` is not in the team", f"took {speaker}"))
        update["next_speaker"] = speaker
    if not answer.instruction.strip():
        instruction = planned.instruction if planned else state.task
        repairs.append(Repair("the instruction is empty", "took the plan's words"))
        update["instruction"] = instruction
    if answer.plan_step is not None and planned is None:
        update["plan_step"] = None
    return answer.model_copy(update=update), repairs


def next_open_step(state: TeamState) -> PlanStep | None:
    """The first plan step that no successful memento stands for; plan steps done are told by `Memento.plan_step`."""
    done = {m.plan_step for m in state.mementos if not m.failed}
    return next((s for s in state.ledger.plan if s.number not in done), None)


def in_loop(state: TeamState, speaker: str, instruction: str) -> bool:
    """The same instruction to the same member led to the same memento twice already (the model's own word is not enough)."""
    if len(state.mementos) < 2 or state.progress is None:
        return False
    last, before = state.mementos[-1], state.mementos[-2]
    same = state.progress.next_speaker == speaker and state.progress.instruction == instruction
    return same and last.text == before.text and last.agent == before.agent == speaker


def describe(ledger: TaskLedger) -> str:
    """The task ledger as short lines: `given: …`, `look up: …`, `derive: …`, `guess: …`, then the plan."""
    facts = {"given": ledger.given, "look up": ledger.look_up, "derive": ledger.derive, "guess": ledger.guesses}
    lines = [f"{name}: {'; '.join(values)}" for name, values in facts.items() if values]
    return "\n".join([*lines, *plan_lines(ledger)])


def plan_lines(ledger: TaskLedger) -> list[str]:
    """`1 web: find …`, a line a step."""
    return [f"{s.number} {s.agent}: {s.instruction}" for s in ledger.plan]


def _follow(step: PlanStep, *, progress: bool) -> ProgressLedger:
    return ProgressLedger(
        satisfied=False, in_loop=False, progress=progress, next_speaker=step.agent, instruction=step.instruction, plan_step=step.number
    )


def _nearest(name: str, members: dict[str, str]) -> str:
    """The member whose name shares the longest prefix or is contained; the first member when none is near."""
    name = name.strip().lower()
    for member in members:
        if name and (member.lower() in name or name in member.lower()):
            return member
    return next(iter(members))
