"""/v1/runs: attempts at tasks, and the person's hand on them."""

from fastapi import APIRouter

from agents.safety.log import Record
from app.schemas import MessageCreate, Page, Run, RunStatus
from backend.api.parameters import Cursor, Limit, StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1/runs", tags=["runs"])
_ACT = documented(400, 401, 404, 409, 413, 422, 503)


@router.get("", responses=documented(401, 422, 503))
async def list_runs(store: StoreDep, limit: Limit = 50, cursor: Cursor = None, status: RunStatus | None = None) -> Page[Run]:
    """Runs of all tasks, newest first."""
    return await store.runs.page(cursor, limit, status=status)


@router.get("/{run_id}", responses=documented(401, 404, 422, 503))
async def get_run(store: StoreDep, run_id: str) -> Run:
    return await store.runs.get(run_id)


@router.get("/{run_id}/decisions", responses=documented(401, 404, 422, 503))
async def get_decisions(store: StoreDep, run_id: str) -> Record:
    """What the gate decided, chained by hashes, with all that it was told: enough to make every decision again (`keepsake gate replay`)."""
    return await store.runs.decisions(run_id)


@router.post("/{run_id}/cancel", responses=_ACT)
async def cancel_run(store: StoreDep, run_id: str) -> Run:
    """End the run; a turn in flight is cut off."""
    return await store.runs.cancel(run_id)


@router.post("/{run_id}/pause", responses=_ACT)
async def pause_run(store: StoreDep, run_id: str) -> Run:
    """Let the run stand still; a turn in flight is cut off and taken again on resume."""
    return await store.runs.pause(run_id)


@router.post("/{run_id}/resume", responses=_ACT)
async def resume_run(store: StoreDep, run_id: str) -> Run:
    """Go on with a paused run, or with one that failed for a reason that may have passed."""
    return await store.runs.resume(run_id)


@router.post("/{run_id}/messages", status_code=202, responses=_ACT)
async def send_message(store: StoreDep, run_id: str, message: MessageCreate) -> Run:
    """Steer the team, or answer its question."""
    return await store.runs.message(run_id, message.text)
