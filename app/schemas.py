"""The words everyone shares: what a person asks for and what comes of it. The API, the UI, the CLI and the agents use the same models."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.effects import Effect as Effect
from app.policies.base import NAME, PolicyFile

T = TypeVar("T")


class Policy(StrEnum):
    """The policies that come with the package, see app/policies; a person's own have other names."""

    ASK_WRITES = "ask_writes"
    ASK_ALL = "ask_all"
    ALLOW_LISTED = "allow_listed"
    UNATTENDED = "unattended"


PolicyChoice = Annotated[Policy | PolicyFile | Annotated[str, StringConstraints(pattern=NAME)], Field(union_mode="left_to_right")]


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_INPUT = "awaiting_input"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.REFUSED, RunStatus.CANCELLED}


class Site(BaseModel):
    """A web site the person allows for a task. Its host and port are the grant; `profile` names a saved, logged-in browser profile."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="Short name that prompts use, such as `shop`.")
    url: str = Field(max_length=2000)
    profile: str | None = Field(None, pattern=r"^[a-z][a-z0-9_-]{0,31}$")


class Budgets(BaseModel):
    """Bounds of one run; reaching one ends it as failed with `budget_exceeded`."""

    model_config = ConfigDict(extra="forbid")
    steps: int = Field(80, ge=1, le=1000, description="Orchestrator turns.")
    tokens: int = Field(
        200_000, ge=100, le=20_000_000, description="Prompt and completion tokens together, less what the server had in its cache."
    )
    seconds: int = Field(1800, ge=1, le=86_400, description="Wall time while running (waits for a person do not count).")


class TaskCreate(BaseModel):
    """What a person asks for."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1)
    files: list[str] = Field(default_factory=list, max_length=100, description="Ids of uploaded files, put into the run's workspace.")
    sites: list[Site] = Field(default_factory=list, max_length=20)
    policy: PolicyChoice = Field(
        Policy.ASK_WRITES, description="One that comes with Keepsake, the name of a file of one's own, or a policy in full."
    )
    review_plan: bool = Field(False, description="Wait for the person to edit or accept the plan before the first action.")
    budgets: Budgets = Field(default_factory=lambda: Budgets())  # type: ignore[call-arg]


class Example(TaskCreate):
    """A task that works at once, because what it needs is running."""

    title: str


class Task(TaskCreate):
    id: str
    created_at: datetime


class Run(BaseModel):
    """One attempt at a task."""

    id: str
    task_id: str
    status: RunStatus
    created_at: datetime
    updated_at: datetime
    turns: int = 0
    tokens: int = 0
    seconds: float = 0.0
    answer: str | None = None
    refusal: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class TaskStarted(BaseModel):
    """A new task and its first run (None when it was created without one)."""

    task: Task
    run: Run | None = None


class UploadedFile(BaseModel):
    id: str
    name: str
    size: int
    sha256: str
    created_at: datetime


class Action(BaseModel):
    """One effect on the world in its canonical form: what the gate judges, a person approves and the journal records.

    `kind` is `<member>.<verb>` (`web.visit`, `web.click`, `web.type`, `web.select`, `web.save_table`, `web.download`, `files.read`,
    `files.write`, `code.run`, `tool.<name>`). `target` is what decides (URL, path, element with its form's method and address). `digest` binds
    an approval to exactly this action.
    """

    id: str
    agent: str
    kind: str
    effect: Effect
    target: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    summary: str = Field("", description="One line for a person.")

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides, independent of id and wording."""
        body = {
            "agent": self.agent,
            "kind": self.kind,
            "effect": self.effect,
            "target": self.target,
            "arguments": self.arguments,
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


_EDITABLE = {"web.type": ("text",), "files.write": ("text",), "code.run": ("code",)}


def editable(action: Action) -> dict[str, str]:
    """The arguments that a person may change before they approve: what is typed, written or run, and texts given to a tool from outside."""
    names = action.arguments if action.kind.startswith("tool.") else _EDITABLE.get(action.kind, ())
    return {name: value for name in names if isinstance(value := action.arguments.get(name), str)}


def edited(action: Action, edits: Mapping[str, str]) -> Action:
    """The action as its person wants it; what is no editable argument stays as it was. A box's text stands in its form, too."""
    changes = {name: text for name, text in edits.items() if name in editable(action) and text != action.arguments[name]}
    if not changes:
        return action
    arguments: dict[str, Any] = action.arguments | changes
    if action.kind == "web.type" and "form" in arguments:
        old = action.arguments["text"]
        arguments["form"] = {name: changes["text"] if value == old else value for name, value in arguments["form"].items()}
    return action.model_copy(update={"arguments": arguments})


class Verdict(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    REFUSE = "refuse"


class ApprovalKind(StrEnum):
    ACTION = "action"  # the gate asks
    UNKNOWN_OUTCOME = "unknown_outcome"  # a write was cut off: approve = try again, reject = count it as done and look
    PLAN = "plan"  # the plan waits for its person


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"  # the run ended first


class Approval(BaseModel):
    id: str
    run_id: str
    kind: ApprovalKind
    status: ApprovalStatus
    action: Action | None = None
    plan: list[dict[str, Any]] | None = None
    reason: str = ""
    alike: str = Field("", description="What may be allowed for the rest of the run instead, in words; empty where each is asked about.")
    explanation: str | None = None
    for_run: bool = Field(False, description="Whether it was approved for the rest of the run.")
    edits: dict[str, str] | None = Field(None, description="Arguments as the person changed them.")
    created_at: datetime
    expires_at: datetime | None = Field(None, description="A decision after this moment comes too late; the action counts as rejected.")
    decided_at: datetime | None = None


class ApprovalDecision(BaseModel):
    """Approve or reject, with a reason; for a plan, `plan` may carry the edited steps (list of {agent, instruction}). For an action, `for_run`
    allows what is alike for the rest of the run, and `edits` changes what is typed, written or run."""

    model_config = ConfigDict(extra="forbid")
    decision: ApprovalStatus = Field(description="`approved` or `rejected`.")
    explanation: str = Field("", max_length=4000)
    plan: list[dict[str, Any]] | None = None
    for_run: bool = False
    edits: dict[str, Annotated[str, Field(max_length=200_000)]] | None = Field(None, max_length=20)


class MessageCreate(BaseModel):
    """A person's word to a running team: a steer, or the answer to an agent's question."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(min_length=1, max_length=20_000)


class Artifact(BaseModel):
    id: str
    run_id: str
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime


class Page(BaseModel, Generic[T]):
    """A cursor page; `next_cursor` is opaque, None at the end."""

    items: list[T]
    next_cursor: str | None = None


class Health(BaseModel):
    status: str
    checks: dict[str, str] = Field(default_factory=dict)
