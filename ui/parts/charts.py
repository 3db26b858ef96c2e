"""What the memory holds: tokens of the team's context with mementos, against what it would hold without."""

from typing import Any

import streamlit as st

from app.events import RunView
from ui.parts.words import count

WITH, WITHOUT = "with mementos", "without"


def memory_card(view: RunView) -> None:
    points = [p for p in view.context if p["full_context_tokens"]]
    if not points:
        return
    with st.container(key="card-memory", gap="small"):
        st.subheader("Memory", anchor=False)
        last = points[-1]
        kept, full = last["context_tokens"], last["full_context_tokens"]
        saved = max(0.0, 1 - kept / full)
        st.markdown(f"**{count(kept)}** tokens in mind instead of **{count(full)}**: :green-badge[{saved:.0%} less]")
        if len(points) > 1:
            st.vega_lite_chart(
                memory_chart(points),
                height=220,
                alt=f"Context tokens by block: {kept} with mementos, {full} without, after block {last['block']}.",
                key="memory-chart",
            )
        if any(b.estimated for b in view.blocks):
            st.caption("Token counts are estimates: this model server does not count.")


def memory_chart(points: list[dict[str, int]]) -> dict[str, Any]:
    """A Vega-Lite spec: an area for what is held, a dashed line for what would be. Written out, because building one with Altair takes longer
    than the rest of the page."""
    rows = [{"block": p["block"], "tokens": p["context_tokens"], "context": WITH} for p in points]
    rows += [{"block": p["block"], "tokens": p["full_context_tokens"], "context": WITHOUT} for p in points]
    few = len(points) < 12
    legend = {"orient": "top", "direction": "horizontal", "offset": 4}
    return {
        "data": {"values": rows},
        "encoding": {
            "x": {"field": "block", "type": "quantitative", "axis": {"tickMinStep": 1, "format": "d", "grid": False}},
            "y": {"field": "tokens", "type": "quantitative", "title": None, "axis": {"format": "~s", "tickCount": 4}},
            "color": {"field": "context", "type": "nominal", "title": None, "sort": [WITH, WITHOUT], "legend": legend},
            "tooltip": [{"field": name} for name in ("block", "context", "tokens")],
        },
        "layer": [
            {
                "transform": [{"filter": {"field": "context", "equal": WITHOUT}}],
                "mark": {"type": "line", "strokeDash": [5, 3], "point": few},
            },
            {
                "transform": [{"filter": {"field": "context", "equal": WITH}}],
                "mark": {"type": "area", "opacity": 0.35, "line": True, "point": few},
            },
        ],
        "padding": {"left": 0, "top": 0, "right": 6, "bottom": 0},
        "config": {"background": "transparent", "view": {"fill": None}},
    }
