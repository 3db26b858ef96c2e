"""Uploaded files and the artifacts of runs: rows here, bytes in backend.blobs."""

import asyncio
from collections.abc import Iterable

from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import Conflict, NotFound
from app.schemas import Artifact, Page, UploadedFile
from backend.blobs import Blobs
from backend.database import Database
from backend.ids import new_id
from backend.redaction import Redactor
from backend.store.base import Shelf, storable
from backend.store.bell import Bell
from backend.store.pages import page_of, window
from backend.tables import ArtifactRow, RunRow, TaskFileRow, UploadRow

BLOB_LOCK = 4_812_002  # advisory lock of PostgreSQL; any fixed number of our own


class Files(Shelf):
    """Uploads and artifacts."""

    def __init__(self, database: Database, redactor: Redactor, bell: Bell, blobs: Blobs) -> None:
        super().__init__(database, redactor, bell)
        self.blobs = blobs

    async def upload(self, name: str, data: bytes) -> UploadedFile:
        """Keep an upload under an already clean `name`."""
        async with self.database.write() as session:
            row = UploadRow(id=new_id("file"), name=name, size=len(data), sha256=await self._keep(session, data))
            session.add(row)
        return UploadedFile.model_validate(row, from_attributes=True)

    async def get_upload(self, file_id: str) -> UploadedFile:
        async with self.database.read() as session:
            row = await session.get(UploadRow, file_id) if storable(file_id) else None
        if row is None:
            raise NotFound(f"There is no file `{file_id[:80]}`.", hint="POST /v1/files uploads one and gives its id.")
        return UploadedFile.model_validate(row, from_attributes=True)

    async def delete_upload(self, file_id: str) -> None:
        """Remove an upload that no task uses. Raises NotFound, Conflict."""
        async with self.database.write() as session:
            row = await session.get(UploadRow, file_id) if storable(file_id) else None
            if row is None:
                raise NotFound(f"There is no file `{file_id[:80]}`.", hint="It may have gone with its task.")
            if (await session.exec(select(TaskFileRow).where(TaskFileRow.upload_id == file_id).limit(1))).first():
                raise Conflict("A task uses this file.", hint="Deleting the task deletes its files.")
            sha256 = row.sha256
            await session.delete(row)
            await session.flush()
            await self.drop_blobs(session, [sha256])

    async def save_artifact(self, run_id: str, name: str, media_type: str, data: bytes) -> str:
        """Keep an artifact; the same content and name in the same run give the same id. Raises NotFound when the run is gone."""
        name, media_type = self.redactor.text(name)[:200], self.redactor.text(media_type)[:100]
        async with self.database.write() as session:
            if await session.get(RunRow, run_id) is None:
                raise NotFound("The run is gone.", hint="Its task was deleted.")
            sha256 = await self._keep(session, data)
            same = select(ArtifactRow).where(ArtifactRow.run_id == run_id, ArtifactRow.name == name, ArtifactRow.sha256 == sha256)
            row = (await session.exec(same)).first()
            if row is None:
                row = ArtifactRow(id=new_id("art"), run_id=run_id, name=name, media_type=media_type, size=len(data), sha256=sha256)
                session.add(row)
            return row.id

    async def artifacts_page(self, run_id: str, cursor: str | None, limit: int) -> Page[Artifact]:
        async with self.database.read() as session:
            if not storable(run_id) or await session.get(RunRow, run_id) is None:
                raise NotFound(f"There is no run `{run_id[:80]}`.", hint="GET /v1/runs lists the runs.")
            query = select(ArtifactRow).where(ArtifactRow.run_id == run_id)
            rows = (await session.exec(window(query, ArtifactRow, cursor, limit))).all()
        return page_of(rows, limit, lambda row: Artifact.model_validate(row, from_attributes=True))

    async def get_artifact(self, artifact_id: str) -> Artifact:
        async with self.database.read() as session:
            row = await session.get(ArtifactRow, artifact_id) if storable(artifact_id) else None
        if row is None:
            raise NotFound(f"There is no artifact `{artifact_id[:80]}`.", hint="GET /v1/runs/{id}/artifacts lists those of a run.")
        return Artifact.model_validate(row, from_attributes=True)

    async def drop_blobs(self, session: AsyncSession, digests: Iterable[str]) -> None:
        """Remove from disk what no row names any more. Call it last in the transaction that took the rows away."""
        await self._blob_lock(session)
        for sha256 in set(digests):
            used = (await session.exec(select(UploadRow.id).where(UploadRow.sha256 == sha256).limit(1))).first()
            used = used or (await session.exec(select(ArtifactRow.id).where(ArtifactRow.sha256 == sha256).limit(1))).first()
            if used is None:
                self.blobs.remove(sha256)

    async def _keep(self, session: AsyncSession, data: bytes) -> str:
        """Write a blob inside the transaction that names it, so that nobody drops it as unused in between."""
        await self._blob_lock(session)
        return await asyncio.to_thread(self.blobs.write, data)

    async def _blob_lock(self, session: AsyncSession) -> None:
        if not self.database.is_sqlite:  # a writing transaction of SQLite is alone anyway
            await session.exec(select(func.pg_advisory_xact_lock(BLOB_LOCK)))
