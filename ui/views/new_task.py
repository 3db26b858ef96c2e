"""A new task: what to do, with what, how freely. Examples fill the form with one click."""

import hashlib
import secrets
from typing import Any

import streamlit as st
from pydantic import ValidationError

from app.errors import InvalidInput, KeepsakeError
from app.schemas import Budgets, Example, TaskCreate
from ui.parts.api import api, file_name
from ui.parts.callout import show_error
from ui.parts.links import go_to_run
from ui.parts.policy import policy_choice
from ui.parts.ready import readiness, ready_banner
from ui.parts.sites import set_sites, site_rows
from ui.parts.words import label

_DEFAULT = Budgets()


def composer() -> None:
    """The form. Nothing is sent before the button; whatever is wrong then stands beside it."""
    with st.container(key="composer", gap="small"):
        text = st.text_area(
            "Task",
            key="task-text",
            height=112,
            label_visibility="collapsed",
            placeholder="Say it as you would to a colleague: what you want to know or have done, and where to look.",
            persist_state="session",
        )
        left, right = st.columns(2, gap="medium")
        with left:
            sites = site_rows()
        with right:
            uploads = st.file_uploader("Files to work on", accept_multiple_files=True, key="task-files")
            given = example_files()
        left, right = st.columns(2, gap="medium")
        with left:
            policy = policy_choice()
        with right:
            with st.container(key="before-label"):
                st.markdown(":small[Before it starts]")
            review = st.toggle("Show me the plan, and wait for my yes", key="task-review", persist_state="session")
            budgets = limits()
        trouble = st.container()
        with st.container(horizontal=True, horizontal_alignment="right"):
            go = st.button("Start the team", type="primary", icon=":material/play_arrow:", key="task-go", shortcut="Ctrl+Enter")
        if go:
            with trouble:
                start(
                    {"text": text or "", "sites": sites, "policy": policy, "review_plan": review, "budgets": budgets}, uploads or [], given
                )


def limits() -> dict[str, int]:
    """Budgets of the run, folded away: the defaults suit most tasks."""
    for key, value in {"task-steps": _DEFAULT.steps, "task-tokens": _DEFAULT.tokens, "task-minutes": _DEFAULT.seconds // 60}.items():
        st.session_state.setdefault(key, value)
    with st.expander("Limits", type="compact", key="task-limits"), st.container(horizontal=True, gap="small"):
        steps = st.number_input("Steps", 1, 1000, key="task-steps", persist_state="session")
        tokens = st.number_input("Tokens", 100, 20_000_000, step=10_000, key="task-tokens", persist_state="session")
        minutes = st.number_input("Minutes at work", 1, 1440, key="task-minutes", persist_state="session")
    return {"steps": int(steps), "tokens": int(tokens), "seconds": int(minutes) * 60}


def start(body: dict[str, Any], uploads: list[Any], given: list[str]) -> None:
    """Upload, create, go to the run. The API is the judge of the input; its errors are shown."""
    try:
        files = given + [uploaded(u.name, u.getvalue()) for u in uploads]
        task = checked(body | {"files": files})
        # Two clicks in a row are one task: the same form gives the same key.
        form = st.session_state.setdefault("form-id", secrets.token_hex(8))
        key = hashlib.sha256(f"{form}{task.model_dump_json()}".encode()).hexdigest()
        run = api().create_task(task, idempotency_key=key).run
    except KeepsakeError as error:
        show_error(error, "The task was not started", key="task")
        return
    for name in ("task-text", "task-files", "example", "form-id", "uploaded"):
        st.session_state.pop(name, None)
    if run is not None:
        go_to_run(run.id)


def uploaded(name: str, data: bytes) -> str:
    """Id of a file at the API; the same content is sent once, however often the button is pressed."""
    known: dict[tuple[str, str], str] = st.session_state.setdefault("uploaded", {})
    mark = (name, hashlib.sha256(data).hexdigest())
    if mark not in known:
        known[mark] = api().upload(name, data).id
    return known[mark]


def checked(body: dict[str, Any]) -> TaskCreate:
    """The request as a TaskCreate. Raises InvalidInput with the first field that is wrong, in words."""
    if not body["text"].strip():
        raise InvalidInput("The task has no text.", hint="Say in a sentence or two what should be done.")
    try:
        return TaskCreate(**body)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(p) for p in first["loc"]]
        if place[:1] == ["sites"]:
            number = int(place[1]) + 1
            hint = "A name is one short lower-case word, such as shop; an address begins with http:// or https://."
            raise InvalidInput(f"Site {number}: its {place[-1]} is not right ({first['msg'].lower()}).", hint=hint) from error
        raise InvalidInput(f"{' '.join(place)}: {first['msg']}") from error


def example_files() -> list[str]:
    """Ids of the files that the chosen example brings along; they can be left out."""
    example: Example | None = st.session_state.get("example")
    if example is None or not example.files:
        return []
    kept = []
    st.caption("From the example")
    for identity in example.files:
        if st.checkbox(label(file_name(identity)), value=True, key=f"example-file-{identity}"):
            kept.append(identity)
    return kept


def examples() -> None:
    """Ready tasks as cards."""
    try:
        found = api().examples()
    except KeepsakeError as error:
        # The banner above says when the API is away; anything else is told here.
        if not isinstance(readiness(), KeepsakeError):
            show_error(error, "The examples cannot be shown", key="examples")
        return
    if not found:
        return
    st.subheader("Or begin with an example", anchor=False)
    with st.grid("auto", min_column_width=250, gap="small"):
        for number, example in enumerate(found):
            with st.container(key=f"example-card-{number}", gap="xsmall", height="stretch"):
                _example(number, example)


def _example(number: int, example: Example) -> None:
    st.markdown(f"**{label(example.title)}**")
    st.text(example.text)
    with st.container(horizontal=True, gap="xsmall"):
        for site in example.sites:
            st.badge(label(site.name), icon=":material/language:", color="blue")
        for identity in example.files:
            st.badge(label(file_name(identity)), icon=":material/description:", color="yellow")
        if example.review_plan:
            st.badge("plan first", icon=":material/checklist:", color="violet")
    st.button("Use this", key=f"use-{number}", on_click=use, args=(example,), icon=":material/north_west:", width="stretch")


def use(example: Example) -> None:
    """Put an example into the form."""
    st.session_state["example"] = example
    st.session_state["task-text"] = example.text
    st.session_state["task-policy"] = str(example.policy) if isinstance(example.policy, str) else example.policy.name
    st.session_state["task-review"] = example.review_plan
    st.session_state["task-steps"] = example.budgets.steps
    st.session_state["task-tokens"] = example.budgets.tokens
    st.session_state["task-minutes"] = max(1, example.budgets.seconds // 60)
    set_sites(example.sites)


st.title("What should the team do?", anchor=False)
st.caption("It plans, browses, reads files, writes and runs code. It asks before it acts, and keeps a short memento of every step.")
ready_banner()
composer()
examples()
