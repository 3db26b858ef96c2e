"""A training job: how far it is, how fast, and its curves."""

from datetime import UTC, datetime

import streamlit as st

from app.errors import KeepsakeError
from app.training import Job, JobStatus
from ui.parts.api import api
from ui.parts.callout import show_error
from ui.parts.curves import curves_row
from ui.parts.words import JOB, ago, count, duration, label

_AT_WORK = {JobStatus.PREPARING, JobStatus.RUNNING}
_HINTS = {
    JobStatus.PREPARING: "It reads or makes its examples; the first step follows.",
    JobStatus.STOPPED: "It saved before it stopped: `keepsake train resume` with its recipe goes on, bit for bit.",
    JobStatus.CUT_OFF: "Its process is gone without a word. `keepsake train resume` with its recipe goes on from the last checkpoint.",
    JobStatus.UNREADABLE: "Its manifest is broken. Remove the run's directory and train again.",
}
_FIGURES = (("rebuilt_eval", "on eval seeds"), ("rebuilt_dev", "on dev seeds"))


def job_card(job: Job, newest: bool) -> None:
    """`newest`: its curves are shown without being asked for."""
    look = JOB[job.status]
    with st.container(key=f"card-job-{job.name}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            with st.container(key=f"job-name-{job.name}", width="content"):
                st.text(job.name)
            st.badge(look.name, icon=look.icon, color=look.colour)
            if job.started:
                st.caption(f"started {ago(job.started)}" + (f" · attempt {job.attempts}" if job.attempts > 1 else ""), width="content")
        if job.purpose:
            with st.container(key=f"hint-job-{job.name}"):
                st.text(job.purpose)
        if job.status in _HINTS:
            st.caption(_HINTS[job.status])
        if job.steps:
            st.progress(min(1.0, job.steps_done / job.steps), text=_progress(job))
            _facts(job)
            if st.toggle("Curves", value=newest or job.status in _AT_WORK, key=f"curves-{job.name}"):
                _curves(job.name)


def _progress(job: Job) -> str:
    text = f"Step **{job.steps_done:,}** :gray[of {job.steps:,}]"
    if job.status != JobStatus.RUNNING:
        return text
    if job.steps_done >= job.steps:
        return f"{text} · measures what came of it"
    return f"{text} · {duration(job.left_s)} left" if job.left_s is not None else text


def _facts(job: Job) -> None:
    facts = [f"{count(job.tokens)} tokens"]
    if job.tokens_per_s is not None:
        facts.append(f"{count(job.tokens_per_s)} tokens/s")
    if job.mfu is not None:
        facts.append(f"MFU {job.mfu:.0%}")
    if job.finished and job.started:
        facts.append(f"{duration((job.finished - job.started).total_seconds())} in all, ended {ago(job.finished, datetime.now(UTC))}")
    for key, where in _FIGURES:
        measured = job.metrics.get(key)
        if isinstance(measured, dict) and isinstance(measured.get("exact"), int | float):
            facts.append(f"{measured['exact']:.1%} of {measured.get('n', '?')} answers exact {where}")
    if job.device:
        facts.append(label(job.device))
    st.caption(" · ".join(facts))


def _curves(name: str) -> None:
    try:
        curves_row(api().training_curves(name))
    except KeepsakeError as error:
        show_error(error, "The curves cannot be shown", key=f"curves-{name}")
