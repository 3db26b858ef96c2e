"""How a run ended: the answer, a refusal with its way out, or an error with its hint; and what it leaves behind."""

from functools import partial
from typing import Any

import streamlit as st

from app.schemas import RunStatus
from ui.parts.api import api
from ui.parts.callout import callout
from ui.parts.feed import Feed
from ui.parts.words import label, size


def outcome(feed: Feed) -> None:
    run = feed.run
    if run.status == RunStatus.SUCCEEDED:
        with st.container(key="answer", gap="xsmall"):
            st.markdown("**:material/check_circle: Answer**")
            st.text(run.answer or "The task is done.")
    elif run.status == RunStatus.REFUSED:
        refusal = run.refusal or {}
        text = "\n".join(x for x in (str(refusal.get("reason", "")), _wished(refusal)) if x)
        callout("calm", "Refused", text, str(refusal.get("alternative", "")), key="outcome")
    elif run.status == RunStatus.FAILED:
        error = run.error or {}
        callout("bad", "Failed", str(error.get("message", "The run failed.")), str(error.get("hint", "")), key="outcome")
    elif run.status == RunStatus.CANCELLED:
        callout("calm", "Cancelled", "You stopped this run. What it did up to then stands below.", key="outcome", icon=":material/cancel:")
    artifacts(feed)


def _wished(refusal: dict[str, Any]) -> str:
    return f"It wanted to: {refusal['evidence']}" if refusal.get("evidence") else ""


def artifacts(feed: Feed) -> None:
    """Files the run made, newest version of each name, as downloads that fetch their bytes on the click."""
    latest = {str(a["name"]): a for a in feed.view.artifacts}
    if not latest:
        return
    with st.container(horizontal=True, gap="xsmall", key="artifacts"):
        for name, artifact in latest.items():
            st.download_button(
                f"{label(name.rsplit('/', 1)[-1])} · {size(artifact.get('size', 0))}",
                data=partial(api().artifact_content, artifact["artifact_id"]),
                file_name=name.rsplit("/", 1)[-1],
                mime=artifact.get("media_type") or "application/octet-stream",
                icon=":material/download:",
                key=f"artifact-{artifact['artifact_id']}",
                on_click="ignore",
            )
