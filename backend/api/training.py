"""/v1/training: training jobs, the registry of weights, and what of it is served. Files below home are the truth; this reads them."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from app.errors import NotFound, StorageError
from app.registry import CARD, Promotion, RegistryView, Version, read_version, registry_folder
from app.schemas import Page
from app.training import Curves, Job, read_curves, read_job, read_jobs
from backend.api.parameters import AdminOnly, PromotionsDep, StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1/training", tags=["training"])
_LOOK = documented(401, 404, 422, 503)
_ACT = documented(400, 401, 403, 404, 409, 413, 422, 503)


@router.get("/jobs", responses=documented(401, 503))
async def list_jobs(store: StoreDep) -> Page[Job]:
    """Training jobs of this home, newest first."""
    return Page[Job](items=await asyncio.to_thread(read_jobs, store.settings.home))


@router.get("/jobs/{name}", responses=_LOOK)
async def get_job(store: StoreDep, name: str) -> Job:
    return await asyncio.to_thread(read_job, store.settings.home, name)


@router.get("/jobs/{name}/metrics", responses=_LOOK)
async def get_metrics(store: StoreDep, name: str) -> Curves:
    """Loss by step, thinned out to some hundred points, and every measurement on held-out examples."""
    return await asyncio.to_thread(read_curves, store.settings.home, name)


@router.get("/versions", responses=documented(401, 503))
async def list_versions(promotions: PromotionsDep) -> RegistryView:
    """All versions with their gates, the aliases, what is served, and the promotion under way or the last one."""
    return await promotions.view()


@router.get("/versions/{version}", responses=_LOOK)
async def get_version(store: StoreDep, version: str) -> Version:
    return await asyncio.to_thread(read_version, store.settings.home, version)


@router.get("/versions/{version}/card", response_class=PlainTextResponse, responses=_LOOK)
async def get_card(store: StoreDep, version: str) -> str:
    """The version's model card, Markdown."""
    found = await asyncio.to_thread(read_version, store.settings.home, version)
    try:
        return await asyncio.to_thread((registry_folder(store.settings.home) / found.version / CARD).read_text)
    except FileNotFoundError:
        raise NotFound("The version has no card.", hint="It was registered by hand?") from None
    except (OSError, ValueError) as error:
        raise StorageError("The version's card cannot be read.", hint="Look at the file.") from error


@router.post("/versions/{version}/promote", status_code=202, responses=_ACT, dependencies=[AdminOnly])
async def promote_version(store: StoreDep, promotions: PromotionsDep, version: str) -> Promotion:
    """Check the version's gates and have the running model server take it up. Takes a minute; `GET /v1/training/versions` says how it goes."""
    found = await asyncio.to_thread(read_version, store.settings.home, version)
    return await promotions.promote(found.version)


@router.post("/rollback", status_code=202, responses=_ACT, dependencies=[AdminOnly])
async def rollback(promotions: PromotionsDep) -> Promotion:
    """Make the previous version production again."""
    return await promotions.rollback()
