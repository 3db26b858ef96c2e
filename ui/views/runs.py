"""All runs, newest first: find one, open it, delete its task."""

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Run, RunStatus, Task
from ui.parts.api import all_runs, api, tasks_of
from ui.parts.callout import callout, show_error
from ui.parts.icon_button import icon_button
from ui.parts.links import NEW_TASK, run_link
from ui.parts.words import STATUS, ago, count, duration, plural

_FILTERS = {
    "All": set(RunStatus),
    "At work": {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.PAUSED},
    "Waiting for you": {RunStatus.AWAITING_APPROVAL, RunStatus.AWAITING_INPUT},
    "Done": {RunStatus.SUCCEEDED},
    "Not done": {RunStatus.FAILED, RunStatus.REFUSED, RunStatus.CANCELLED},
}
_PAGE = 25
_SEARCHED = 1000  # newest runs that a filter or a search looks at


def shown(runs: list[Run], chosen: str, wanted: str) -> list[tuple[Run, Task]]:
    """Runs that match the filter and the words searched for, with their tasks."""
    runs = [r for r in runs if r.status in _FILTERS[chosen]]
    tasks = tasks_of(runs)
    found = [(r, tasks[r.task_id]) for r in runs if r.task_id in tasks]
    words = wanted.lower().split()
    return [(r, t) for r, t in found if all(w in t.text.lower() or w in r.id for w in words)]


@st.fragment(run_every=4.0)
def listing(chosen: str, wanted: str) -> None:
    limit = st.session_state.get("runs-limit", _PAGE)
    everything = chosen == "All" and not wanted
    try:
        found = shown(all_runs(limit + 1 if everything else _SEARCHED), chosen, wanted)
    except KeepsakeError as error:
        show_error(error, "The runs cannot be listed", key="runs")
        return
    if not found:
        nothing = "No run matches." if wanted or chosen != "All" else "Nothing has been run yet."
        callout("info", nothing, key="empty")
        st.page_link(NEW_TASK, label="Start a task", icon=":material/add_circle:")
        return
    for run, task in found[:limit]:
        row(run, task)
    if len(found) > limit:
        st.button("Show more", key="runs-more", icon=":material/expand_more:", on_click=_more)


def _more() -> None:
    st.session_state["runs-limit"] = st.session_state.get("runs-limit", _PAGE) + _PAGE


def row(run: Run, task: Task) -> None:
    look = STATUS[run.status]
    use = f"{plural(run.turns, 'step')} · {count(run.tokens)} tokens · {duration(run.seconds)}"
    with st.container(key=f"run-row-{run.id}", gap="xsmall"):
        with st.container(key=f"run-text-{run.id}"):
            st.text(task.text[:400])
        if run.answer:
            with st.container(key=f"run-answer-{run.id}"):
                st.text(run.answer[:300])
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.badge(look.name, icon=look.icon, color=look.colour)
            st.caption(f"{ago(run.created_at)} · {use}", width="content")
            with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
                run_link(run.id, "Open")
                if icon_button("delete", "Delete the task and all its data", key=f"delete-{run.id}"):
                    confirm(task)


@st.dialog("Delete this task?")
def confirm(task: Task) -> None:
    st.text(task.text[:300])
    st.markdown("All its runs, their trails, screenshots and files go with it; a run under way is stopped. This cannot be undone.")
    with st.container(horizontal=True, gap="small"):
        if st.button("Delete everything", type="primary", icon=":material/delete:", key="delete-yes"):
            try:
                api().delete_task(task.id)
            except KeepsakeError as error:
                show_error(error, "It was not deleted", key="delete")
                return
            st.session_state.get("feeds", {}).clear()
            st.rerun()
        if st.button("Keep it", key="delete-no"):
            st.rerun()


st.title("Runs", anchor=False)
with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="runs-tools"):
    picked = st.segmented_control("Show", list(_FILTERS), default="All", key="runs-filter", required=True, label_visibility="collapsed")
    search = st.text_input(
        "Search the tasks", key="runs-search", type="search", live=True, placeholder="Search the tasks", label_visibility="collapsed"
    )
listing(picked or "All", search or "")
