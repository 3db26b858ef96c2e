"""The two ledgers: what the team knows, and what it does next."""

import streamlit as st

from app.events import RunView
from ui.parts.words import agent_look

_FACTS = {"given": "Given", "look_up": "To look up", "derive": "To work out", "guesses": "Guesses"}


def next_line(view: RunView) -> None:
    """The progress ledger in one line: who works on what."""
    progress = view.progress
    if view.status.ended or not progress or progress.get("satisfied") or not progress.get("next_speaker"):
        return
    look = agent_look(str(progress["next_speaker"]))
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="next-line"):
        st.markdown(f"Now :{look.colour}-badge[{look.icon} {look.name}]", width="content")
        st.text(str(progress.get("instruction", "")), width="stretch")
        if progress.get("in_loop"):
            st.badge("going in circles", color="orange", icon=":material/replay:")


def facts_card(view: RunView) -> None:
    known = {title: view.facts.get(key, []) for key, title in _FACTS.items()}
    if not any(known.values()):
        return
    with st.container(key="card-facts", gap="small"):
        st.subheader("What it knows", anchor=False)
        for title, lines in known.items():
            if lines:
                with st.container(gap=None, key=f"facts-{title.replace(' ', '-').lower()}"):
                    st.caption(title)
                    for line in lines:
                        st.text(line)
