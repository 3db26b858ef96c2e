"""Editor for the sites a task may use: rows of name, address and saved log-in, kept in the session while they are edited."""

from typing import Any

import streamlit as st

from app.schemas import Site
from ui.parts.icon_button import icon_button

_ROWS = "site-rows"


def set_sites(sites: list[Site]) -> None:
    """Replace all rows; call it from a callback, before the widgets are drawn."""
    st.session_state[_ROWS] = []
    for site in sites:
        _add(site)


def site_rows() -> list[dict[str, Any]]:
    """The editor; returns what stands in it. Rows without name and address are left out."""
    numbers: list[int] = st.session_state.setdefault(_ROWS, [])
    with st.container(key="sites-label"):
        st.markdown(":small[Sites the team may use]")
    sites = [_row(n) for n in numbers]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="site-more"):
        st.button("Add a site", icon=":material/add:", type="secondary", key="site-add", on_click=_add)
        if not numbers:
            st.caption("None yet: the team then asks before it opens a site.")
    return [s for s in sites if s["name"] or s["url"]]


def _add(site: Site | None = None) -> None:
    numbers: list[int] = st.session_state.setdefault(_ROWS, [])
    number = st.session_state["site-count"] = st.session_state.get("site-count", 0) + 1
    numbers.append(number)
    for field in ("name", "url", "profile"):
        st.session_state[f"site-{field}-{number}"] = (getattr(site, field) if site else None) or ""


def _row(number: int) -> dict[str, Any]:
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom", key=f"site-{number}"):
        name = st.text_input("Name", key=f"site-name-{number}", placeholder="shop", max_chars=32, width=120, persist_state="session")
        url = st.text_input("Address", key=f"site-url-{number}", placeholder="https://…", max_chars=2000, persist_state="session")
        profile = st.text_input(
            "Saved log-in",
            key=f"site-profile-{number}",
            placeholder="none",
            max_chars=32,
            width=130,
            persist_state="session",
            help="Name of a browser profile that is logged in already. The team uses it without ever seeing a password.",
        )
        icon_button("close", "Remove this site", key=f"site-remove-{number}", on_click=_remove, args=(number,))
    return {"name": (name or "").strip(), "url": (url or "").strip(), "profile": (profile or "").strip() or None}


def _remove(number: int) -> None:
    st.session_state[_ROWS] = [n for n in st.session_state[_ROWS] if n != number]
