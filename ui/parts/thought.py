"""A model's thought inside a block's fold, or while planning: each block's memento first, then the block's text, pushed back, for the model no
longer sees it; and what the server's cache held because of that."""

from typing import Any

import streamlit as st

from app.events import RunView
from app.memento.thought import PartKind, Thought, ThoughtBlock
from ui.parts.words import count, label, plural

CUT = 700  # characters of a block's text shown at first
LATEST = 10  # thoughts outside of blocks shown at first


def thought(entry: dict[str, Any]) -> None:
    """One `thought` entry of the view."""
    told, seq = Thought.model_validate(entry), entry["seq"]
    st.markdown(f":gray[:material/psychology: **Thought**] :small[:gray[{purpose(told.role)}]]")
    for number, block in enumerate(told.blocks):
        _block(block, f"{seq}-{number}")
    for part in told.parts:
        if part.type is PartKind.TEXT:
            st.text(part.text)
    peak_line(told)


def thoughts_card(view: RunView) -> None:
    """What the server freed over the whole run, and the thoughts that belong to no block."""
    if not view.thoughts and not view.compactions:
        return
    with st.container(key="card-thoughts", gap="small"):
        st.subheader("Thoughts", anchor=False)
        if view.compactions:
            freed, times = count(view.evicted_tokens), plural(view.compactions, "block")
            st.markdown(f"The model server freed **{freed}** tokens of **{times}** of thought; their mementos stayed.")
        else:
            st.markdown(":gray[Nothing was evicted.]")
        if not view.thoughts:
            return
        name = f"{plural(len(view.thoughts), 'thought')} outside the trail"
        fold = st.expander(name, type="compact", key="fold-thoughts", on_change="rerun")
        if not fold.open:
            return
        with fold, st.container(gap="small", key="entries-thoughts"):
            for entry in reversed(view.thoughts[-LATEST:]):
                with st.container(key=f"entry-thought-{entry['seq']}", gap="xxsmall"):
                    thought(entry)
            if len(view.thoughts) > LATEST:
                st.caption(f"The latest {LATEST} of {len(view.thoughts)}.")


def peak_line(told: Thought) -> None:
    """`full_kv_tokens` is what the cache would have held; a server that gives no figures gets no line."""
    if not told.peak_kv_tokens:
        return
    peak, full = told.peak_kv_tokens, told.full_kv_tokens
    if not told.compactions or full <= peak:
        rest = "" if told.compactions else "; nothing was evicted before the answer ended"
        st.markdown(f":small[:gray[:material/memory: peak {count(peak)} tokens in the cache{rest}]]")
        return
    st.markdown(
        f":small[:material/memory: peak **{count(peak)}** tokens in the cache instead of **{count(full)}**] "
        f":green-badge[{1 - peak / full:.0%} less]"
    )


def purpose(role: str) -> str:
    """What a role call was for, in words."""
    return _PURPOSE.get(role) or f"for {label(role, 40)}"


_PURPOSE = {
    "facts": "before the facts",
    "plan": "before the plan",
    "ledger": "before choosing who is next",
    "web": "before the next action",
    "files": "before the next action",
    "coder": "before the program",
    "memento": "before the block's memento",
    "final": "before the answer",
}


def _block(block: ThoughtBlock, key: str) -> None:
    state = "gone" if block.freed else "kept"
    with st.container(key=f"thought-{state}-{key}", gap="xxsmall"):
        with st.container(key=f"thought-memento-{key}"):
            if block.memento and block.memento.text.strip():
                st.text(block.memento.text.strip())
            else:
                st.markdown(":gray[Cut off before its memento.]" if block.memento is None else ":gray[An empty memento.]")
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            if block.freed:
                about = "The server no longer holds this block; the model goes on with the memento alone."
                st.badge(f"evicted: {plural(block.freed, 'token')} freed", icon=":material/auto_delete:", color="gray", help=about)
            else:
                st.badge(
                    "still in the cache", icon=":material/memory:", color="blue", help="The server had not freed it when the call ended."
                )
            after = f" → {count(block.memento.tokens)}" if block.memento else ""
            st.caption(f"{count(block.block.tokens)}{after} tokens", width="content")
        text = block.block.text.strip()
        if len(text) > CUT and not st.toggle(f"Show all {count(len(text))} characters", key=f"thought-all-{key}"):
            text = f"{text[:CUT]}…"
        with st.container(key=f"thought-text-{key}"):
            st.text(text or "(nothing)")
