"""SQLModel tables. Rows are written by backend.store alone; the API shows app.schemas models, never rows.

JSON stays plain JSON on PostgreSQL too: nothing is queried inside it, and JSONB refuses NUL escapes that pages and programs may contain.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, ForeignKey, MetaData, Text, UniqueConstraint, false
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

# Named constraints, so that Alembic can alter them on SQLite.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA: MetaData = SQLModel.metadata


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite drops the zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(nullable: bool = False) -> Any:
    return (
        Field(default=None, sa_column=Column(UtcDateTime(), nullable=True))
        if nullable
        else Field(sa_type=UtcDateTime, default_factory=_now)
    )


def _json(nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=nullable))


def _owner(target: str, primary_key: bool = False) -> Any:
    """A foreign key whose row goes with its owner."""
    return Field(sa_column=Column(ForeignKey(target, ondelete="CASCADE"), primary_key=primary_key, nullable=False, index=not primary_key))


class TaskRow(SQLModel, table=True):
    """What a person asked for; `spec` is a TaskCreate."""

    __tablename__ = "tasks"
    id: str = Field(primary_key=True)
    created_at: datetime = _moment()
    spec: dict[str, Any] = _json(nullable=False)


class UploadRow(SQLModel, table=True):
    __tablename__ = "uploads"
    id: str = Field(primary_key=True)
    name: str
    size: int
    sha256: str = Field(index=True)
    created_at: datetime = _moment()


class TaskFileRow(SQLModel, table=True):
    """An upload that a task takes along, under the name it has in the workspace."""

    __tablename__ = "task_files"
    task_id: str = _owner("tasks.id", primary_key=True)
    upload_id: str = _owner("uploads.id", primary_key=True)
    name: str
    position: int


class RunRow(SQLModel, table=True):
    """One attempt at a task and all that its next turn needs.

    `segment` numbers the stretches of work between waits; (id, segment) names the durable workflow. `claim` is the token of the one try that
    may commit the next turn: whoever ends, pauses or restarts the run takes it away. `waits_since` is the seq at which a wait began.
    """

    __tablename__ = "runs"
    id: str = Field(primary_key=True)
    task_id: str = _owner("tasks.id")
    status: str = Field(index=True)
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    turns: int = 0
    tokens: int = 0
    seconds: float = 0.0
    answer: str | None = Field(default=None, sa_column=Column(Text))
    refusal: dict[str, Any] | None = _json()
    error: dict[str, Any] | None = _json()
    state: dict[str, Any] | None = _json()
    last_seq: int = 0
    segment: int = 1
    claim: str | None = None
    claim_turn: int = -1
    waits_since: int = 0
    resume_reason: str = ""
    restarts: int = 0


class EventRow(SQLModel, table=True):
    """Append-only; (run_id, seq) is the key, so a number exists once or not at all."""

    __tablename__ = "events"
    run_id: str = _owner("runs.id", primary_key=True)
    seq: int = Field(primary_key=True)
    time: datetime = _moment()
    type: str
    step: int = 0
    agent: str | None = None
    payload: dict[str, Any] = _json(nullable=False)
    labels: list[str] = _json(nullable=False)


class IntentRow(SQLModel, table=True):
    """An effect that was about to be tried in `turn`. Unresolved while its run has not committed that turn."""

    __tablename__ = "intents"
    run_id: str = _owner("runs.id", primary_key=True)
    action_id: str = Field(primary_key=True)
    turn: int
    action: dict[str, Any] = _json(nullable=False)
    created_at: datetime = _moment()


class ApprovalRow(SQLModel, table=True):
    """A question to a person, decided once. `taken_in` is the turn that carried the decision out."""

    __tablename__ = "approvals"
    id: str = Field(primary_key=True)
    run_id: str = _owner("runs.id")
    kind: str
    status: str = Field(index=True)
    action: dict[str, Any] | None = _json()
    plan: list[dict[str, Any]] | None = _json()
    edited_plan: list[dict[str, Any]] | None = _json()
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    alike: str = Field(default="", sa_column_kwargs={"server_default": ""})
    for_run: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    edits: dict[str, str] | None = _json()
    explanation: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = _moment()
    decided_at: datetime | None = _moment(nullable=True)
    taken_in: int | None = None


class MessageRow(SQLModel, table=True):
    """A person's word; `seq` is that of its event, `taken_in` the turn that read it."""

    __tablename__ = "messages"
    run_id: str = _owner("runs.id", primary_key=True)
    seq: int = Field(primary_key=True)
    text: str = Field(sa_column=Column(Text, nullable=False))
    taken_in: int | None = None


class ArtifactRow(SQLModel, table=True):
    """A file that a run produced; its bytes lie on disk under their SHA-256. The same name and content in one run is one artifact."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("run_id", "name", "sha256"),)
    id: str = Field(primary_key=True)
    run_id: str = _owner("runs.id")
    name: str
    media_type: str
    size: int
    sha256: str = Field(index=True)
    created_at: datetime = _moment()


class ApiKeyRow(SQLModel, table=True):
    """`digest` is the SHA-256 of a 256-bit secret; the secret itself is stored nowhere. `scope`: see backend.store.keys.Scope."""

    __tablename__ = "api_keys"
    id: str = Field(primary_key=True)
    digest: str
    scope: str = Field("admin", sa_column_kwargs={"server_default": "admin"})
    created_at: datetime = _moment()


class IdempotencyRow(SQLModel, table=True):
    """The first answer to a POST with an Idempotency-Key. `status` is None while it is in flight in process `owner`."""

    __tablename__ = "idempotency"
    api_key: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    owner: str
    status: int | None = None
    headers: dict[str, str] | None = _json()
    body: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = _moment()


class WorkerRow(SQLModel, table=True):
    """A worker's last sign of life. `model`: `ok`, what is wrong with its model endpoint, or nothing when it did not ask."""

    __tablename__ = "workers"
    id: str = Field(primary_key=True)
    seen_at: datetime = _moment()
    model: str | None = None
