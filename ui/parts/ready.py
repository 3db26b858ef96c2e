"""Whether Keepsake can work: the API's own account of its parts, in words."""

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Health
from ui.parts.api import api
from ui.parts.callout import callout, show_error

_PARTS = {
    "worker": "No worker is at work: runs wait in the queue.",
    "model": "The model is not there yet: runs wait for it.",
    "database": "The database does not answer.",
    "steps": "The store of durable steps does not answer.",
}


def readiness() -> Health | KeepsakeError:
    """What `/readyz` says, or the error that kept it from saying anything."""
    try:
        return api().ready()
    except KeepsakeError as error:
        return error


def is_ready(state: Health | KeepsakeError) -> bool:
    return isinstance(state, Health) and all(v == "ok" for v in state.checks.values())


def ready_banner() -> None:
    """Say what is missing, look again every three seconds, and redraw the page when it is there. Draws nothing when all is well."""
    state = readiness()
    if is_ready(state):
        return
    _watch()


@st.fragment(run_every=3.0)
def _watch() -> None:
    state = readiness()
    if isinstance(state, KeepsakeError):
        show_error(state, "Keepsake cannot be reached", key="ready")
        return
    if is_ready(state):
        st.rerun()
    missing = "\n".join(f"{_PARTS.get(name, name)} ({value})" for name, value in state.checks.items() if value != "ok")
    hint = "You can write the task already; `keepsake status` says more."
    callout("warn", "Not ready yet", missing or state.status, hint, key="ready", icon=":material/hourglass_top:")
