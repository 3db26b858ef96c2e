"""One run, live: `?run=ID`. The top fetches events once a second; the rest is drawn anew only when something has happened.

Folds that a person has opened, what is being typed and the place on the page survive that. The fragments draw in their own place: one that
writes into outside containers breaks when a full run is cut short before it has reserved them.
"""

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Action, ApprovalKind, RunStatus
from ui.parts.approval import approval_card
from ui.parts.browser_view import browser_card
from ui.parts.callout import callout, show_error
from ui.parts.charts import memory_card
from ui.parts.feed import Feed, open_feed
from ui.parts.gate import gate_card
from ui.parts.head import head, title
from ui.parts.ledger import facts_card, next_line
from ui.parts.links import RUNS
from ui.parts.notices import notices_card
from ui.parts.outcome import artifacts, outcome
from ui.parts.plan import plan_card, plan_editor
from ui.parts.ready import ready_banner
from ui.parts.talk import controls, question_card, said, steer_box
from ui.parts.thought import thoughts_card
from ui.parts.trail import trail


def page(run_id: str) -> None:
    try:
        feed = open_feed(run_id)
    except KeepsakeError as error:
        show_error(error, "This run cannot be shown", key="run")
        st.page_link(RUNS, label="All runs", icon=":material/list_alt:")
        return
    status = feed.run.status
    with st.container(key="run-top", horizontal=True, vertical_alignment="top", gap="small"):
        with st.container(width="stretch"):
            title(feed)
        controls(feed)
    if status == RunStatus.QUEUED:
        ready_banner()  # why nothing happens, when something is missing
    every = None if status.ended else 1.0 if status in {RunStatus.QUEUED, RunStatus.RUNNING} else 2.0
    st.fragment(top, run_every=every)(feed, feed.mark)
    if status.ended:
        outcome(feed)
    elif status in {RunStatus.AWAITING_APPROVAL, RunStatus.AWAITING_INPUT}:
        decision(feed)
    st.fragment(body)(feed)
    # While something is asked, words go with the answer; and a Ctrl+Enter typed here would press Approve.
    if status in {RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.PAUSED}:
        steer_box(feed)


def decision(feed: Feed) -> None:
    """What the run waits for. A decision is sent once; the page then follows the run again."""
    if feed.run.status == RunStatus.AWAITING_INPUT:
        question_card(feed)
        return
    for number, pending in enumerate(feed.view.pending_approvals):
        identity, kind = pending["approval_id"], ApprovalKind(pending["kind"])
        if kind == ApprovalKind.PLAN:
            done = plan_editor(identity, pending.get("plan") or [], feed.members)
        else:
            action, reason, alike = Action(**pending["action"]), pending.get("reason", ""), pending.get("alike", "")
            times = len(feed.view.approvals)
            done = approval_card(identity, kind, action, reason, alike=alike, times=times, shortcut=number == 0)
        if done:
            feed.refresh()
            st.rerun()


def top(feed: Feed, drawn: tuple[str, int]) -> None:
    """Status, times, budgets: what moves by itself. `drawn` is how far the run was when the page was drawn; once it is further, all is."""
    feed.refresh(within_s=0.5)
    if feed.mark != drawn:
        st.rerun()
    head(feed)


def body(feed: Feed) -> None:
    """Plan and trail, and beside them what the team sees, holds and knows."""
    view = feed.view
    left, right = st.columns([8, 5], gap="medium")
    with left:
        plan_card(view)
        next_line(view)
        trail(view)
    with right, st.container(key="run-side"):
        browser_card(view)
        memory_card(view)
        thoughts_card(view)
        facts_card(view)
        gate_card(view)
        notices_card(view)
        said(feed)
        if not feed.run.status.ended:  # then they stand beside the outcome
            artifacts(feed)


run_id = st.query_params.get("run", "")
if run_id:
    page(run_id)
else:
    callout("info", "No run chosen", "Open one from the list of runs, or start a new task.", key="none")
    st.page_link(RUNS, label="All runs", icon=":material/list_alt:")
