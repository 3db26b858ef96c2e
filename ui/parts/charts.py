"""What the memory holds: tokens of the team's context with mementos, against what it would hold without."""

import altair as alt
import pandas as pd
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
            st.altair_chart(
                memory_chart(points),
                height=220,
                alt=f"Context tokens by block: {kept} with mementos, {full} without, after block {last['block']}.",
                key="memory-chart",
            )
        if any(b.estimated for b in view.blocks):
            st.caption("Token counts are estimates: this model server does not count.")


def memory_chart(points: list[dict[str, int]]) -> alt.LayerChart:
    """An area for what is held, a line for what would be."""
    rows = [{"block": p["block"], "tokens": p["context_tokens"], "context": WITH} for p in points]
    rows += [{"block": p["block"], "tokens": p["full_context_tokens"], "context": WITHOUT} for p in points]
    frame = pd.DataFrame(rows)
    colour = alt.Color("context:N", title=None, sort=[WITH, WITHOUT], legend=alt.Legend(orient="top", direction="horizontal", offset=4))
    base = alt.Chart(frame).encode(
        x=alt.X("block:Q", title="block", axis=alt.Axis(tickMinStep=1, format="d", grid=False)),
        y=alt.Y("tokens:Q", title=None, axis=alt.Axis(format="~s", tickCount=4)),
        color=colour,
        tooltip=["block", "context", "tokens"],
    )
    few = len(points) < 12
    area = base.transform_filter(alt.datum.context == WITH).mark_area(opacity=0.35, line=True, point=few)
    line = base.transform_filter(alt.datum.context == WITHOUT).mark_line(strokeDash=[5, 3], point=few)
    return (line + area).configure(background="transparent").configure_view(fill=None)
