"""The one client of this process. Everything the UI knows comes through it."""

import streamlit as st

from app.client import KeepsakeClient
from app.config import get_settings
from app.schemas import Approval, ApprovalStatus, Page, Run, RunStatus, Task


def api() -> KeepsakeClient:
    """The API's client, shared by all sessions; made anew when the key file changes. Raises SetupError when there is no key yet."""
    path = get_settings().key_path
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    return _client(str(path), stamp)


@st.cache_resource(max_entries=2, show_spinner=False)
def _client(path: str, stamp: int) -> KeepsakeClient:  # noqa: ARG001 - the cache's key
    return KeepsakeClient.from_settings(get_settings())


def pending_approvals() -> list[Approval]:
    """Every action and plan that waits for a person, oldest first."""
    return sorted(api().approvals(limit=200, status=ApprovalStatus.PENDING).items, key=lambda a: a.created_at)


def asking_runs() -> list[Run]:
    """Runs whose team has asked a question, oldest first."""
    return sorted(api().runs(limit=200, status=RunStatus.AWAITING_INPUT).items, key=lambda r: r.created_at)


def all_runs(most: int) -> list[Run]:
    """The newest runs, at least `most` of them where there are that many."""
    page: Page[Run] = api().runs(limit=min(most, 200))
    runs = page.items
    while page.next_cursor and len(runs) < most:
        page = api().runs(page.next_cursor, limit=200)
        runs += page.items
    return runs


@st.cache_data(max_entries=2000, show_spinner=False)
def task_of(task_id: str) -> Task:
    """A task. Tasks never change, so one fetch each is enough."""
    return api().task(task_id)


@st.cache_resource(show_spinner=False)
def _known_tasks() -> dict[str, Task]:
    return {}


def tasks_of(runs: list[Run]) -> dict[str, Task]:
    """Tasks of many runs by id, fetched by the page. One that is gone (deleted just now) is left out."""
    known, wanted = _known_tasks(), {r.task_id for r in runs}
    cursor: str | None = None
    while not wanted <= known.keys():
        page = api().tasks(cursor, limit=200)
        known.update({t.id: t for t in page.items})
        cursor = page.next_cursor
        if cursor is None:
            break
    return {i: known[i] for i in wanted if i in known}


@st.cache_data(max_entries=500, show_spinner=False)
def file_name(file_id: str) -> str:
    """Name of an uploaded file."""
    return api().file(file_id).name
