"""/v1/files: uploads that tasks take along. Any content is fine; what agents may do with it is theirs to find out."""

from typing import Annotated

from fastapi import APIRouter, File, Response, UploadFile

from app.errors import TooLarge
from app.schemas import UploadedFile
from backend.api.parameters import StoreDep
from backend.filenames import clean_name
from backend.problems import documented

router = APIRouter(prefix="/v1/files", tags=["files"])


@router.post("", status_code=201, responses=documented(400, 401, 409, 413, 422, 503))
async def upload_file(store: StoreDep, response: Response, file: Annotated[UploadFile, File(description="The file.")]) -> UploadedFile:
    """Upload one file; its id goes into a task's `files`."""
    name, data = clean_name(file.filename or ""), await file.read()
    if len(data) > store.settings.max_upload_bytes:
        raise TooLarge(f"The file has {len(data):,} bytes.", hint=f"At most {store.settings.max_upload_bytes:,} bytes.")
    uploaded = await store.files.upload(name, data)
    response.headers["Location"] = f"/v1/files/{uploaded.id}"
    return uploaded


@router.get("/{file_id}", responses=documented(401, 404, 422, 503))
async def get_file(store: StoreDep, file_id: str) -> UploadedFile:
    """Name, size and digest of an upload."""
    return await store.files.get_upload(file_id)


@router.delete("/{file_id}", status_code=204, responses=documented(401, 404, 409, 413, 422, 503))
async def delete_file(store: StoreDep, file_id: str) -> None:
    """Delete an upload that no task uses."""
    await store.files.delete_upload(file_id)
