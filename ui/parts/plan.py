"""The plan: as it stands, and as an editor while it waits for its person."""

from typing import Any

import streamlit as st

from app.events import RunView
from app.schemas import ApprovalStatus, RunStatus
from ui.parts.approval import decide
from ui.parts.icon_button import icon_button
from ui.parts.words import agent_look

_MARKS = {
    "done": ":green[:material/check_circle:]",
    "active": ":blue[:material/arrow_circle_right:]",
    "open": ":gray[:material/radio_button_unchecked:]",
    "stopped": ":orange[:material/do_not_disturb_on:]",
}
_UNPLANNED = {
    RunStatus.QUEUED: ":gray[The plan is made as soon as a worker is free.]",
    RunStatus.PAUSED: ":gray[The plan is made when you resume.]",
    RunStatus.RUNNING: ":shimmer[The team is making a plan]",
}


def plan_card(view: RunView) -> None:
    """Steps with their marks; before the plan is there, that it is being made."""
    with st.container(key="card-plan", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            st.subheader("Plan", anchor=False, width="content")
            if view.plan_revision > 1:
                st.badge(f"revision {view.plan_revision}", color="violet", icon=":material/alt_route:")
        if not view.plan:
            st.markdown(_UNPLANNED.get(view.status, ":gray[No plan was made.]"))
            return
        done = view.status.value == "succeeded"
        with st.container(gap="xsmall", key="plan-steps"):
            for step in view.plan:
                status = "done" if done else "stopped" if view.status.ended and step.status == "active" else step.status
                look = agent_look(step.agent)
                with st.container(horizontal=True, gap="xsmall", wrap=False, key=f"plan-step-{step.number}-{status}"):
                    st.markdown(_MARKS.get(status, _MARKS["open"]), width="content")
                    st.text(step.instruction, width="stretch")
                    st.badge(look.name, icon=look.icon, color=look.colour)


def plan_editor(approval_id: str, plan: list[dict[str, Any]], members: list[str]) -> bool:
    """Edit, reorder, add and delete steps, then accept or reject; True once decided. Edits live in the session until then."""
    rows = _rows(approval_id, plan)
    agents = list(dict.fromkeys([*members, *(str(s["agent"]) for s in plan)]))
    with st.container(key=f"ask-{approval_id}", gap="small"):
        st.subheader("Is this the right plan?", anchor=False)
        st.caption("Nothing has been done yet. Change what you like; the team follows the plan as you leave it.")
        for place, row in enumerate(rows):
            _edit_row(approval_id, rows, place, row, agents)
        if st.button("Add a step", icon=":material/add:", type="tertiary", key=f"plan-add-{approval_id}"):
            number = max((r["id"] for r in rows), default=0) + 1
            rows.append({"id": number, "agent": agents[0] if agents else "", "instruction": ""})
            st.rerun()
        return _verdict(approval_id, plan, rows)


def _rows(approval_id: str, plan: list[dict[str, Any]]) -> list[dict[str, Any]]:
    key = f"plan-rows-{approval_id}"
    if key not in st.session_state:
        st.session_state[key] = [{"id": i, "agent": str(s["agent"]), "instruction": str(s["instruction"])} for i, s in enumerate(plan, 1)]
    return st.session_state[key]


def _edit_row(approval_id: str, rows: list[dict[str, Any]], place: int, row: dict[str, Any], agents: list[str]) -> None:
    tag = f"{approval_id}-{row['id']}"
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=f"plan-row-{tag}"):
        st.markdown(f"**{place + 1}**", width=18)
        row["agent"] = st.selectbox(
            f"Agent of step {place + 1}",
            agents,
            index=agents.index(row["agent"]) if row["agent"] in agents else 0,
            key=f"plan-agent-{tag}",
            label_visibility="collapsed",
            width=130,
        )
        row["instruction"] = st.text_input(
            f"Step {place + 1}",
            value=row["instruction"],
            key=f"plan-text-{tag}",
            label_visibility="collapsed",
            placeholder="What this agent should do",
            max_chars=2000,
        )
        with st.container(horizontal=True, gap=None, width="content", wrap=False, key=f"plan-tools-{tag}"):
            _tool(rows, place, -1, "arrow_upward", f"Move step {place + 1} up", tag, disabled=place == 0)
            _tool(rows, place, 1, "arrow_downward", f"Move step {place + 1} down", tag, disabled=place == len(rows) - 1)
            _tool(rows, place, 0, "delete", f"Delete step {place + 1}", tag, disabled=len(rows) == 1)


def _tool(rows: list[dict[str, Any]], place: int, by: int, icon: str, meaning: str, tag: str, *, disabled: bool) -> None:
    if not icon_button(icon, meaning, key=f"plan-{icon}-{tag}", disabled=disabled):
        return
    row = rows.pop(place)
    if by:
        rows.insert(place + by, row)
    st.rerun()


def _verdict(approval_id: str, plan: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bool:
    edited = [{"agent": r["agent"], "instruction": (r["instruction"] or "").strip()} for r in rows]
    changed = edited != [{"agent": s["agent"], "instruction": s["instruction"]} for s in plan]
    empty = [i for i, s in enumerate(edited, 1) if not s["instruction"]]
    with st.container(horizontal=True, gap="small"):
        accept = st.button(
            "Start with my plan" if changed else "Start with this plan",
            type="primary",
            icon=":material/play_arrow:",
            key=f"plan-accept-{approval_id}",
            disabled=bool(empty),
        )
        with st.popover("Reject…", icon=":material/close:", key=f"plan-reject-menu-{approval_id}"):
            why = st.text_input("Why? The run ends as refused.", key=f"plan-why-{approval_id}", max_chars=4000)
            reject = st.button("Reject the plan", type="primary", key=f"plan-reject-{approval_id}")
    if empty:
        st.caption(f":orange[Step {empty[0]} has no text yet.]")
    if accept:
        return decide(approval_id, ApprovalStatus.APPROVED, "", edited if changed else None)
    return reject and decide(approval_id, ApprovalStatus.REJECTED, why or "")
