"""/v1/tasks: what a person asks for."""

import asyncio
import logging
from typing import Annotated

from fastapi import APIRouter, Query, Response

from agents.web.storage import forget_session
from app.config import Settings
from app.errors import SetupError, StorageError
from app.schemas import Page, Run, Task, TaskCreate, TaskStarted
from backend.api.examples import read_examples
from backend.api.parameters import Cursor, EngineDep, Limit, StoreDep
from backend.problems import documented
from backend.workspaces import Workspaces

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])
log = logging.getLogger("keepsake.api")


@router.post("", status_code=201, responses=documented(400, 401, 409, 413, 422, 503))
async def create_task(
    store: StoreDep, response: Response, task: TaskCreate, start: Annotated[bool, Query(description="Also start a run.")] = True
) -> TaskStarted:
    """Create a task and, unless `start` is false, its first run."""
    created, run = await store.tasks.create(task, start)
    response.headers["Location"] = f"/v1/tasks/{created.id}"
    return TaskStarted(task=created, run=run)


@router.get("", responses=documented(401, 422, 503))
async def list_tasks(store: StoreDep, limit: Limit = 50, cursor: Cursor = None) -> Page[Task]:
    """Tasks, newest first."""
    return await store.tasks.page(cursor, limit)


@router.get("/{task_id}", responses=documented(401, 404, 422, 503))
async def get_task(store: StoreDep, task_id: str) -> Task:
    return await store.tasks.get(task_id)


@router.delete("/{task_id}", status_code=204, responses=documented(401, 404, 413, 422, 503))
async def delete_task(store: StoreDep, engine: EngineDep, task_id: str) -> None:
    """Delete a task with all its data: runs (a run under way is stopped), events, artifacts, workspaces, log-ins, durable steps, its files."""
    memories = await store.tasks.memories(task_id)
    run_ids = await store.tasks.delete(task_id, spare=await _offered(store.settings))
    for memory in memories:
        await asyncio.to_thread(forget_session, store.settings, memory.get("web", {}))
    workspaces = Workspaces(store.settings.data_dir, store.files.blobs)
    for run_id in run_ids:
        await asyncio.to_thread(workspaces.remove, run_id)
    try:
        await engine.forget(run_ids, await store.workers.alive())
    except StorageError as error:  # they hold ids and numbers only, and the worker sweeps them at its next start
        log.warning("steps of %s stay for now: %s", task_id, error.message)


async def _offered(settings: Settings) -> set[str]:
    """Files of the example tasks, which stay for the next one who takes the example."""
    try:
        return {file for example in await read_examples(settings) for file in example.files}
    except SetupError:
        return set()


@router.post("/{task_id}/runs", status_code=201, responses=documented(400, 401, 404, 409, 413, 422, 503))
async def create_run(store: StoreDep, response: Response, task_id: str) -> Run:
    """Start another attempt at the task."""
    run = await store.tasks.start_run(task_id)
    response.headers["Location"] = f"/v1/runs/{run.id}"
    return run


@router.get("/{task_id}/runs", responses=documented(401, 404, 422, 503))
async def list_task_runs(store: StoreDep, task_id: str, limit: Limit = 50, cursor: Cursor = None) -> Page[Run]:
    """Runs of the task, newest first."""
    return await store.runs.page(cursor, limit, task_id=task_id)
