"""A coloured box with a heading of ours and text of anybody's, which is shown as text."""

from typing import Literal

import streamlit as st

from app.errors import KeepsakeError

Tone = Literal["info", "good", "warn", "bad", "calm"]
_ICONS = {
    "info": ":material/info:",
    "good": ":material/check_circle:",
    "warn": ":material/warning:",
    "bad": ":material/error:",
    "calm": ":material/shield:",
}


def callout(tone: Tone, heading: str, text: str = "", hint: str = "", *, key: str, icon: str = "") -> None:
    """`heading` is Markdown and must be ours; `text` and `hint` may come from anywhere."""
    with st.container(key=f"callout-{tone}-{key}", gap="xxsmall"):
        st.markdown(f"**{icon or _ICONS[tone]} {heading}**")
        if text:
            st.text(text)
        if hint:
            with st.container(key=f"hint-{key}"):
                st.text(hint)


def show_error(error: KeepsakeError, heading: str, *, key: str) -> None:
    """A typed error beside the thing that caused it: what is wrong, and what to do."""
    callout("bad", heading, error.message, error.hint, key=key)
