"""The state of a run's team: plain JSON between turns, so that a run can stop and go on in another process."""

from copy import deepcopy
from typing import Any, Literal

from pydantic import BaseModel, Field

from agents.safety.log import Log
from agents.safety.outside import Read
from agents.safety.seen import Seen
from agents.safety.standing import Alike
from agents.stream import Stream
from app.events import NewEvent
from app.schemas import Action, ApprovalKind, Site


class PlanStep(BaseModel):
    number: int
    agent: str
    instruction: str


class TaskLedger(BaseModel):
    """Magentic-One's task ledger (arXiv 2411.04468): what is known, what is not, and the plan."""

    given: list[str] = Field(default_factory=list)
    look_up: list[str] = Field(default_factory=list)
    derive: list[str] = Field(default_factory=list)
    guesses: list[str] = Field(default_factory=list)
    plan: list[PlanStep] = Field(default_factory=list)
    revision: int = 0


class ProgressLedger(BaseModel):
    """Magentic-One's five questions, answered."""

    satisfied: bool
    in_loop: bool
    progress: bool
    next_speaker: str | None = None
    instruction: str = ""
    plan_step: int | None = None
    reasons: dict[str, str] = Field(default_factory=dict)


class WorkStep(BaseModel):
    """One thing an agent did inside a block: the action in a few words, and what came back."""

    summary: str
    action: Action | None = None
    observation: str = ""
    ok: bool = True
    labels: list[str] = Field(default_factory=list)


class Block(BaseModel):
    """An open stretch of work: one instruction to one agent. It closes with a memento."""

    number: int
    agent: str
    instruction: str
    plan_step: int | None = None
    steps: list[WorkStep] = Field(default_factory=list)
    result: str | None = None
    failed: bool = False
    scratch: dict[str, Any] = Field(default_factory=dict, description="The member's own notes for this block; JSON.")
    seen: list[str] = Field(default_factory=list, description="Labels of what was looked at without a step.")

    @property
    def labels(self) -> list[str]:
        """Where all that went into this block came from."""
        return sorted({*self.seen, *(label for step in self.steps for label in step.labels)})


class Memento(BaseModel):
    """What stays of a block. `labels` is the join of the block's labels."""

    block: int
    agent: str
    text: str
    plan_step: int | None = None
    failed: bool = False
    labels: list[str] = Field(default_factory=list)
    tokens: int = 0
    block_tokens: int = 0


class Waiting(BaseModel):
    """Why a run stands still, and the stored, canonical thing it waits to do. The next turn carries the decision out."""

    id: str
    kind: ApprovalKind | Literal["input"]
    action: Action | None = None
    question: str = ""
    reason: str = ""
    alike: Alike | None = Field(None, description="What a person may allow for the rest of the run.")
    alike_words: str = ""


class Outcome(BaseModel):
    """How a run ended. `answer` for succeeded, `refusal` {code, reason, evidence, alternative} for refused, `error` for failed."""

    status: Literal["succeeded", "failed", "refused"]
    answer: str | None = None
    refusal: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class TeamState(BaseModel):
    """Everything a team needs to take its next turn."""

    version: Literal[1] = 1
    task: str
    sites: list[Site] = Field(default_factory=list)
    review_plan: bool = False
    phase: Literal["plan", "ledger", "act", "memento", "final", "done"] = "plan"
    turns: int = 0
    ledger: TaskLedger = Field(default_factory=TaskLedger)
    progress: ProgressLedger | None = None
    block: Block | None = None
    mementos: list[Memento] = Field(default_factory=list)
    steers: list[str] = Field(default_factory=list, description="The person's words during the run; they stay in the ledger.")
    handoff: str | None = Field(None, description="Member whose turn comes next without asking the model (code waits for its executor).")
    pending: Action | None = Field(
        None, description="A write or program that may run: it has a turn of its own, intent first, effect after."
    )
    approved: str | None = Field(None, description="Digest that a person approved for `pending`.")
    refused: list[str] = Field(
        default_factory=list, description="Digests that the gate or a person refused; proposing one again ends the run."
    )
    waiting: Waiting | None = None
    outcome: Outcome | None = None
    stalls: int = 0
    replans: int = 0
    blocks: int = 0
    full_tokens: int = Field(0, description="Tokens that the context would hold without mementos.")
    stream: Stream | None = Field(None, description="The conversation with the model, where a run is one; None: every prompt stands alone.")
    reads: list[Read] = Field(default_factory=list, description="What tools of outside agents were called with, and what they gave.")
    seen: list[Seen] = Field(default_factory=list, description="What the house's own members read and did, for the gate.")
    given: list[str] | None = Field(None, description="Files that lay in the workspace when the run began.")
    log: Log = Field(default_factory=Log, description="Where the chain of the gate's decisions ends.")
    memory: dict[str, Any] = Field(default_factory=dict, description="By member: JSON that outlives a block (browser address, inputs).")

    def fork(self) -> "TeamState":
        """A copy that a turn may change. What a turn only appends to or replaces (mementos, steps, ledgers) is shared, not copied."""
        block = self.block and self.block.model_copy(update={"steps": list(self.block.steps), "scratch": deepcopy(self.block.scratch)})
        fresh = {"mementos": list(self.mementos), "steers": list(self.steers), "refused": list(self.refused), "reads": list(self.reads)}
        stream = self.stream and self.stream.fork()
        fresh_gate = {"seen": list(self.seen), "log": self.log.model_copy()}
        return self.model_copy(update={**fresh, **fresh_gate, "block": block, "stream": stream, "memory": deepcopy(self.memory)})


class Decision(BaseModel):
    """A person's decision on what a run waits for."""

    waiting_id: str
    approved: bool
    explanation: str = ""
    plan: list[PlanStep] | None = None
    alike: bool = Field(False, description="Approved for the rest of the run, too, where what waits may be.")
    edits: dict[str, str] = Field(default_factory=dict, description="Arguments of the action as the person wants them.")


class Inbox(BaseModel):
    """What arrived since the last turn."""

    decisions: list[Decision] = Field(default_factory=list)
    messages: list[str] = Field(default_factory=list)


class TurnResult(BaseModel):
    """A turn's outcome: the state to store and the events to append, together or not at all."""

    state: TeamState
    events: list[NewEvent]
