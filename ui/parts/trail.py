"""The memento trail: one card a block, its memento as the headline, everything that happened in it behind a fold.

Folds fetch nothing and draw their inside only while open. Long trails are windowed: the page starts with the last blocks, and earlier ones come
on request, so that a live page stays light and nothing above the reader moves.
"""

from typing import Any

import streamlit as st

from app.events import BlockView, RunView
from app.schemas import Action, RunStatus
from ui.parts.gate import argument, telling, verdict_line
from ui.parts.thought import thought
from ui.parts.words import agent_look, count, origin, plural, verb

WINDOW = 12  # blocks on the page at first
STEP = 25  # further blocks per request
ROOM = 40  # blocks a live page may grow to before the earliest fold away again
CUT = 6000  # characters of one observation shown at first
_AT = {"action": "is at the gate", "gate": "is acting", "observation": "reads what came back"}
_STILL = {
    RunStatus.AWAITING_APPROVAL: "Waits for your decision",
    RunStatus.AWAITING_INPUT: "Waits for your answer",
    RunStatus.PAUSED: "Stands still until you resume",
    RunStatus.QUEUED: "Waits for a worker",
}


def trail(view: RunView) -> None:
    """All blocks of a run, oldest first. Call it inside the live fragment."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="trail-head"):
        st.subheader("Trail", anchor=False, width="content")
        if view.blocks:
            st.badge(plural(len(view.blocks), "block"), color="gray")
    if not view.blocks:
        st.markdown(":gray[Nothing was done.]" if view.status.ended else ":gray[Nothing has been done yet.]")
        return
    first = _window(view)
    if first:
        name = f"Show {min(STEP, first)} of {first} earlier blocks"
        st.button(name, icon=":material/history:", type="tertiary", key="trail-earlier", on_click=_earlier, args=(view.run_id, first))
    for block in view.blocks[first:]:
        _card(block, view)


def _earlier(run_id: str, first: int) -> None:
    """Show more blocks; from then on the reader decides how long the page is."""
    st.session_state[f"trail-first-{run_id}"] = max(0, first - STEP)
    st.session_state[f"trail-held-{run_id}"] = True


def _window(view: RunView) -> int:
    """Index of the first block drawn. It stays where it is while the trail grows, until the page gets too long."""
    key, total = f"trail-first-{view.run_id}", len(view.blocks)
    first = st.session_state.setdefault(key, max(0, total - WINDOW))
    if total - first > ROOM and not st.session_state.get(f"trail-held-{view.run_id}"):
        first = st.session_state[key] = total - WINDOW
    return first


def _card(block: BlockView, view: RunView) -> None:
    look = agent_look(block.agent)
    still = block.memento is None
    live = still and not view.status.ended
    with st.container(key=f"block-{'open' if live else 'shut'}-{block.number}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.badge(str(block.number), color="gray")
            st.badge(look.name, icon=look.icon, color=look.colour)
            if block.plan_step:
                st.caption(f"plan step {block.plan_step}", width="content")
            for tag in block.labels:
                st.badge(origin(tag), icon=":material/gpp_maybe:", color="orange", help="Untrusted: this block saw text from outside.")
            if not still:
                with st.container(horizontal=True, horizontal_alignment="right", key=f"tokens-{block.number}"):
                    about = "≈ " if block.estimated else ""
                    st.caption(f"{about}{count(block.block_tokens)} → {count(block.memento_tokens)} tokens", width="content")
        _headline(block, live, view.status)
        _fold(block, view)


def _headline(block: BlockView, live: bool, status: RunStatus) -> None:
    if block.memento is not None:
        with st.container(key=f"memento-{block.number}"):
            st.text(block.memento)
        with st.container(key=f"told-{block.number}"):
            st.text(block.instruction)
        return
    with st.container(key=f"memento-{block.number}"):
        st.text(block.instruction)
    st.markdown(_doing(block, status) if live else ":gray[Cut short: the run ended inside this block.]")


def _doing(block: BlockView, status: RunStatus) -> str:
    """What an open block is at, in words of ours."""
    if status in _STILL:
        return f":gray[{_STILL[status]}]"
    last = block.entries[-1]["entry"] if block.entries else ""
    agent = agent_look(block.agent).name
    return f":shimmer[{agent} {_AT.get(last, 'is thinking')}]"


def _fold(block: BlockView, view: RunView) -> None:
    if not block.entries:
        return
    fold = st.expander(plural(len(block.entries), "entry"), type="compact", key=f"fold-{block.number}", on_change="rerun")
    if not fold.open:
        return
    with fold, st.container(gap="small", key=f"entries-{block.number}"):
        programs: set[str] = set()
        for entry in block.entries:
            _entry(entry, view, programs)


def _entry(entry: dict[str, Any], view: RunView, programs: set[str]) -> None:
    kind = entry["entry"]
    with st.container(key=f"entry-{kind}-{entry['seq']}", gap="xxsmall"):
        if kind == "text":
            _text(entry, programs)
        elif kind == "thought":
            thought(entry)
        elif kind == "action":
            _action(entry["action"], programs, str(entry["seq"]))
        elif kind == "gate":
            verdict_line(entry, view)
        elif kind == "observation":
            _observation(entry)
        elif kind == "error":
            error = entry.get("error") or {}
            st.markdown(":red[:material/error: **Failed**]")
            st.text(" ".join(str(error.get(k, "")) for k in ("message", "hint")).strip())
        elif kind == "retry":
            st.markdown(":gray[:material/replay: **Asked again**: the model's answer could not be used]")
            st.text(str(entry.get("problem", "")))


def _text(entry: dict[str, Any], programs: set[str]) -> None:
    kind, text = entry["kind"], str(entry["text"])
    if kind == "code":
        programs.add(text)
        st.markdown(":violet[:material/code: **Program**]")
        st.code(text, language="python")
    elif kind == "answer":
        st.markdown(":material/flag: **Result**")
        st.code(text, language=None, wrap_lines=True)
    else:
        st.markdown(":gray[:material/psychology: **Reasoning**]")
        st.text(text)


def _action(body: dict[str, Any], programs: set[str], key: str) -> None:
    action = Action(**body)
    st.markdown(f":material/bolt: **{verb(action.kind)}**")
    if action.summary:
        st.text(action.summary)
    with st.container(key=f"target-{key}"):
        st.text(action.target)
    for name, value in telling(action).items():
        if name != "page_url" and value not in programs:  # a program that stands above already is not shown twice
            argument(name, value)


def _observation(entry: dict[str, Any]) -> None:
    text, seconds = str(entry["observation"]), entry.get("seconds")
    st.markdown(":material/visibility: **What came back**" + (f" :small[:gray[after {seconds:.1f} s]]" if seconds is not None else ""))
    if len(text) > CUT and not st.toggle(f"Show all {count(len(text))} characters", key=f"all-{entry['seq']}"):
        text = f"{text[:CUT]}\n…"
    st.code(text or "(nothing)", language=None, wrap_lines=True, height=320 if text.count("\n") > 18 or len(text) > 1800 else "content")
