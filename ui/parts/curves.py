"""Curves of a training job as Vega-Lite specs: loss of the steps, exact answers on held-out examples. Written out, as in charts.py."""

from typing import Any

import streamlit as st

from app.training import Curves


def curves_row(curves: Curves) -> None:
    """Both curves beside each other; what is not there yet is said."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(":small[Loss, nats a token]")
        if curves.loss:
            last = curves.loss[-1]
            rows: list[dict[str, float]] = [{"step": p.step, "loss": p.loss} for p in curves.loss]
            st.vega_lite_chart(
                line_chart(rows, "loss", points=len(rows) < 12),
                height=200,
                alt=f"Loss by step, {last.loss:.3f} at step {last.step}.",
                key=f"loss-{curves.name}",
            )
        else:
            st.caption("No step yet.")
    with right:
        st.markdown(":small[Held-out answers that are exact]")
        if curves.held_out:
            measured = curves.held_out[-1]
            shares: list[dict[str, float]] = [{"step": p.step, "exact": p.exact, "n": p.n} for p in curves.held_out]
            st.vega_lite_chart(
                line_chart(shares, "exact", points=True, share=True),
                height=200,
                alt=f"Share of exact answers by step, {measured.exact:.0%} of {measured.n} at step {measured.step}.",
                key=f"exact-{curves.name}",
            )
        else:
            st.caption("Not measured yet.")


def line_chart(rows: list[dict[str, float]], field: str, *, points: bool, share: bool = False) -> dict[str, Any]:
    """A line over steps. `share`: the axis goes from 0 to 1 in per cent."""
    scale: dict[str, Any] = {"domain": [0, 1]} if share else {"zero": False}
    axis: dict[str, Any] = {"tickCount": 4, "format": ".0%" if share else "~g"}
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": points, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": None, "axis": {"format": "~s", "tickCount": 5, "grid": False}},
            "y": {"field": field, "type": "quantitative", "title": None, "scale": scale, "axis": axis},
            "tooltip": [{"field": name} for name in rows[0]],
        },
        "padding": {"left": 0, "top": 4, "right": 6, "bottom": 0},
        "config": {"background": "transparent", "view": {"fill": None}},
    }
