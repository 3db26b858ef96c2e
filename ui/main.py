"""Entry point of `streamlit run`: page settings, style, navigation. The pages draw themselves."""

from pathlib import Path

import streamlit as st

from app.errors import KeepsakeError
from ui.parts import links
from ui.parts.api import asking_runs, pending_approvals

HERE = Path(__file__).parent


def waiting() -> str:
    """How many decisions wait, for the menu; nothing when the API does not answer (the page itself says so)."""
    try:
        number = len(pending_approvals()) + len(asking_runs())
    except KeepsakeError:
        return ""
    return f" ({number})" if number else ""


st.set_page_config(
    page_title="Keepsake",
    page_icon=str(HERE / "static" / "mark.svg"),
    layout="wide",
    initial_sidebar_state="collapsed",
    # One entry keeps the menu, and with it the choice of light or dark, under the minimal toolbar.
    menu_items={"About": "**Keepsake**: a team of agents that remembers in short mementos, and asks before it acts."},
)
st.logo(str(HERE / "static" / "keepsake.svg"), size="large")
st.html(HERE / "style.css")

page = st.navigation(
    [
        st.Page(links.NEW_TASK, title="New task", icon=":material/add_circle:", default=True),
        st.Page(links.RUNS, title="Runs", icon=":material/list_alt:", url_path="runs"),
        st.Page(links.APPROVALS, title=f"Approvals{waiting()}", icon=":material/front_hand:", url_path="approvals"),
        st.Page(links.TRAINING, title="Training", icon=":material/model_training:", url_path="training"),
        st.Page(links.RUN, title="Run", icon=":material/timeline:", url_path="run", visibility="hidden"),
    ],
    position="top",
)
page.run()
