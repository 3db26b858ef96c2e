"""/livez: the process answers. /readyz: so do its databases; worker and model are told of, but the API serves without them."""

from fastapi import APIRouter, Response

from app.errors import StorageError
from app.schemas import Health
from backend.api.parameters import EngineDep, StoreDep

router = APIRouter(tags=["health"])


@router.get("/livez")
async def live() -> Health:
    return Health(status="alive")


@router.get("/readyz", responses={503: {"model": Health, "description": "A database does not answer"}})
async def ready(store: StoreDep, engine: EngineDep, response: Response) -> Health:
    """`checks.worker` is `ok` when a worker was seen in the last 15 seconds, else `none`; `checks.model` is what the best of them says."""
    checks = {}
    try:
        await store.database.ping()
        checks["database"] = "ok"
        workers = await store.workers.alive()
        checks["worker"] = "ok" if workers else "none"
        if said := {state for state in workers.values() if state}:
            checks["model"] = "ok" if "ok" in said else min(said)
    except StorageError as error:
        checks["database"] = error.message
    try:
        await engine.ping()
        checks["steps"] = "ok"
    except StorageError as error:
        checks["steps"] = error.message
    good = checks["database"] == checks["steps"] == "ok"
    response.status_code = 200 if good else 503
    return Health(status="ready" if good else "unavailable", checks=checks)
