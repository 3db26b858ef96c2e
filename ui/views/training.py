"""Training: what is served, the versions of the embedded model with their gates, and the jobs that make them."""

import streamlit as st

from app.errors import KeepsakeError
from ui.parts.api import api
from ui.parts.callout import callout, show_error
from ui.parts.jobs import job_card
from ui.parts.versions import promotion_banner, version_cards


@st.fragment(run_every=3.0)
def registry() -> None:
    with st.container(key="training-versions"):
        _registry()


def _registry() -> None:
    try:
        view = api().training_versions()
    except KeepsakeError as error:
        show_error(error, "The versions cannot be listed", key="versions")
        return
    promotion_banner(view.promotion)
    if not view.versions:
        hint = "The model server registers what ships with Keepsake when it starts; `keepsake train promote` registers a run."
        callout("info", "No version is registered yet", "", hint, key="no-versions")
        return
    version_cards(view)


@st.fragment(run_every=3.0)
def jobs() -> None:
    with st.container(key="training-jobs"):
        _jobs()


def _jobs() -> None:
    try:
        found = api().training_jobs()
    except KeepsakeError as error:
        show_error(error, "The jobs cannot be listed", key="jobs")
        return
    if not found:
        hint = "`make setup-train` once, then `keepsake train run first_team`; `keepsake train --help` says more."
        callout("info", "Nothing has been trained here yet", "", hint, key="no-jobs")
        return
    for number, job in enumerate(found):
        job_card(job, newest=number == 0)


st.title("Training", anchor=False)
st.caption("The embedded model learns from recipes. A version is served when its gates pass, and the one before is kept to go back to.")
st.subheader("Versions", anchor=False)
registry()
st.subheader("Jobs", anchor=False)
jobs()
