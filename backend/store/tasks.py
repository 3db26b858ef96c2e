"""Tasks: created with their first run, listed, and deleted with everything that belongs to them."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.errors import InvalidInput, NotFound
from app.events import EventType, NewEvent
from app.policies.files import chosen
from app.schemas import Page, Policy, Run, RunStatus, Task, TaskCreate
from backend.filenames import distinct_names
from backend.ids import new_id
from backend.store.base import Shelf, as_run, storable
from backend.store.files import Files
from backend.store.pages import page_of, window
from backend.tables import ArtifactRow, IdempotencyRow, RunRow, TaskFileRow, TaskRow, UploadRow


class Tasks(Shelf):
    """What people ask for."""

    def __init__(self, files: Files, max_text: int, policies: Path) -> None:
        super().__init__(files.database, files.redactor, files.bell)
        self.files = files
        self.max_text = max_text
        self.policies = policies

    async def create(self, spec: TaskCreate, start: bool = True) -> tuple[Task, Run | None]:
        """A new task, with its first run unless `start` is false. Raises InvalidInput."""
        self.check(spec)
        spec = await asyncio.to_thread(self._with_policy, spec)
        async with self.database.write() as session:
            names = await self._names(session, spec.files)
            row = TaskRow(id=new_id("task"), spec=spec.model_dump(mode="json"))
            session.add(row)
            await session.flush()
            for position, (upload_id, name) in enumerate(zip(spec.files, names, strict=True)):
                session.add(TaskFileRow(task_id=row.id, upload_id=upload_id, name=name, position=position))
            run = await self._new_run(session, row, names) if start else None
        return _as_task(row), as_run(run) if run else None

    def check(self, spec: TaskCreate) -> None:
        """What the schema cannot say. Raises InvalidInput with the sentence that mends it."""
        if not spec.text.strip():
            raise InvalidInput("The task has no text.", hint="Say in a sentence or two what is to be done.")
        if len(spec.text) > self.max_text:
            raise InvalidInput(
                f"The task has {len(spec.text):,} characters.",
                hint=f"At most {self.max_text:,}; put long material into a file and upload it.",
            )
        if "\0" in spec.text:
            raise InvalidInput("The task's text holds a NUL character.", hint="Upload binary material as a file.")
        if len(set(spec.files)) < len(spec.files):
            raise InvalidInput("A file is named twice.", hint="Name each uploaded file once.")
        if len({s.name for s in spec.sites}) < len(spec.sites):
            raise InvalidInput("Two sites have the same name.", hint="Give each site a name of its own.")
        for site in spec.sites:
            _check_site_url(site.url)

    def _with_policy(self, spec: TaskCreate) -> TaskCreate:
        """A policy of one's own in full, as its file is now: what a task may do does not change behind its back. Raises InvalidInput."""
        if isinstance(spec.policy, Policy):
            return spec
        return spec.model_copy(update={"policy": chosen(self.policies, spec.policy)})

    async def get(self, task_id: str) -> Task:
        async with self.database.read() as session:
            return _as_task(await self._row(session, task_id))

    async def page(self, cursor: str | None, limit: int) -> Page[Task]:
        async with self.database.read() as session:
            rows = (await session.exec(window(select(TaskRow), TaskRow, cursor, limit))).all()
        return page_of(rows, limit, _as_task)

    async def start_run(self, task_id: str) -> Run:
        """A new attempt at the task, queued."""
        async with self.database.write() as session:
            task = await self._row(session, task_id)
            names = (
                await session.exec(select(TaskFileRow.name).where(TaskFileRow.task_id == task_id).order_by(col(TaskFileRow.position)))
            ).all()
            run = await self._new_run(session, task, list(names))
        return as_run(run)

    async def memories(self, task_id: str) -> list[dict[str, Any]]:
        """What the members of each of its runs remember, by member; none for a task that is not there."""
        if not storable(task_id):
            return []
        async with self.database.read() as session:
            states = (await session.exec(select(RunRow.state).where(RunRow.task_id == task_id))).all()
        return [state["memory"] for state in states if state]

    async def delete(self, task_id: str, spare: Collection[str] = ()) -> Sequence[str]:
        """Remove a task and all that belongs to it: runs, events, approvals, messages, artifacts, its own uploads (but those to `spare`) and
        remembered answers.

        Returns the ids of its runs, for whoever holds workspaces or durable steps. A worker that is in the middle of a turn finds its claim
        gone and can commit nothing.
        """
        async with self.database.write() as session:
            task = await self._row(session, task_id)
            run_ids = (await session.exec(select(RunRow.id).where(RunRow.task_id == task_id))).all()
            artifacts = (await session.exec(select(ArtifactRow.sha256).where(col(ArtifactRow.run_id).in_(run_ids)))).all()
            elsewhere = select(TaskFileRow.upload_id).where(TaskFileRow.task_id != task_id)
            uploads = (
                await session.exec(
                    select(UploadRow)
                    .join(TaskFileRow, col(TaskFileRow.upload_id) == col(UploadRow.id))
                    .where(TaskFileRow.task_id == task_id, col(UploadRow.id).not_in(elsewhere), col(UploadRow.id).not_in(spare))
                )
            ).all()
            digests = [*artifacts, *(u.sha256 for u in uploads)]
            traces = [col(IdempotencyRow.body).contains(key) for key in [task_id, *run_ids, *(u.id for u in uploads)]]
            await session.exec(delete(IdempotencyRow).where(or_(*traces)))
            await session.delete(task)
            await session.flush()
            for upload in uploads:
                await session.delete(upload)
            await session.flush()
            await self.files.drop_blobs(session, digests)
        for run_id in run_ids:
            self.bell.ring(run_id)
        return run_ids

    async def _row(self, session: AsyncSession, task_id: str) -> TaskRow:
        row = await session.get(TaskRow, task_id) if storable(task_id) else None
        if row is None:
            raise NotFound(f"There is no task `{task_id[:80]}`.", hint="GET /v1/tasks lists the tasks.")
        return row

    async def _names(self, session: AsyncSession, upload_ids: Sequence[str]) -> list[str]:
        """Workspace names of the uploads, in order. Raises InvalidInput for ids that are not there."""
        wanted = [i for i in upload_ids if storable(i)]
        rows = {u.id: u.name for u in (await session.exec(select(UploadRow).where(col(UploadRow.id).in_(wanted)))).all()}
        missing = [i for i in upload_ids if i not in rows]
        if missing:
            raise InvalidInput(f"There is no file `{missing[0][:80]}`.", hint="Upload files first (POST /v1/files) and pass their ids.")
        return distinct_names([rows[i] for i in upload_ids])

    async def _new_run(self, session: AsyncSession, task: TaskRow, names: list[str]) -> RunRow:
        run = RunRow(id=new_id("run"), task_id=task.id, status=RunStatus.QUEUED.value)
        session.add(run)
        await session.flush()  # before its events
        shown = {"text": task.spec["text"], "sites": task.spec["sites"], "files": names, "policy": _name(task.spec["policy"])}
        self.append(session, run, [NewEvent(type=EventType.RUN_QUEUED, payload={"task": shown})])
        return run


def _name(policy: str | dict[str, Any]) -> str:
    return policy if isinstance(policy, str) else policy["name"]


def _as_task(row: TaskRow) -> Task:
    return Task(id=row.id, created_at=row.created_at, **row.spec)


def _check_site_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise InvalidInput(
            f"`{url[:80]}` is not the address of a web site.", hint="Use http://host[:port]/ or https://, without a password."
        )
