"""A small API with recorded runs behind the real REST surface: what the UI is developed and tested against without a team, model or database."""

import io
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from PIL import Image, ImageDraw

from app.errors import Conflict, InvalidInput, KeepsakeError, NotFound, Unauthorised
from app.events import Event, EventType, NewEvent
from app.policies.files import offered
from app.registry import Promotion, PromotionStatus, RegistryView
from app.schemas import Run, RunStatus, Task, TaskCreate
from app.training import Job
from tests.ui import stories, trained
from tests.ui.stories import Step, Wait

KEY = "ks_test_key"


class FakeRun:
    """One run: its record, its events, and the steps still to come."""

    def __init__(self, task: Task, run_id: str, steps: list[Step], *, age_s: float = 0.0) -> None:
        now = datetime.now(UTC) - timedelta(seconds=age_s)
        self.task = task
        self.events: list[Event] = []
        self.steps = list(steps)
        self.waiting: Wait | None = None
        self.run = Run(id=run_id, task_id=task.id, status=RunStatus.QUEUED, created_at=now, updated_at=now)
        self.approvals: dict[str, dict[str, Any]] = {}

    def advance(self) -> bool:
        """Take one step; False when the run waits, is paused or has ended."""
        if self.run.status.ended or self.run.status == RunStatus.PAUSED or self.waiting or not self.steps:
            return False
        step = self.steps.pop(0)
        if isinstance(step, Wait):
            self.waiting = step
            self.run.status = step.status
            return False
        self.say(step)
        return True

    def say(self, new: NewEvent) -> None:
        now = datetime.now(UTC)
        turn = sum(1 for e in self.events if e.type in {EventType.MODEL_CALL, EventType.ACTION_DONE})
        body = new.model_dump() | {"run_id": self.run.id, "seq": len(self.events) + 1, "step": turn, "time": now}
        self.events.append(Event(**body))
        p = new.payload
        update: dict[str, Any] = {"updated_at": now, "turns": turn, "seconds": self.run.seconds + 0.4}
        if new.type == EventType.MODEL_CALL:
            update["tokens"] = self.run.tokens + p["prompt_tokens"] + p["completion_tokens"]
        elif new.type in {EventType.RUN_STARTED, EventType.RUN_RESUMED}:
            update["status"] = RunStatus.RUNNING
        elif new.type == EventType.RUN_WAITING:
            update["status"] = RunStatus(p["status"])
        elif new.type == EventType.RUN_FINISHED:
            update |= {"status": RunStatus(p["status"])} | {k: p[k] for k in ("answer", "refusal", "error") if k in p}
        elif new.type == EventType.APPROVAL_REQUESTED:
            self.approvals[p["approval_id"]] = {
                "id": p["approval_id"],
                "run_id": self.run.id,
                "kind": p["kind"],
                "status": "pending",
                "action": p.get("action"),
                "plan": p.get("plan"),
                "reason": p["reason"],
                "explanation": None,
                "created_at": now.isoformat(),
                "decided_at": None,
            }
        elif new.type == EventType.APPROVAL_DECIDED and p["approval_id"] in self.approvals:
            self.approvals[p["approval_id"]]["status"] = p["decision"]
        self.run = self.run.model_copy(update=update)

    def go_on(self, approved: bool, decided: NewEvent | None = None) -> None:
        assert self.waiting is not None
        branch = self.waiting.then if approved else self.waiting.refused
        self.waiting = None
        if decided is not None:
            self.say(decided)
        self.say(NewEvent(type=EventType.RUN_RESUMED, payload={"reason": "decided"}))
        first = branch[0] if branch else None
        if isinstance(first, NewEvent) and first.type == EventType.APPROVAL_DECIDED:
            branch = branch[1:]
        self.steps = [*branch, *self.steps]

    def end(self, status: RunStatus) -> None:
        self.steps, self.waiting = [], None
        self.say(NewEvent(type=EventType.RUN_FINISHED, payload={"status": status.value}))


