"""The registry of weights: what is served, the versions with their gates, and the two buttons that change what is served."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import streamlit as st

from app.errors import KeepsakeError
from app.registry import Gate, Promotion, PromotionStatus, RegistryView, Version
from ui.parts.api import api
from ui.parts.callout import callout, show_error
from ui.parts.words import ALIAS, Look, ago

_NEWS = timedelta(minutes=10)
_BY = {"recipe": "by the recipe", "promise": "as promised before"}
_SWAP = (
    "The model server ends what it is answering, starts anew with these weights, and the runs go on: about a minute. "
    "If the weights do not come up, what is served now comes back."
)


def promotion_banner(promotion: Promotion | None) -> None:
    """The promotion under way, or how the last one ended; a success is news for a while, a failure until the next one."""
    if promotion is None:
        return
    verb = "Promotion" if promotion.verb == "promote" else "Rollback"
    if promotion.status == PromotionStatus.RUNNING:
        hint = f"{promotion.version}, begun {ago(promotion.started)}. Runs stand still while the server is away."
        callout("info", f"{verb} under way", promotion.message, hint, key="promotion", icon=":material/autorenew:")
    elif promotion.status == PromotionStatus.FAILED:
        callout("bad", f"{verb} failed", promotion.message, promotion.hint, key="promotion")
    elif promotion.ended and datetime.now(UTC) - promotion.ended < _NEWS:
        callout("good", f"{verb} done", promotion.message, ago(promotion.ended), key="promotion")


def version_cards(view: RegistryView) -> None:
    for problem in view.problems:
        callout("warn", "An entry cannot be read", problem, key=f"problem-{view.problems.index(problem)}")
    busy = view.promotion is not None and view.promotion.status == PromotionStatus.RUNNING
    order = {view.serving: 0, view.aliases.candidate: 1, view.aliases.previous: 2}
    for version in sorted(view.versions, key=lambda v: order.get(v.version, 3)):
        _card(version, view, busy)


def _card(version: Version, view: RegistryView, busy: bool) -> None:
    name = version.version
    with st.container(key=f"card-version-{name}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            with st.container(key=f"version-name-{name}", width="content"):
                st.text(name)
            for look in _aliases(name, view):
                st.badge(look.name, icon=look.icon, color=look.colour)
            if version.shipped:
                st.badge("ships with Keepsake", icon=":material/package_2:", color="gray")
            with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
                _buttons(version, view, busy)
        with st.container(key=f"told-version-{name}"):
            st.text(f"{version.recipe}, commit {version.commit}, {ago(version.created)}")
        for number, gate in enumerate(version.gates):
            gate_row(f"{name}-{number}", gate)
        if any(gate.value is None for gate in version.gates):
            with st.container(key=f"hint-measure-{name}"):
                st.text(f"`keepsake train promote {name} --measure` runs the benches for what was not measured.")
        with st.expander("Model card", type="compact", key=f"model-card-{name}"):
            _model_card(name)


def gate_row(key: str, gate: Gate) -> None:
    """Passed or failed, the value and its bound."""
    look = (
        Look("passed", "green", ":material/check:")
        if gate.passed
        else Look("not measured", "orange", ":material/help:")
        if gate.value is None
        else Look("failed", "red", ":material/close:")
    )
    value = "–" if gate.value is None else f"{gate.value:g}" + (f" (n = {gate.n})" if gate.n else "")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key=f"gate-line-{key}"):
        st.badge(look.name, icon=look.icon, color=look.colour)
        st.text(f"{gate.figure}  {value}", width="content")
        st.caption(f"{gate.direction.replace('_', ' ')} {gate.threshold:g}, {_BY[gate.source]}", width="content")


def _aliases(name: str, view: RegistryView) -> list[Look]:
    named = {"production": view.serving, "previous": view.aliases.previous, "candidate": view.aliases.candidate}
    return [ALIAS[alias] for alias, version in named.items() if version == name]


def _buttons(version: Version, view: RegistryView, busy: bool) -> None:
    name = version.version
    if name == view.serving:
        if view.aliases.previous and st.button("Roll back…", icon=":material/undo:", key=f"rollback-{name}", disabled=busy):
            _confirm_rollback(view.aliases.previous)
        return
    failing = [gate for gate in version.gates if not gate.passed]
    why = f"{len(failing)} of its gates do not pass." if failing else None
    if st.button("Promote…", icon=":material/publish:", key=f"promote-{name}", disabled=busy or bool(failing), help=why):
        _confirm_promotion(name)


@st.dialog("Serve this version?")
def _confirm_promotion(name: str) -> None:
    st.text(name)
    st.markdown(f"Its gates are checked again, against what is served now. {_SWAP}")
    with st.container(horizontal=True, gap="small"):
        if st.button("Promote", type="primary", icon=":material/publish:", key="promote-yes"):
            _act(lambda: api().promote_version(name), "It was not promoted")
        if st.button("Leave it", key="promote-no"):
            st.rerun()


@st.dialog("Go back to the previous version?")
def _confirm_rollback(previous: str) -> None:
    st.text(previous)
    st.markdown(_SWAP)
    with st.container(horizontal=True, gap="small"):
        if st.button("Roll back", type="primary", icon=":material/undo:", key="rollback-yes"):
            _act(lambda: api().rollback_version(), "It was not rolled back")
        if st.button("Leave it", key="rollback-no"):
            st.rerun()


def _act(send: Callable[[], object], failure: str) -> None:
    try:
        send()
    except KeepsakeError as error:
        show_error(error, failure, key="promotion-act")
        return
    st.rerun()


def _model_card(name: str) -> None:
    try:
        st.code(card_of(name), language="markdown", wrap_lines=True)
    except KeepsakeError as error:
        show_error(error, "The card cannot be shown", key=f"card-{name}")


@st.cache_data(max_entries=200, show_spinner=False)
def card_of(name: str) -> str:
    """Versions never change, so one fetch each is enough."""
    return api().training_card(name)
