"""The browser's latest screenshot. Bytes come from the API by artifact id; nothing is ever loaded from the page's own addresses."""

import streamlit as st

from app.errors import KeepsakeError
from app.events import RunView
from ui.parts.api import api

_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # PNG, JPEG, WebP


@st.cache_data(max_entries=24, show_spinner=False)
def screenshot(artifact_id: str) -> bytes:
    """Bytes of a screenshot. Raises the client's errors."""
    return api().artifact_content(artifact_id)


def browser_card(view: RunView) -> None:
    if not (view.screenshot or view.url):
        return
    with st.container(key="card-browser", gap="small"):
        st.subheader("Browser", anchor=False)
        if view.url:
            with st.container(key="address"):
                st.text(view.url, wrap=False, width="stretch")
        if view.screenshot:
            _picture(view.screenshot)


def _picture(artifact_id: str) -> None:
    try:
        data = screenshot(artifact_id)
    except KeepsakeError as error:
        st.caption("The screenshot is not there (yet).", help=None)
        st.text(error.message)
        return
    if data.startswith(_IMAGES):
        st.image(data, width="stretch", alt="The page as the team's browser shows it")
    else:
        st.caption("The screenshot is not a picture.")
