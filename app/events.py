"""Events of a run, and the one reducer that turns them into what a person sees.

Events are append-only and complete: UI, CLI, export, replay, verifier and training read events, never private state. `seq` counts from 1
without gaps inside a run. Screenshots and files are artifacts named in a payload, never bytes in an event.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from app.schemas import RunStatus


class EventType(StrEnum):
    """Type of an event; the comment gives its payload."""

    RUN_QUEUED = "run.queued"  # {task: {text, sites, files, policy}}
    RUN_STARTED = "run.started"  # {profile, model, members: [{name, description}]}
    RUN_RESUMED = "run.resumed"  # {reason}
    RUN_WAITING = "run.waiting"  # {status: awaiting_approval | awaiting_input | paused}
    RUN_FINISHED = "run.finished"  # {status, answer?, refusal?, error?}
    TASK_LEDGER = "ledger.task"  # {revision, given, look_up, derive, guesses, plan: [{number, agent, instruction}], by: model | person}
    PROGRESS_LEDGER = "ledger.progress"  # {satisfied, in_loop, progress, next_speaker, instruction, plan_step, reasons}
    LEDGER_REPAIRED = "ledger.repaired"  # {role, problem, repair}
    STALL = "stall"  # {stalls, limit}
    REPLAN = "replan"  # {number, limit, reason}
    BLOCK_OPENED = "block.opened"  # {block, agent, instruction, plan_step}
    BLOCK_TEXT = "block.text"  # {block, kind: reasoning | code | answer, text}
    THOUGHT = "thought"  # {block | null, <app.memento.thought.Thought>}: what a role call thought in blocks; null: outside the trail
    MEMENTO = "memento"  # {block, text, block_tokens, memento_tokens, estimated, context_tokens, full_context_tokens}
    ACTION_PROPOSED = "action.proposed"  # {block, action}
    GATE_DECIDED = "gate.decided"  # {block, action_id, verdict, reason, rule, log: agents.safety.log.Entry}
    APPROVAL_REQUESTED = "approval.requested"  # {approval_id, kind, action?, plan?, reason, alike?}
    APPROVAL_DECIDED = "approval.decided"  # {approval_id, decision, explanation, for_run?, edits?}
    ACTION_INTENT = "action.intent"  # {action_id, digest}: written before the effect is tried
    ACTION_DONE = "action.done"  # {block, action_id, observation, seconds, screenshot?, url?}
    ACTION_FAILED = "action.failed"  # {block, action_id, error}
    ACTION_UNKNOWN = "action.unknown"  # {action_id, action}: cut off between intent and outcome
    ARTIFACT = "artifact"  # {artifact_id, name, media_type, size}
    MODEL_CALL = "model.call"  # {role, prompt_tokens, completion_tokens, seconds, estimated, computed_tokens?, peak_kv_tokens?}
    MODEL_RETRY = "model.retry"  # {role, attempt, problem}
    INPUT_REQUESTED = "input.requested"  # {question}
    MESSAGE = "message"  # {text}: the person's word (steer or answer)
    WARNING = "warning"  # {message}
    ERROR = "error"  # {code, boundary, message, hint, retryable}


class Event(BaseModel):
    """One thing that happened. `labels` say where untrusted text in the payload came from, e.g. ["untrusted:web"]."""

    run_id: str
    seq: int = Field(ge=1)
    time: datetime
    type: EventType
    step: int = Field(0, ge=0, description="Orchestrator turn, from 0.")
    agent: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)
    labels: list[str] = Field(default_factory=list)


class NewEvent(BaseModel):
    """An event before the store gives it its run and number."""

    type: EventType
    agent: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)
    labels: list[str] = Field(default_factory=list)
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


class PlanStepView(BaseModel):
    number: int
    agent: str
    instruction: str
    status: str = "open"  # open | active | done


class BlockView(BaseModel):
    """A finished or open stretch of work: what was done, and the memento that stands for it."""

    number: int
    agent: str
    instruction: str
    plan_step: int | None = None
    entries: list[dict[str, Any]] = Field(
        default_factory=list, description="In order: text, thought, action, gate, observation, error, retry."
    )
    memento: str | None = None
    block_tokens: int = 0
    memento_tokens: int = 0
    estimated: bool = False
    labels: list[str] = Field(default_factory=list)


class RunView(BaseModel):
    """Everything a page, a terminal or an export shows of a run, computed from its events alone."""

    run_id: str = ""
    status: RunStatus = RunStatus.QUEUED
    task_text: str = ""
    last_seq: int = 0
    facts: dict[str, list[str]] = Field(default_factory=dict)
    plan: list[PlanStepView] = Field(default_factory=list)
    plan_revision: int = 0
    progress: dict[str, Any] | None = None
    blocks: list[BlockView] = Field(default_factory=list)
    approvals: dict[str, dict[str, Any]] = Field(default_factory=dict, description="By id: payload of the request plus `decision`.")
    question: str | None = None
    messages: list[str] = Field(default_factory=list)
    notices: list[dict[str, Any]] = Field(default_factory=list, description="Warnings, repairs, stalls, re-plans, errors, in order.")
    artifacts: list[dict[str, Any]] = Field(default_factory=list)
    screenshot: str | None = None
    url: str | None = None
    answer: str | None = None
    refusal: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    model_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_seconds: float = 0.0
    thoughts: list[dict[str, Any]] = Field(
        default_factory=list, description="The model's thoughts outside of blocks: plans, ledgers, answer."
    )
    evicted_tokens: int = Field(0, description="Tokens of thought that the model server has freed, in blocks and outside.")
    compactions: int = 0
    context: list[dict[str, int]] = Field(
        default_factory=list, description="Per memento: tokens the context holds, and would hold without mementos."
    )

    @property
    def pending_approvals(self) -> list[dict[str, Any]]:
        return [a for a in self.approvals.values() if "decision" not in a]

    def block(self, number: int | None) -> BlockView | None:
        return next((b for b in self.blocks if b.number == number), None)


_NOTICES = {
    EventType.LEDGER_REPAIRED,
    EventType.STALL,
    EventType.REPLAN,
    EventType.WARNING,
    EventType.ERROR,
    EventType.ACTION_UNKNOWN,
}
_ENTRY = {
    EventType.BLOCK_TEXT: "text",
    EventType.THOUGHT: "thought",
    EventType.ACTION_PROPOSED: "action",
    EventType.GATE_DECIDED: "gate",
    EventType.ACTION_DONE: "observation",
    EventType.ACTION_FAILED: "error",
}


def reduce_event(view: RunView, event: Event) -> RunView:
    """Take one event into `view` (changed in place and returned). An event at or below `last_seq` is a redelivery and changes nothing."""
    if event.seq <= view.last_seq:
        return view
    view.run_id, view.last_seq = event.run_id, event.seq
    p = event.payload
    kind = event.type
    if kind in _ENTRY:
        _add_entry(view, event, _ENTRY[kind])
    elif kind in _NOTICES:
        view.notices.append({"type": kind.value, "seq": event.seq, "step": event.step, **p})
    if kind == EventType.RUN_QUEUED:
        view.task_text, view.status = p["task"]["text"], RunStatus.QUEUED
    elif kind in {EventType.RUN_STARTED, EventType.RUN_RESUMED}:
        view.status = RunStatus.RUNNING
    elif kind == EventType.RUN_WAITING:
        view.status = RunStatus(p["status"])
    elif kind == EventType.RUN_FINISHED:
        view.status = RunStatus(p["status"])
        view.answer, view.refusal, view.error = p.get("answer"), p.get("refusal"), p.get("error")
        view.question = None
    elif kind == EventType.TASK_LEDGER:
        view.facts = {k: p.get(k, []) for k in ("given", "look_up", "derive", "guesses")}
        view.plan = [PlanStepView(**s) for s in p["plan"]]
        view.plan_revision = p["revision"]
    elif kind == EventType.PROGRESS_LEDGER:
        view.progress = p
        _mark_plan(view, p.get("plan_step"), p.get("satisfied", False))
    elif kind == EventType.BLOCK_OPENED:
        view.blocks.append(
            BlockView(number=p["block"], agent=event.agent or "", instruction=p["instruction"], plan_step=p.get("plan_step"))
        )
    elif kind == EventType.MEMENTO:
        _close_block(view, event)
    elif kind == EventType.APPROVAL_REQUESTED:
        view.approvals[p["approval_id"]] = dict(p)
    elif kind == EventType.APPROVAL_DECIDED:
        view.approvals.setdefault(p["approval_id"], {}).update(
            {k: v for k, v in p.items() if k in ("decision", "explanation", "for_run", "edits")}
        )
    elif kind == EventType.ARTIFACT:
        view.artifacts.append(p)
    elif kind == EventType.MODEL_CALL:
        view.model_calls += 1
        view.prompt_tokens += p["prompt_tokens"]
        view.completion_tokens += p["completion_tokens"]
        view.model_seconds += p["seconds"]
    elif kind == EventType.THOUGHT:
        view.evicted_tokens += p.get("evicted_tokens", 0)
        view.compactions += p.get("compactions", 0)
        if view.block(p.get("block")) is None:
            view.thoughts.append({"entry": "thought", "seq": event.seq, "labels": event.labels, **p})
    elif kind == EventType.MODEL_RETRY:
        _add_retry(view, event)
    elif kind == EventType.INPUT_REQUESTED:
        view.question = p["question"]
    elif kind == EventType.MESSAGE:
        view.messages.append(p["text"])
        view.question = None
    if kind == EventType.ACTION_DONE:
        view.screenshot = p.get("screenshot") or view.screenshot
        view.url = p.get("url") or view.url
    return view


def reduce_events(events: Iterable[Event], view: RunView | None = None) -> RunView:
    """Fold events into a view; pass an earlier view to go on from it."""
    view = view or RunView()
    for event in events:
        reduce_event(view, event)
    return view


def _add_entry(view: RunView, event: Event, kind: str) -> None:
    block = view.block(event.payload.get("block"))
    if block is None:
        return
    block.entries.append({"entry": kind, "seq": event.seq, "labels": event.labels, **event.payload})
    block.labels = sorted({*block.labels, *event.labels})


def _add_retry(view: RunView, event: Event) -> None:
    """A repeated model call belongs to the block that is open, else to the notices."""
    last = view.blocks[-1] if view.blocks else None
    if last is not None and last.memento is None:
        last.entries.append({"entry": "retry", "seq": event.seq, "labels": event.labels, **event.payload})
    else:
        view.notices.append({"type": event.type.value, "seq": event.seq, "step": event.step, **event.payload})


def _close_block(view: RunView, event: Event) -> None:
    p = event.payload
    block = view.block(p["block"])
    if block is None:
        return
    block.memento, block.block_tokens, block.memento_tokens = p["text"], p["block_tokens"], p["memento_tokens"]
    block.estimated = p.get("estimated", False)
    block.labels = sorted({*block.labels, *event.labels})
    view.context.append(
        {
            "block": block.number,
            "context_tokens": p.get("context_tokens", 0),
            "full_context_tokens": p.get("full_context_tokens", 0),
        }
    )


def _mark_plan(view: RunView, active: int | None, satisfied: bool) -> None:
    for step in view.plan:
        if satisfied or (active is not None and step.number < active):
            step.status = "done"
        elif step.number == active:
            step.status = "active"
        else:
            step.status = "open"