class World:
    """Everything the fake API knows. `pace` is the time between two events of a live run, in seconds."""

    def __init__(self, pace: float = 0.15) -> None:
        self.lock = threading.RLock()
        self.pace = pace
        self.runs: dict[str, FakeRun] = {}
        self.tasks: dict[str, Task] = {}
        self.files = {"file_note": "note.txt"}
        self.examples = EXAMPLES
        self.blobs: dict[str, tuple[str, str, bytes]] = {
            "art_shop": ("shop.png", "image/png", picture()),
            "art_total": ("total.txt", "text/plain", b"53.90\n"),
        }
        self.checks: dict[str, str] = {"database": "ok", "worker": "ok", "model": "ok"}
        self.jobs: list[Job] = []
        self.registry = RegistryView()
        self.requests: list[tuple[str, str, Any]] = []
        self.policies = Path("no-such-folder")  # files of one's own policies
        self.down = False
        self._stop = threading.Event()

    def add(
        self, steps: list[Step], text: str, run_id: str | None = None, *, play: bool = True, age_s: float = 0.0, **task: Any
    ) -> FakeRun:
        """Add a task and a run; with `play` all steps up to the first wait happen at once, without it the run grows by `pace`."""
        with self.lock:
            number = len(self.runs) + 1
            item = Task(id=f"task_{number:04d}", created_at=datetime.now(UTC) - timedelta(seconds=age_s), text=text, **task)
            run = FakeRun(item, run_id or f"run_{number:04d}", steps, age_s=age_s)
            self.tasks[item.id] = item
            self.runs[run.run.id] = run
            while play and run.advance():
                pass
            return run

    def start(self) -> None:
        threading.Thread(target=self._tick, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _tick(self) -> None:
        while not self._stop.wait(self.pace):
            with self.lock:
                for run in self.runs.values():
                    run.advance()

    def run(self, run_id: str) -> FakeRun:
        if run_id not in self.runs:
            raise NotFound(f"There is no run `{run_id}`.", hint="See the list of runs.")
        return self.runs[run_id]


def picture() -> bytes:
    """A screenshot of a shop's page, drawn."""
    image = Image.new("RGB", (1280, 800), "#fdfcf8")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1280, 84), fill="#7a2e1d")
    draw.text((40, 26), "Riverside Shop", fill="white", font_size=32)
    draw.rounded_rectangle((780, 22, 1130, 62), 8, fill="white")
    draw.text((800, 30), "copper kettle", fill="#333333", font_size=22)
    draw.rectangle((40, 130, 520, 610), fill="#e9dfd2")
    draw.ellipse((150, 240, 410, 500), fill="#b8692a")
    draw.text((570, 140), "Copper Kettle", fill="#222222", font_size=54)
    draw.text((570, 230), "7.70", fill="#7a2e1d", font_size=46)
    draw.rounded_rectangle((570, 330, 790, 392), 10, fill="#7a2e1d")
    draw.text((604, 344), "Add to cart", fill="white", font_size=28)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


EXAMPLES = [
    {
        "title": "Price of seven kettles",
        "text": stories.LOOKUP_TEXT,
        "files": [],
        "sites": [{"name": "shop", "url": stories.SHOP}],
        "policy": "ask_writes",
        "review_plan": False,
    },
    {
        "title": "File a ticket from a note",
        "text": "Read note.txt and file a ticket about it in the tracker. Answer with the ticket's title.",
        "files": ["file_note"],
        "sites": [{"name": "tracker", "url": "http://127.0.0.1:8714", "profile": "tracker"}],
        "policy": "ask_writes",
        "review_plan": True,
    },
    {
        "title": "Order within a budget",
        "text": "Order two lamps from the shop for at most 40.00 together.",
        "files": [],
        "sites": [{"name": "shop", "url": stories.SHOP}],
        "policy": "ask_all",
        "review_plan": False,
    },
    {
        "title": "Important tickets as a table",
        "text": "Save the open tickets of severity Important to important.csv and answer with their number.",
        "files": [],
        "sites": [{"name": "tracker", "url": "http://127.0.0.1:8714", "profile": "tracker"}],
        "policy": "allow_listed",
        "review_plan": False,
    },
]


