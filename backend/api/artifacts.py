"""Artifacts of runs, and their bytes with ETag and Range."""

import asyncio
import re

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from app.errors import NotFound
from app.schemas import Artifact, Page
from backend.api.parameters import Cursor, Limit, StoreDep
from backend.problems import documented

router = APIRouter(prefix="/v1", tags=["artifacts"])

# Shown by a browser as they are; everything else is handed over as a file, because agents fetch it from anywhere.
_SHOWN = {"image/png", "image/jpeg", "text/plain"}
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


@router.get("/runs/{run_id}/artifacts", responses=documented(401, 404, 422, 503))
async def list_artifacts(store: StoreDep, run_id: str, limit: Limit = 50, cursor: Cursor = None) -> Page[Artifact]:
    """Artifacts of the run, newest first."""
    return await store.files.artifacts_page(run_id, cursor, limit)


@router.get("/artifacts/{artifact_id}", responses=documented(401, 404, 422, 503))
async def get_artifact(store: StoreDep, artifact_id: str) -> Artifact:
    return await store.files.get_artifact(artifact_id)


_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/artifacts/{artifact_id}/content",
    response_class=FileResponse,
    responses={
        200: _BYTES,
        206: {"description": "A part", **_BYTES},
        304: {"description": "Unchanged"},
        **documented(401, 404, 416, 422, 503),
    },
)
async def get_content(request: Request, store: StoreDep, artifact_id: str) -> Response:
    """The bytes. The ETag is the SHA-256; one range of bytes may be asked for."""
    artifact = await store.files.get_artifact(artifact_id)
    etag = f'"{artifact.sha256}"'
    if etag in (request.headers.get("if-none-match") or ""):
        return Response(status_code=304, headers={"ETag": etag})
    path = store.files.blobs.path(artifact.sha256)
    if not await asyncio.to_thread(path.exists):
        raise NotFound("The artifact's bytes are gone.", hint="Its task was deleted in this moment.")
    _check_range(request, artifact.size)
    media_type = artifact.media_type if _MEDIA_TYPE.fullmatch(artifact.media_type) else "application/octet-stream"
    return FileResponse(
        path,
        media_type=media_type,
        filename=artifact.name.replace("/", "_"),
        content_disposition_type="inline" if media_type in _SHOWN else "attachment",
        headers={"ETag": etag, "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Cache-Control": "private"},
    )


def _check_range(request: Request, size: int) -> None:
    """Let only a Range through that FileResponse can serve: others are ignored, as RFC 9110 allows, or answered with 416."""
    wanted = request.headers.get("range")
    if wanted is None:
        return
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or (match[2] and int(match[2]) < int(match[1])):
        request.scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    elif (match[1] is not None and int(match[1]) >= size) or match[3] == "0" or size == 0:
        raise HTTPException(416, "The artifact has no such bytes.", headers={"Content-Range": f"bytes */{size}"})
