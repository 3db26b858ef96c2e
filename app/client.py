"""The API's client: REST, and an event stream that resumes after a cut. Used by the CLI and the UI; synchronous, because both are."""

import secrets
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from app import errors
from app.config import Settings
from app.events import Event
from app.policies.base import PolicyFile, PolicyItem
from app.registry import Promotion, RegistryView
from app.schemas import (
    Approval,
    ApprovalDecision,
    ApprovalStatus,
    Artifact,
    Example,
    Health,
    MessageCreate,
    Page,
    Run,
    RunStatus,
    Task,
    TaskCreate,
    TaskStarted,
    UploadedFile,
)
from app.training import Curves, Job

T = TypeVar("T", bound=BaseModel)
STREAM_SILENCE_S = 30.0  # the server pings every 10 seconds


def _known_errors(base: type[errors.KeepsakeError]) -> dict[str, type[errors.KeepsakeError]]:
    return {base.code: base} | {code: kind for sub in base.__subclasses__() for code, kind in _known_errors(sub).items()}


class KeepsakeClient:
    """One API. Every method raises the typed error that the API names, or SetupError when nothing answers.

    `patience_s` bounds how long a cut event stream tries to come back.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self.patience_s = patience_s
        self._http = httpx.Client(
            base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=timeout_s, transport=transport, trust_env=False
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> "KeepsakeClient":
        """The API of these settings, with the key that it left at its first start. Raises SetupError when there is none."""
        try:
            key = settings.key_path.read_text().strip()
        except OSError:
            raise errors.SetupError("There is no API key to read.", hint="`keepsake up` starts the service and makes one.") from None
        return cls(settings.effective_api_url, key)

    # Files and tasks

    def upload(self, name: str, data: bytes) -> UploadedFile:
        return self._post(UploadedFile, "/v1/files", files={"file": (name, data)})

    def upload_path(self, path: Path) -> UploadedFile:
        """Raises InvalidInput when the file cannot be read."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise errors.InvalidInput(f"`{path}` cannot be read: {error.strerror}.", hint="Give the path of a file.") from None
        return self.upload(path.name, data)

    def file(self, file_id: str) -> UploadedFile:
        return self._get(UploadedFile, f"/v1/files/{file_id}")

    def create_task(self, task: TaskCreate, *, start: bool = True, idempotency_key: str | None = None) -> TaskStarted:
        return self._post(
            TaskStarted, "/v1/tasks", json=task.model_dump(mode="json"), params={"start": start}, idempotency_key=idempotency_key
        )

    def tasks(self, cursor: str | None = None, limit: int = 50) -> Page[Task]:
        return self._get(Page[Task], "/v1/tasks", cursor=cursor, limit=limit)

    def task(self, task_id: str) -> Task:
        return self._get(Task, f"/v1/tasks/{task_id}")

    def delete_task(self, task_id: str) -> None:
        self._send("DELETE", f"/v1/tasks/{task_id}")

    def examples(self) -> list[Example]:
        """Tasks that work at once; none when no worlds are running."""
        return self._get(Page[Example], "/v1/examples").items

    def policies(self) -> list[PolicyItem]:
        """How freely a run may act: Keepsake's own policies, and the person's files."""
        return self._get(Page[PolicyItem], "/v1/policies").items

    def try_policy(self, policy: str | PolicyFile, runs: Sequence[str] = (), last: int = 20) -> dict[str, Any]:
        """What a policy would have asked in past runs: an agents.safety.log.Trial."""
        wanted = policy.model_dump(mode="json") if isinstance(policy, PolicyFile) else policy
        return self._send("POST", "/v1/policies/try", json={"policy": wanted, "runs": list(runs), "last": last}).json()

    # Runs

    def start_run(self, task_id: str) -> Run:
        return self._post(Run, f"/v1/tasks/{task_id}/runs")

    def runs(self, cursor: str | None = None, limit: int = 50, *, status: RunStatus | None = None, task_id: str | None = None) -> Page[Run]:
        path = f"/v1/tasks/{task_id}/runs" if task_id else "/v1/runs"
        return self._get(Page[Run], path, cursor=cursor, limit=limit, status=status.value if status and not task_id else None)

    def run(self, run_id: str) -> Run:
        return self._get(Run, f"/v1/runs/{run_id}")

    def decisions(self, run_id: str) -> dict[str, Any]:
        """What the gate decided in a run, with all that it was told: an agents.safety.log.Record."""
        return self._send("GET", f"/v1/runs/{run_id}/decisions").json()

    def cancel(self, run_id: str) -> Run:
        return self._post(Run, f"/v1/runs/{run_id}/cancel")

    def pause(self, run_id: str) -> Run:
        return self._post(Run, f"/v1/runs/{run_id}/pause")

    def resume(self, run_id: str) -> Run:
        return self._post(Run, f"/v1/runs/{run_id}/resume")

    def message(self, run_id: str, text: str) -> Run:
        return self._post(Run, f"/v1/runs/{run_id}/messages", json=MessageCreate(text=text).model_dump())

    # Events

    def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[Event]:
        """Events with seq > `after` that exist now, at most `limit`."""
        return self._get(Page[Event], f"/v1/runs/{run_id}/events", after=after, limit=limit).items

    def all_events(self, run_id: str) -> Iterator[Event]:
        """Every event that exists now."""
        after = 0
        while batch := self.events(run_id, after):
            yield from batch
            after = batch[-1].seq

    def stream(self, run_id: str, after: int = 0) -> Iterator[Event]:
        """Events as they happen, each once and in order, until the run has ended. Comes back after a cut where it was; raises SetupError when
        the API stays away for `patience_s`."""
        lost_at: float | None = None
        while True:
            try:
                for event in self._stream_once(run_id, after):
                    lost_at = None
                    if event.seq > after:
                        after = event.seq
                        yield event
                if self._is_over(run_id, after):
                    return
                lost_at = lost_at or time.monotonic()
            except (errors.SetupError, errors.StorageError):
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > self.patience_s:
                    raise
            time.sleep(min(0.2 + (time.monotonic() - lost_at) / 4, 3.0))

    # Approvals and artifacts

    def approvals(
        self, cursor: str | None = None, limit: int = 50, *, status: ApprovalStatus | None = None, run_id: str | None = None
    ) -> Page[Approval]:
        return self._get(
            Page[Approval], "/v1/approvals", cursor=cursor, limit=limit, status=status.value if status else None, run_id=run_id
        )

    def approval(self, approval_id: str) -> Approval:
        return self._get(Approval, f"/v1/approvals/{approval_id}")

    def decide(self, approval_id: str, decision: ApprovalDecision) -> Approval:
        return self._post(Approval, f"/v1/approvals/{approval_id}/decide", json=decision.model_dump(mode="json"))

    def artifacts(self, run_id: str, cursor: str | None = None, limit: int = 50) -> Page[Artifact]:
        return self._get(Page[Artifact], f"/v1/runs/{run_id}/artifacts", cursor=cursor, limit=limit)

    def artifact(self, artifact_id: str) -> Artifact:
        return self._get(Artifact, f"/v1/artifacts/{artifact_id}")

    def artifact_content(self, artifact_id: str) -> bytes:
        return self._send("GET", f"/v1/artifacts/{artifact_id}/content").content

    # Training

    def training_jobs(self) -> list[Job]:
        """Newest first."""
        return self._get(Page[Job], "/v1/training/jobs").items

    def training_job(self, name: str) -> Job:
        return self._get(Job, f"/v1/training/jobs/{name}")

    def training_curves(self, name: str) -> Curves:
        return self._get(Curves, f"/v1/training/jobs/{name}/metrics")

    def training_versions(self) -> RegistryView:
        """The registry: versions, aliases, what is served, the promotion under way or the last one."""
        return self._get(RegistryView, "/v1/training/versions")

    def training_card(self, version: str) -> str:
        """The version's model card, Markdown."""
        return self._send("GET", f"/v1/training/versions/{version}/card").text

    def promote_version(self, version: str) -> Promotion:
        """Start it; `training_versions` says how it goes."""
        return self._post(Promotion, f"/v1/training/versions/{version}/promote")

    def rollback_version(self) -> Promotion:
        """Start it; `training_versions` says how it goes."""
        return self._post(Promotion, "/v1/training/rollback")

    # Health

    def ready(self) -> Health:
        """What the API says of itself, ready or not. Raises SetupError when nothing answers."""
        with _named(self.base_url):
            response = self._http.get("/readyz")
        return self._parsed(Health, response)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "KeepsakeClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Requests

    def _get(self, kind: type[T], path: str, **params: Any) -> T:
        response = self._send("GET", path, params={k: v for k, v in params.items() if v is not None})
        return self._parsed(kind, response)

    def _post(self, kind: type[T], path: str, *, idempotency_key: str | None = None, **request: Any) -> T:
        """POST under one Idempotency-Key, tried once more when the connection broke: the server carries it out once."""
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        try:
            response = self._send("POST", path, headers=headers, **request)
        except errors.SetupError:
            time.sleep(0.2)
            response = self._send("POST", path, headers=headers, **request)
        return self._parsed(kind, response)

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        with _named(self.base_url):
            response = self._http.request(method, path, **request)
        if response.is_error:
            raise _error_of(response)
        return response

    def _parsed(self, kind: type[T], response: httpx.Response) -> T:
        """Raises SetupError when what answered is not our API (another service on the port, a proxy's page)."""
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            message = f"What answers at {self.base_url} is not Keepsake's API ({response.status_code})."
            raise errors.SetupError(message, hint="`keepsake status` says where the API is; KEEPSAKE_API_URL names it.") from error

    def _stream_once(self, run_id: str, after: int) -> Iterator[Event]:
        """Events of one connection. Raises SetupError when it breaks."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        timeout = httpx.Timeout(10.0, read=STREAM_SILENCE_S)
        with (
            _named(self.base_url),
            self._http.stream("GET", f"/v1/runs/{run_id}/events", headers=headers, timeout=timeout) as response,
        ):
            if response.is_error:
                response.read()
                raise _error_of(response)
            for line in _lines(response.iter_bytes()):
                if line.startswith(b"data:"):
                    yield Event.model_validate_json(line[5:])

    def _is_over(self, run_id: str, after: int) -> bool:
        """Whether a stream that ended without a break had nothing more to say."""
        return self.run(run_id).status.ended and not self.events(run_id, after, limit=1)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines. Only a line feed ends one: httpx also breaks at U+2028 and its like, which may stand in the data."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


@contextmanager
def _named(base_url: str) -> Generator[None]:
    """The boundary: what the transport raises becomes a SetupError."""
    try:
        yield
    except httpx.TransportError as error:
        raise errors.SetupError(
            f"The API at {base_url} does not answer ({type(error).__name__}).",
            hint="`keepsake up` starts it, `keepsake status` looks at it.",
        ) from error


def _error_of(response: httpx.Response) -> errors.KeepsakeError:
    """The typed error that a problem document names; an unknown one keeps its words."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, Mapping):
        problem = {}
    kind = _known_errors(errors.KeepsakeError).get(str(problem.get("code")), errors.KeepsakeError)
    detail = str(problem.get("detail") or f"The API answered {response.status_code}.")
    return kind(detail, hint=str(problem.get("hint") or ""), status=response.status_code)
