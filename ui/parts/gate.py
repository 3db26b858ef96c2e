"""The gate as a person sees it: what exactly would be done, and what was decided."""

import json
from typing import Any

import streamlit as st

from app.events import RunView
from app.schemas import Action
from ui.parts.words import VERDICT, Look, verb

_PLACES = {"web": "Where", "files": "File", "code": "Where", "tool": "Where"}
_NAMES = {"code": "Program", "text": "With", "label": "Element", "page_url": "On page"}
_PLAIN = {"label", "rows", "then"}  # arguments that read as a word, not as a block
_INTERNAL = {"locator", "enter"}
_FORM = {
    "form",
    "filled",
    "choices",
    "offered",
    "presses",
    "alike",
    "title",
    "near",
    "row",
    "rows",
    "totals",
    "text",
}  # shown as what is sent
_LONG = 4000  # characters of one argument that are shown


def canonical(action: Action, *, key: str) -> None:
    """What exactly would be done: what, where, with what. The whole record, which the approval is bound to, is behind a fold."""
    with st.container(key=f"canonical-{key}", gap="xsmall"):
        _row("What", deed(action))
        _row(_PLACES.get(action.kind.split(".")[0], "Where"), action.target, code=True)
        for name, value in telling(action).items():
            argument(name, value)
        for name, text in sent(action).items():
            _row(name, text)
        record = st.expander("Exactly as recorded", type="compact", key=f"record-{key}", on_change="rerun")
        if record.open:
            with record:
                st.code(
                    json.dumps(action.model_dump(mode="json"), indent=1, ensure_ascii=False), language="json", wrap_lines=True, height=280
                )
                st.caption(f"SHA-256 of what decides: {action.digest}")


def deed(action: Action) -> str:
    """The action in one line: its kind in words and its summary, without saying the same word twice."""
    kind, summary = verb(action.kind), action.summary.strip()
    if not summary:
        return kind
    same = summary.split()[0].lower() == kind.split()[0].lower()
    return summary[0].upper() + summary[1:] if same else f"{kind}: {summary}"


def telling(action: Action) -> dict[str, Any]:
    """The arguments that tell a person something; how the browser finds an element again is left to the record."""
    hidden = _INTERNAL | _FORM if "presses" in action.arguments else _INTERNAL
    shown = {k: v for k, v in action.arguments.items() if k not in hidden}
    if shown.get("page_url") == action.target:
        del shown["page_url"]
    if action.arguments.get("enter"):
        shown["then"] = "press Enter"
    return shown


def sent(action: Action) -> dict[str, str]:
    """What a form sends, field by field, with a mark where the page and not the team has put it in; what it is about, what an order holds."""
    given = action.arguments
    if "presses" not in given:
        return {}
    ours = set(given.get("filled", ()))
    page = "  (as the page has it)"
    fields = {name: f"{value}{'' if name in ours else page}" if value else "(empty)" for name, value in given.get("form", {}).items()}
    beside = {"Row": given.get("row", ""), "Order": "\n".join(given.get("rows", ())), "Total": " ".join(given.get("totals", ()))}
    return {"Page": given.get("title", ""), **fields} | {name: text for name, text in beside.items() if text}


def _row(name: str, text: str, code: bool = False) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="top", wrap=False):
        st.caption(name, width=72)
        if code:
            st.code(text, language=None, wrap_lines=True)
        else:
            st.text(text, width="stretch")


def argument(name: str, value: Any) -> None:
    """One argument of an action, cut when it is very long; programs are coloured."""
    text = value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)
    title = _NAMES.get(name) or (name.replace("_", " ").capitalize() if name.replace("_", "").isalnum() else "With")
    if name in _PLAIN:
        _row(title, text)
        return
    shown = text if len(text) <= _LONG else f"{text[:_LONG]}\n… {len(text) - _LONG} more characters"
    language = "python" if name == "code" else None if isinstance(value, str) else "json"
    with st.container(horizontal=True, gap="small", vertical_alignment="top", wrap=False):
        st.caption(title, width=72)
        st.code(shown, language=language, wrap_lines=True, height=280 if shown.count("\n") > 14 else "content")


def approval_of(view: RunView, action_id: str) -> dict[str, Any] | None:
    """The approval that was asked for an action, pending or decided."""
    return next((a for a in view.approvals.values() if (a.get("action") or {}).get("id") == action_id), None)


def decided_look(approval: dict[str, Any]) -> Look:
    if "decision" not in approval:
        return Look("waits for you", "orange", ":material/front_hand:")
    if approval["decision"] == "approved":
        return Look("you approved", "green", ":material/check:")
    return Look("you refused", "red", ":material/block:")


def verdict_line(entry: dict[str, Any], view: RunView) -> None:
    """One gate decision inside a block: verdict, rule, reason, and the person's answer if one was asked."""
    look = VERDICT.get(str(entry["verdict"])) or Look("unknown verdict", "gray", ":material/help:")
    asked = approval_of(view, str(entry.get("action_id")))
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        if asked is None:
            st.badge(look.name, icon=look.icon, color=look.colour)
        else:
            answer = decided_look(asked)
            st.badge(answer.name, icon=answer.icon, color=answer.colour)
        st.text(f"{entry['reason']} (rule {entry['rule']})", width="content")
    if asked and asked.get("explanation"):
        st.text(f"“{asked['explanation']}”")
    if asked and asked.get("for_run"):
        st.caption("For the rest of this run")
    for name, text in (asked or {}).get("edits", {}).items():
        argument(name, text)


def gate_card(view: RunView) -> None:
    """How the gate decided over the whole run; asks and refusals one by one."""
    entries = [(b, e) for b in view.blocks for e in b.entries if e["entry"] == "gate"]
    if not entries:
        return
    actions = {e["action"]["id"]: e["action"] for b in view.blocks for e in b.entries if e["entry"] == "action"}
    with st.container(key="card-gate", gap="small"):
        st.subheader("Gate", anchor=False)
        with st.container(horizontal=True, gap="xsmall"):
            for verdict, look in VERDICT.items():
                number = sum(1 for _, e in entries if e["verdict"] == verdict)
                if number:
                    st.badge(f"{number} {look.name}", icon=look.icon, color=look.colour)
        if times := len(view.approvals):
            st.caption(f"You were asked {'once' if times == 1 else f'{times} times'}.")
        for block, entry in [x for x in entries if x[1]["verdict"] != "allow"][-6:]:
            action = actions.get(entry["action_id"], {})
            with st.container(gap="xxsmall", key=f"gate-line-{entry['seq']}"):
                st.caption(f"Block {block.number}")
                st.text(str(action.get("summary") or action.get("kind") or "an action"))
                verdict_line(entry, view)
