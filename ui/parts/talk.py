"""A person's word to a run: controls, an answer to a question, a steer."""

from collections.abc import Callable

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Run, RunStatus
from ui.parts.api import api
from ui.parts.callout import show_error
from ui.parts.feed import Feed
from ui.parts.links import go_to_run

_LIMIT = 20_000


def controls(feed: Feed) -> None:
    """Pause, resume and cancel while it lives; run again once it has ended."""
    status = feed.run.status
    with st.container(horizontal=True, gap="xsmall", horizontal_alignment="right", width="content", key="controls"):
        if status.ended:
            # A failure that may have passed (model down, disk full) can go on where it stopped.
            passing = status == RunStatus.FAILED and bool((feed.run.error or {}).get("retryable"))
            if passing and st.button("Go on", icon=":material/play_arrow:", type="primary", key="resume", help="Take the run up again"):
                _control(feed, api().resume)
            if st.button("Run again", icon=":material/replay:", key="again", help="A new run of the same task, from the beginning"):
                _again(feed)
            return
        if status == RunStatus.PAUSED:
            if st.button("Resume", icon=":material/play_arrow:", type="primary", key="resume"):
                _control(feed, api().resume)
        elif st.button("Pause", icon=":material/pause:", key="pause"):
            _control(feed, api().pause)
        with st.popover("Cancel", icon=":material/stop_circle:", key="cancel-menu"):
            st.markdown("The run stops for good. What it has done so far stays.")
            if st.button("Stop the run", type="primary", key="cancel"):
                _control(feed, api().cancel)


def _control(feed: Feed, verb: Callable[[str], Run]) -> None:
    try:
        feed.run = verb(feed.run.id)
    except KeepsakeError as error:
        show_error(error, "That did not work", key="control")
        return
    feed.refresh()
    st.rerun()


def _again(feed: Feed) -> None:
    try:
        run = api().start_run(feed.task.id)
    except KeepsakeError as error:
        show_error(error, "The run could not be started", key="control-again")
        return
    go_to_run(run.id)


def question_card(feed: Feed) -> None:
    """The team's question, and a box for the answer."""
    with st.container(key="ask-question", gap="small"):
        st.subheader("The team asks you", anchor=False)
        with st.container(key="question-text"):
            st.text(feed.view.question or "It needs your word to go on.")
        with st.form("answer-form", border=False), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            text = st.text_input("Your answer", key="answer-text", max_chars=_LIMIT)
            sent = st.form_submit_button("Answer", type="primary", icon=":material/send:")
        if sent:
            _say(feed, text or "", "The answer was not sent")


def steer_box(feed: Feed) -> None:
    """A hint to a team at work; it reads it before its next step."""
    with st.container(key="steer-box"):  # inside a container, or Streamlit makes the page a chat that scrolls by itself
        text = st.chat_input("Say something to the team, such as: leave the cheapest out", key="steer", max_chars=_LIMIT)
    if text:
        _say(feed, str(text), "The message was not sent")


def said(feed: Feed) -> None:
    """What the person has told this run."""
    if not feed.view.messages:
        return
    with st.container(key="card-said", gap="small"):
        st.subheader("You said", anchor=False)
        for text in feed.view.messages[-8:]:
            st.text(text)


def _say(feed: Feed, text: str, trouble: str) -> None:
    if not text.strip():
        st.caption(":orange[There is nothing to send yet.]")
        return
    try:
        api().message(feed.run.id, text.strip())
    except KeepsakeError as error:
        show_error(error, trouble, key="say")
        st.code(text, language=None, wrap_lines=True)  # so that a long message is not lost with its box
        return
    st.session_state.pop("answer-text", None)
    st.toast("The team will read it before its next step.", icon=":material/send:")
    feed.refresh()
    st.rerun()
