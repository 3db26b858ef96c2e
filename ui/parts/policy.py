"""How freely the team may act: the choice, what a policy of one's own says, and what it would have asked before."""

from typing import Any

import streamlit as st

from app.errors import KeepsakeError
from app.policies.base import PolicyItem, Rule, Then
from app.policies.files import presets
from app.schemas import PolicyChoice
from ui.parts.api import api
from ui.parts.callout import show_error
from ui.parts.words import EFFECT, label

_THEN = {
    Then.ALLOW: "runs unasked",
    Then.WORDS: "runs if your words ask for it, else asks",
    Then.ASK: "asks",
    Then.REFUSE: "is refused",
}
_LAST = 20  # runs that a policy is tried on


def policy_choice() -> str:
    """The name of the chosen policy."""
    items = {item.name: item for item in _items()}
    if st.session_state.get("task-policy") not in items:
        st.session_state["task-policy"] = "ask_writes"
    chosen = st.radio(
        "When should it ask you?",
        list(items),
        format_func=lambda name: label(items[name].title),
        captions=[label(item.error or item.about, 300) if item.own else item.about for item in items.values()],
        key="task-policy",
        persist_state="session",
    )
    item = items[chosen]
    if item.error:
        st.warning(label(item.error, 300), icon=":material/warning:")
    elif item.own:
        with st.expander("What it says", type="compact", key="policy-rules"):
            for rule in item.rules:
                st.text(spoken(rule))
    _trial(chosen)
    return chosen


def policy_title(policy: PolicyChoice) -> str:
    """What a person calls a policy."""
    known = presets().get(policy) if isinstance(policy, str) else policy
    return (known.title or known.name) if known is not None else str(policy)


def spoken(rule: Rule) -> str:
    """A rule as a line for a person: `Pays, more than 50: is refused. Nothing above 50 without me.`"""
    whom = [
        " or ".join(EFFECT[effect].name for effect in rule.effects),
        f"as {' or '.join(rule.actions)}" if rule.actions else "",
        f"at {' or '.join(rule.sites)}" if rule.sites else "",
        f"files {' or '.join(rule.files)}" if rule.files else "",
        f"more than {rule.over}" if rule.over is not None else "",
    ]
    what = ", ".join(part for part in whom if part) or "anything"
    return f"{what[0].upper()}{what[1:]}: {_THEN[rule.then]}. {rule.why}".strip()


def _items() -> list[PolicyItem]:
    """What the API offers; where it is away, what comes with Keepsake, so that the form can be filled in."""
    try:
        return _offered()
    except KeepsakeError:
        return [PolicyItem(name=p.name, title=p.title, about=p.about) for p in presets().values()]


@st.cache_data(ttl=10, show_spinner=False)
def _offered() -> list[PolicyItem]:
    return api().policies()


def _trial(name: str) -> None:
    """What the policy would have asked in the last runs, on demand."""
    if not st.button(
        "What would it have asked?", type="tertiary", icon=":material/history:", key="policy-try", help=f"Tried on your last {_LAST} runs."
    ):
        return
    try:
        trial = api().try_policy(name, last=_LAST)
    except KeepsakeError as error:
        show_error(error, "The policy was not tried", key="policy-try")
        return
    with st.container(key="policy-trial", gap="xsmall"):
        st.text(summed(trial))
        for found in list(trial["differing"].values())[:3]:
            for one in found[:3]:
                st.text(f"{one['action']}: {one['then']} then, {one['now']} with this")


def summed(trial: dict[str, Any]) -> str:
    """A trial in a sentence or two."""
    if not trial["actions"]:
        return "No past run has done anything that it could be tried on."
    asked, would = trial["asked"], trial["would_ask"]
    refused = (
        f" It would have refused {trial['would_refuse']}, and {trial['refused']} were." if trial["would_refuse"] or trial["refused"] else ""
    )
    return (
        f"Of {trial['actions']} actions in {trial['runs']} runs it would have asked about {would}; you were asked about {asked}.{refused}"
    )
