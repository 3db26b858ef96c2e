"""The top of a run's page: the task, how it stands, what it has used."""

import streamlit as st

from ui.parts.callout import show_error
from ui.parts.feed import Feed
from ui.parts.policy import policy_title
from ui.parts.words import STATUS, ago, count, duration, label

_TITLE = 160


def head(feed: Feed) -> None:
    """Redrawn by the live fragment, so times and budgets move."""
    run, task = feed.run, feed.task
    look = STATUS[run.status]
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="run-facts"):
        st.badge(look.name, icon=look.icon, color=look.colour)
        st.caption(f"started {ago(run.created_at)}", width="content")
        if feed.model:
            with st.container(width="content", key="model-name"):
                st.text(feed.model)
        st.caption(label(policy_title(task.policy).lower()), width="content")
    if feed.problem:
        show_error(feed.problem, "The page is not up to date", key="stale")
    with st.container(key="meters"), st.grid(3, min_column_width=150, gap="small"):
        _meter("Time at work", duration(run.seconds), run.seconds, task.budgets.seconds, duration(task.budgets.seconds))
        _meter("Steps", str(run.turns), run.turns, task.budgets.steps, str(task.budgets.steps))
        _meter("Tokens", count(run.tokens), run.tokens, task.budgets.tokens, count(task.budgets.tokens))


def _meter(name: str, value: str, used: float, limit: float, bound: str) -> None:
    with st.container(gap=None):
        st.progress(min(1.0, used / limit) if limit else 0.0, text=f"{name} **{value}** :gray[of {bound}]")


def title(feed: Feed) -> None:
    """The task in the person's words; a long one folds."""
    text = feed.task.text.strip()
    first = text if len(text) <= _TITLE else text[:_TITLE].rsplit(" ", 1)[0] + " …"
    with st.container(key="task-title"):
        st.text(first)
    if first != text:
        with st.expander("The whole task", type="compact", key="whole-task"):
            st.text(text)
