"""A button that shows only its icon; its label is there for screen readers and as a tooltip (style.css hides it from the eye)."""

from collections.abc import Callable
from typing import Any

import streamlit as st


def icon_button(
    icon: str, meaning: str, *, key: str, disabled: bool = False, on_click: Callable[..., None] | None = None, args: tuple[Any, ...] = ()
) -> bool:
    """`icon` is a Material symbol's name; `meaning` is Markdown and must be ours. The widget's key is `icon-<key>`."""
    return st.button(
        meaning,
        icon=f":material/{icon}:",
        type="tertiary",
        help=meaning,
        key=f"icon-{key}",
        disabled=disabled,
        on_click=on_click,
        args=args,
        wrap=False,
    )
