"""The card that asks a person, with its answers: yes, yes for the rest of the run, yes with a change, no with a reason."""

from typing import Any

import streamlit as st

from app.errors import KeepsakeError
from app.schemas import Action, ApprovalDecision, ApprovalKind, ApprovalStatus, editable
from ui.parts.api import api
from ui.parts.callout import show_error
from ui.parts.gate import canonical
from ui.parts.words import EFFECT, agent_look, label

_WEARY = 3  # questions of one run from which on it says how many there were


def approval_card(
    approval_id: str, kind: ApprovalKind, action: Action, reason: str, *, alike: str = "", times: int = 0, shortcut: bool = False
) -> bool:
    """One pending action with its answers; True once it has been decided. `alike`: what may be allowed for the rest of the run, in words.
    `times`: how often this run has asked. `shortcut` lets Ctrl+Enter approve (one card a page)."""
    unknown = kind == ApprovalKind.UNKNOWN_OUTCOME
    look, effect = agent_look(action.agent), EFFECT[action.effect]
    with st.container(key=f"ask-{approval_id}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            title = "Should it try this again?" if unknown else "May the team do this?"
            st.subheader(title, anchor=False, width="content")
            st.badge(look.name, icon=look.icon, color=look.colour)
            st.badge(effect.name, icon=effect.icon, color=effect.colour)
        if unknown:
            st.markdown("This was begun and cut off, and nobody knows whether it happened. Trying again may do it **twice**.")
        canonical(action, key=approval_id)
        with st.container(key=f"why-{approval_id}"):
            st.text(reason)
        if times >= _WEARY:
            st.caption(f"This run has asked you {times} times." + (" One answer may do for what is alike." if alike else ""))
        if is_refusing(approval_id):
            return _refusing(approval_id, unknown)
        if st.session_state.get(f"editing-{approval_id}"):
            return _editing(approval_id, action)
        return _answers(approval_id, action, alike, unknown, shortcut)


def is_refusing(approval_id: str) -> bool:
    """Whether the person is giving a reason for a no just now."""
    return bool(st.session_state.get(f"refusing-{approval_id}"))


def is_busy(approval_id: str) -> bool:
    """Whether something is being typed in its card."""
    return is_refusing(approval_id) or bool(st.session_state.get(f"editing-{approval_id}"))


def _answers(approval_id: str, action: Action, alike: str, unknown: bool, shortcut: bool) -> bool:
    yes, no = ("Try it again", "Count it as done…") if unknown else ("Approve", "Refuse…")
    with st.container(horizontal=True, gap="small"):
        # No shortcut where approving may do a thing twice.
        keys = "Ctrl+Enter" if shortcut and not unknown else None
        approved = st.button(yes, type="primary", icon=":material/check:", key=f"approve-{approval_id}", shortcut=keys)
        always = False
        if alike and not unknown:
            help_ = "For the rest of this run, where it would ask for the same reason. Payments and deletions still ask."
            name = f"Allow {label(alike)} in this run"
            always = st.button(name, icon=":material/done_all:", key=f"alike-{approval_id}", help=help_)
        if editable(action) and not unknown and st.button("Change…", icon=":material/edit:", key=f"edit-{approval_id}"):
            st.session_state[f"editing-{approval_id}"] = True
            st.rerun()
        if st.button(no, icon=":material/close:", key=f"refuse-{approval_id}"):
            st.session_state[f"refusing-{approval_id}"] = True
            st.rerun()
    return (approved or always) and decide(approval_id, ApprovalStatus.APPROVED, "", for_run=always)


def _editing(approval_id: str, action: Action) -> bool:
    """What is typed, written or run, as the person wants it."""
    edits = {
        name: st.text_area(name.replace("_", " ").capitalize(), text, key=f"edit-{approval_id}-{name}", height=160)
        for name, text in editable(action).items()
    }
    with st.container(horizontal=True, gap="small"):
        approved = st.button("Approve as changed", type="primary", icon=":material/check:", key=f"edit-send-{approval_id}")
        if st.button("Back", type="tertiary", key=f"edit-back-{approval_id}"):
            st.session_state.pop(f"editing-{approval_id}", None)
            st.rerun()
    return approved and decide(approval_id, ApprovalStatus.APPROVED, "", edits={name: text or "" for name, text in edits.items()})


def _refusing(approval_id: str, unknown: bool) -> bool:
    """The second half of a no: room for a reason. Approve is gone meanwhile, so no key can say yes by mistake."""
    why = st.text_input(
        "What should the team know?" if unknown else "Why? The team reads this and looks for another way.",
        key=f"reason-{approval_id}",
        max_chars=4000,
        placeholder="Optional, such as: the order is there" if unknown else "Optional, such as: use the price with tax",
    )
    name, icon = ("Count it as done", ":material/done_all:") if unknown else ("Refuse", ":material/block:")
    with st.container(horizontal=True, gap="small"):
        refused = st.button(name, type="primary", icon=icon, key=f"refuse-send-{approval_id}")
        if st.button("Back", type="tertiary", key=f"refuse-back-{approval_id}"):
            st.session_state.pop(f"refusing-{approval_id}", None)
            st.rerun()
    return refused and decide(approval_id, ApprovalStatus.REJECTED, why or "")


def decide(
    approval_id: str,
    decision: ApprovalStatus,
    explanation: str,
    plan: list[dict[str, Any]] | None = None,
    *,
    for_run: bool = False,
    edits: dict[str, str] | None = None,
) -> bool:
    """Send a decision; on failure show why and return False."""
    try:
        wish = ApprovalDecision(decision=decision, explanation=explanation, plan=plan, for_run=for_run, edits=edits or None)
        api().decide(approval_id, wish)
    except KeepsakeError as error:
        show_error(error, "The decision was not taken", key=f"decide-{approval_id}")
        return False
    for state in ("refusing", "editing", "pick"):
        st.session_state.pop(f"{state}-{approval_id}", None)
    yes = decision == ApprovalStatus.APPROVED
    st.toast("Approved." if yes else "Refused.", icon=":material/check:" if yes else ":material/block:")
    return True