def story_for(text: str) -> list[Step]:
    tag = f"n{time.time_ns() % 10**9}"
    if "plan first" in text.lower():
        return stories.plan_review(tag)
    if "buy me" in text.lower():
        return stories.question()
    steps = stories.lookup(tag)
    steps[0] = stories.event(EventType.RUN_QUEUED, task={"text": text, "sites": [], "files": [], "policy": "ask_writes"})
    return steps


def create_app(world: World) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(KeepsakeError)
    async def problem(request: Request, error: KeepsakeError) -> JSONResponse:
        body = {"type": f"urn:keepsake:{error.code}", "title": error.code, "status": error.status, "detail": error.message}
        body |= {"code": error.code, "boundary": error.boundary, "hint": error.hint, "retryable": error.retryable}
        return JSONResponse(body, error.status, media_type="application/problem+json")

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        if world.down:
            return Response(status_code=503)
        if request.url.path.startswith("/v1") and request.headers.get("authorization") != f"Bearer {KEY}":
            return await problem(request, Unauthorised("The API key is missing or wrong.", hint="Use the key in <home>/api_key."))
        return await call_next(request)

    @app.get("/livez")
    def livez() -> dict[str, Any]:
        return {"status": "ok", "checks": {}}

    @app.get("/readyz")
    def readyz() -> JSONResponse:
        ready = all(v == "ok" for v in world.checks.values())
        return JSONResponse({"status": "ready" if ready else "not ready", "checks": world.checks}, 200 if ready else 503)

    @app.get("/v1/examples")
    def examples() -> dict[str, Any]:
        return {"items": world.examples, "next_cursor": None}

    @app.get("/v1/policies")
    def policies() -> dict[str, Any]:
        return {"items": [item.model_dump(mode="json") for item in offered(world.policies)]}

    @app.post("/v1/policies/try")
    async def try_policy(request: Request) -> dict[str, Any]:
        body = await request.json()
        world.requests.append(("POST", "/policies/try", body))
        line = {"number": 3, "action": "click Place order", "then": "ask (ask-pay)", "now": "refuse (refused-pay)", "reason": "Never."}
        counts = {"runs": 4, "actions": 31, "asked": 6, "refused": 0, "would_ask": 2, "would_refuse": 1}
        return counts | {"differing": {"run_done": [line]}}

    @app.get("/v1/files/{file_id}")
    def file(file_id: str) -> dict[str, Any]:
        if file_id not in world.files:
            raise NotFound(f"There is no file `{file_id}`.", hint="Upload it first.")
        now = datetime.now(UTC).isoformat()
        return {"id": file_id, "name": world.files[file_id], "size": 12, "sha256": "0" * 64, "created_at": now}

    @app.post("/v1/files", status_code=201)
    async def upload(file: UploadFile) -> dict[str, Any]:
        data = await file.read()
        if b"\0" in data:
            raise InvalidInput(f"`{file.filename}` is not a text file.", hint="Upload text, CSV or PDF.")
        identity = f"file_{len(world.files) + 1}"
        world.files[identity] = file.filename or "file"
        return {"id": identity, "name": file.filename, "size": len(data), "sha256": "0" * 64, "created_at": datetime.now(UTC).isoformat()}

    @app.post("/v1/tasks", status_code=202)
    async def create(request: Request) -> dict[str, Any]:
        body = await request.json()
        world.requests.append(("POST", "/tasks", body))
        if not str(body.get("text", "")).strip():
            raise InvalidInput("The task has no text.", hint="Say in a sentence or two what should be done.")
        if len(body["text"]) > 20_000:
            raise InvalidInput(
                f"The task's text has {len(body['text'])} characters; at most 20000 are taken.", hint="Put long material into a file."
            )
        unknown = [f for f in body.get("files", []) if f not in world.files]
        if unknown:
            raise InvalidInput(f"There is no file `{unknown[0]}`.", hint="Upload it first.")
        task = TaskCreate(**body)
        run = world.add(story_for(task.text), **task.model_dump(), play=False)
        with world.lock:
            run.advance()
        return {"task": run.task.model_dump(mode="json"), "run": run.run.model_dump(mode="json")}

    @app.get("/v1/tasks")
    def tasks() -> dict[str, Any]:
        return {"items": [t.model_dump(mode="json") for t in world.tasks.values()], "next_cursor": None}

    @app.get("/v1/tasks/{task_id}")
    def task(task_id: str) -> dict[str, Any]:
        if task_id not in world.tasks:
            raise NotFound(f"There is no task `{task_id}`.", hint="See the list of tasks.")
        return world.tasks[task_id].model_dump(mode="json")

    @app.delete("/v1/tasks/{task_id}", status_code=204)
    def delete(task_id: str) -> None:
        task(task_id)
        with world.lock:
            world.tasks.pop(task_id)
            world.runs = {k: r for k, r in world.runs.items() if r.task.id != task_id}

    @app.post("/v1/tasks/{task_id}/runs", status_code=202)
    def again(task_id: str) -> dict[str, Any]:
        task(task_id)
        old = world.tasks[task_id]
        run = world.add(story_for(old.text), **old.model_dump(exclude={"id", "created_at"}), play=False)
        return run.run.model_dump(mode="json")

    @app.get("/v1/runs")
    def runs(status: str | None = None, limit: int = 50, cursor: str | None = None, task_id: str | None = None) -> dict[str, Any]:
        found = sorted((r.run for r in world.runs.values()), key=lambda r: r.created_at, reverse=True)
        found = [r for r in found if (status is None or r.status == status) and (task_id is None or r.task_id == task_id)]
        start = int(cursor or 0)
        more = str(start + limit) if start + limit < len(found) else None
        return {"items": [r.model_dump(mode="json") for r in found[start : start + limit]], "next_cursor": more}

    @app.get("/v1/runs/{run_id}")
    def run(run_id: str) -> dict[str, Any]:
        return world.run(run_id).run.model_dump(mode="json")

    @app.post("/v1/runs/{run_id}/{verb}")
    async def steer(run_id: str, verb: str, request: Request) -> dict[str, Any]:
        item = world.run(run_id)
        body = await request.json() if await request.body() else None
        world.requests.append(("POST", f"/runs/{run_id}/{verb}", body))
        with world.lock:
            if item.run.status.ended:
                raise Conflict(f"The run has ended as {item.run.status}.", hint="Start it again.")
            if verb == "cancel":
                item.end(RunStatus.CANCELLED)
            elif verb == "pause":
                item.say(NewEvent(type=EventType.RUN_WAITING, payload={"status": "paused"}))
            elif verb == "resume":
                item.say(NewEvent(type=EventType.RUN_RESUMED, payload={"reason": "the person said so"}))
            elif verb == "messages":
                item.say(NewEvent(type=EventType.MESSAGE, payload={"text": body["text"]}))
                if item.waiting and item.waiting.status == RunStatus.AWAITING_INPUT:
                    item.go_on(True)
        return item.run.model_dump(mode="json")

    @app.get("/v1/runs/{run_id}/events")
    def events(run_id: str, after: int = 0, limit: int = 500) -> dict[str, Any]:
        with world.lock:
            found = world.run(run_id).events[after : after + limit]
        return {"items": [json.loads(e.model_dump_json()) for e in found], "next_cursor": None}

    @app.get("/v1/approvals")
    def approvals(status: str = "pending", run_id: str | None = None) -> dict[str, Any]:
        found = [a for r in world.runs.values() for a in r.approvals.values() if a["status"] == status and not r.run.status.ended]
        return {"items": [a for a in found if run_id is None or a["run_id"] == run_id], "next_cursor": None}

    @app.post("/v1/approvals/{approval_id}/decide")
    async def decide(approval_id: str, request: Request) -> dict[str, Any]:
        body = await request.json()
        world.requests.append(("POST", f"/approvals/{approval_id}/decide", body))
        with world.lock:
            for item in world.runs.values():
                found = item.approvals.get(approval_id)
                if found is None:
                    continue
                if found["status"] != "pending":
                    raise Conflict(f"This was decided already: {found['status']}.", hint="Reload the page.")
                decided = {"approval_id": approval_id, "decision": body["decision"], "explanation": body.get("explanation", "")}
                if body.get("plan"):
                    item.say(NewEvent(type=EventType.TASK_LEDGER, payload={"revision": 2, "plan": numbered(body["plan"]), "by": "person"}))
                item.go_on(body["decision"] == "approved", NewEvent(type=EventType.APPROVAL_DECIDED, payload=decided))
                return found
        raise NotFound(f"There is no approval `{approval_id}`.", hint="See the list of approvals.")

    @app.get("/v1/runs/{run_id}/artifacts")
    def artifacts(run_id: str) -> dict[str, Any]:
        return {"items": [e.payload | {"id": e.payload["artifact_id"]} for e in world.run(run_id).events if e.type == EventType.ARTIFACT]}

    @app.get("/v1/artifacts/{artifact_id}/content")
    def content(artifact_id: str) -> Response:
        if artifact_id not in world.blobs:
            raise NotFound(f"There is no artifact `{artifact_id}`.")
        _, media_type, data = world.blobs[artifact_id]
        return Response(data, media_type=media_type)

    @app.get("/v1/training/jobs")
    def jobs() -> dict[str, Any]:
        return {"items": [job.model_dump(mode="json") for job in world.jobs]}

    @app.get("/v1/training/jobs/{name}/metrics")
    def metrics(name: str) -> dict[str, Any]:
        return trained.curves(name).model_dump(mode="json")

    @app.get("/v1/training/versions")
    def versions() -> dict[str, Any]:
        return world.registry.model_dump(mode="json")

    @app.get("/v1/training/versions/{version}/card")
    def card(version: str) -> Response:
        return Response(trained.CARD, media_type="text/markdown")

    def begin(verb: Any, version: str) -> dict[str, Any]:
        world.requests.append(("POST", f"/training/{verb}", version))
        if world.registry.promotion and world.registry.promotion.status == PromotionStatus.RUNNING:
            raise Conflict("A promotion is under way.", hint="Wait until it has ended.")
        started = Promotion(verb=verb, version=version, status=PromotionStatus.RUNNING, message="starting", started=datetime.now(UTC))
        world.registry = world.registry.model_copy(update={"promotion": started})
        return started.model_dump(mode="json")

    @app.post("/v1/training/versions/{version}/promote", status_code=202)
    def promote(version: str) -> dict[str, Any]:
        return begin("promote", version)

    @app.post("/v1/training/rollback", status_code=202)
    def rollback() -> dict[str, Any]:
        return begin("rollback", world.registry.aliases.previous or "")

    return app


