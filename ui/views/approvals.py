"""Everything that waits for a person, over all runs."""

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Approval, ApprovalKind, ApprovalStatus, Run
from ui.parts.api import api, asking_runs, pending_approvals, task_of
from ui.parts.approval import approval_card, decide, is_busy
from ui.parts.callout import callout, show_error
from ui.parts.links import run_link
from ui.parts.words import agent_look, ago


def page() -> None:
    try:
        waiting, asking = pending_approvals(), asking_runs()
    except KeepsakeError as error:
        show_error(error, "The approvals cannot be listed", key="approvals")
        return
    if not waiting and not asking:
        callout("good", "Nothing waits for you", "Runs that ask for a decision appear here by themselves.", key="none")
    # No key may say yes to one action while a reason against another is being typed.
    keys = not any(is_busy(a.id) for a in waiting)
    several([a for a in waiting if a.kind == ApprovalKind.ACTION])
    for number, approval in enumerate(waiting):
        with st.container(key=f"approval-{approval.id}", gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(f"asked {ago(approval.created_at)}", width="content")
                run_link(approval.run_id, "Open its run")
                if approval.kind == ApprovalKind.ACTION and len(waiting) > 1:
                    st.checkbox("Select", key=f"pick-{approval.id}")
            with st.container(key=f"for-{approval.id}"):
                st.text(task_text(approval.run_id))
            if approval.kind == ApprovalKind.PLAN:
                plan_card(approval)
            elif approval.action and approval_card(
                approval.id, approval.kind, approval.action, approval.reason, alike=approval.alike, shortcut=keys and number == 0
            ):
                st.rerun()
    for run in asking:
        question(run)
    watch([x.id for x in [*waiting, *asking]])


def several(waiting: list[Approval]) -> None:
    """One answer to all that are selected. Each is decided by itself, as it stands on its card."""
    picked = [a for a in waiting if st.session_state.get(f"pick-{a.id}")]
    if not picked:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="several"):
        st.markdown(f"**{len(picked)} selected**", width="content")
        yes = st.button(f"Approve {len(picked)}", type="primary", icon=":material/check:", key="several-approve")
        no = st.button(f"Refuse {len(picked)}", icon=":material/block:", key="several-refuse")
    if (yes or no) and all(decide(a.id, ApprovalStatus.APPROVED if yes else ApprovalStatus.REJECTED, "") for a in picked):
        st.rerun()


def task_text(run_id: str) -> str:
    """What the run is for, as far as it can be known: the run may be deleted while its approval is on the screen."""
    try:
        return _task_text(run_id)
    except KeepsakeError as error:
        return error.message


@st.cache_data(max_entries=500, show_spinner=False)
def _task_text(run_id: str) -> str:
    return task_of(api().run(run_id).task_id).text[:300]


def plan_card(approval: Approval) -> None:
    """A plan is edited on its run's page; here it is shown."""
    with st.container(key=f"ask-{approval.id}", gap="small"):
        st.subheader("A plan waits for you", anchor=False)
        for number, step in enumerate(approval.plan or [], 1):
            look = agent_look(str(step.get("agent", "")))
            with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
                st.markdown(f"**{number}**", width=18)
                st.text(str(step.get("instruction", "")), width="stretch")
                st.badge(look.name, icon=look.icon, color=look.colour)
        run_link(approval.run_id, "Review it on its run's page", icon=":material/checklist:")


def question(run: Run) -> None:
    """A question is answered on its run's page, where one sees what it is about."""
    with st.container(key=f"approval-{run.id}", gap="xsmall"):
        st.caption(f"asked {ago(run.updated_at)}")
        with st.container(key=f"for-{run.id}"):
            st.text(task_text(run.id))
        with st.container(key=f"ask-{run.id}", gap="small"):
            st.subheader("The team asks you something", anchor=False)
            run_link(run.id, "Answer it on its run's page", icon=":material/contact_support:")


@st.fragment(run_every=2.0)
def watch(drawn: list[str]) -> None:
    """Redraw the page when something new waits or something was decided elsewhere; what is being typed stays."""
    try:
        now = [x.id for x in [*pending_approvals(), *asking_runs()]]
    except KeepsakeError as error:
        show_error(error, "The list is not up to date", key="watch")
        return
    if now != drawn:
        st.rerun()


st.title("Approvals", anchor=False)
st.caption("The team stands still until you decide. Each answer holds for exactly what its card shows.")
page()
