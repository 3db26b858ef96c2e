"""What went otherwise than planned: repairs, stalls, new plans, warnings, errors."""

from typing import Any

import streamlit as st

from app.events import EventType, RunView
from ui.parts.words import Look, label

_LOOKS = {
    EventType.LEDGER_REPAIRED: Look("Repaired", "blue", ":material/build:"),
    EventType.MODEL_RETRY: Look("Asked again", "gray", ":material/replay:"),
    EventType.STALL: Look("No progress", "orange", ":material/hourglass_bottom:"),
    EventType.REPLAN: Look("New plan", "violet", ":material/alt_route:"),
    EventType.WARNING: Look("Warning", "orange", ":material/warning:"),
    EventType.ERROR: Look("Error", "red", ":material/error:"),
    EventType.ACTION_UNKNOWN: Look("Cut off", "orange", ":material/help:"),
}
SHOWN = 8


def sentence(notice: dict[str, Any]) -> str:
    """One notice in words. Its parts may come from anywhere: show it as text."""
    kind = notice["type"]
    if kind == EventType.LEDGER_REPAIRED:
        return f"{notice['role']}: {notice['problem']}; {notice['repair']}"
    if kind == EventType.MODEL_RETRY:
        return f"{notice['role']}, try {notice['attempt']}: {notice['problem']}"
    if kind == EventType.STALL:
        return f"{notice['stalls']} of {notice['limit']} turns without progress"
    if kind == EventType.REPLAN:
        return f"number {notice['number']} of at most {notice['limit']}: {notice['reason']}"
    if kind == EventType.ACTION_UNKNOWN:
        return f"{notice.get('action', {}).get('summary', 'An action')}: it may or may not have happened"
    text = str(notice.get("message", ""))
    return f"{text} {notice['hint']}" if notice.get("hint") else text


def notices_card(view: RunView) -> None:
    if not view.notices:
        return
    with st.container(key="card-notices", gap="small"):
        st.subheader("Notices", anchor=False)
        latest = list(reversed(view.notices))
        for notice in latest[:SHOWN]:
            _line(notice)
        if len(latest) > SHOWN:
            with st.expander(f"{len(latest) - SHOWN} earlier", type="compact", key="notices-more"):
                for notice in latest[SHOWN : SHOWN + 100]:
                    _line(notice)


def _line(notice: dict[str, Any]) -> None:
    look = _LOOKS.get(notice["type"]) or Look(label(notice["type"]), "gray", ":material/info:")
    with st.container(gap=None, key=f"notice-{notice['seq']}"):
        st.badge(look.name, icon=look.icon, color=look.colour)
        st.text(sentence(notice))