def numbered(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"agent": s["agent"], "instruction": s["instruction"], "number": i} for i, s in enumerate(steps, 1)]


def populated(pace: float = 0.15) -> World:
    """A world with every kind of run."""
    world = World(pace)
    world.add(stories.long(64, end=True), "Collect the prices of 64 products from the shop into prices.csv.", "run_long", age_s=86_400 * 2)
    world.add(stories.failed(), "Summarise the open tickets into tickets.csv.", "run_failed", age_s=7200)
    world.add(stories.refused(), "Read http://169.254.169.254/latest/meta-data and tell me what it says.", "run_refused", age_s=5400)
    done = world.add(stories.lookup("d"), stories.LOOKUP_TEXT, "run_done", age_s=3600)
    for name in ("appr_d1", "appr_d2"):
        decided = {"approval_id": name, "decision": "approved", "explanation": "go ahead"}
        done.go_on(True, NewEvent(type=EventType.APPROVAL_DECIDED, payload=decided))
        while done.advance():
            pass
    world.add(stories.lookup("a"), stories.LOOKUP_TEXT, "run_approval", age_s=240, sites=[{"name": "shop", "url": stories.SHOP}])
    world.add(stories.plan_review(), "Plan first, then find the price of a Copper Kettle.", "run_plan", age_s=200, review_plan=True)
    world.add(stories.question(), "Buy me a kettle. **Not** <b>markdown</b>.", "run_question", age_s=180)
    world.add(stories.unknown_outcome(), "Order two Copper Kettles.", "run_unknown", age_s=150)
    world.add(stories.long(7), "Collect the prices of 7 products from the shop into prices.csv.", "run_busy", age_s=65)
    world.add(stories.queued("Waits its turn."), "Waits its turn.", "run_queued", age_s=20)
    world.jobs, world.registry = trained.jobs(), trained.registry()
    return world
