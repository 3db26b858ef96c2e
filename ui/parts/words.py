"""How the UI says things: names, colours and icons of statuses, agents, policies and effects; sizes and times for people.

Only words written here (or passed through `label`) may become Markdown labels; everything that a page, file, model or person wrote is shown
with st.text or st.code.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from app.schemas import Effect, RunStatus
from app.training import JobStatus

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "primary"]


@dataclass(frozen=True)
class Look:
    """Name, badge colour and icon of one thing."""

    name: str
    colour: Colour
    icon: str


STATUS: dict[RunStatus, Look] = {
    RunStatus.QUEUED: Look("Queued", "gray", ":material/schedule:"),
    RunStatus.RUNNING: Look("Running", "blue", ":material/autorenew:"),
    RunStatus.AWAITING_APPROVAL: Look("Waits for approval", "orange", ":material/front_hand:"),
    RunStatus.AWAITING_INPUT: Look("Asks you", "orange", ":material/contact_support:"),
    RunStatus.PAUSED: Look("Paused", "gray", ":material/pause_circle:"),
    RunStatus.SUCCEEDED: Look("Done", "green", ":material/check_circle:"),
    RunStatus.FAILED: Look("Failed", "red", ":material/error:"),
    RunStatus.REFUSED: Look("Refused", "violet", ":material/shield:"),
    RunStatus.CANCELLED: Look("Cancelled", "gray", ":material/cancel:"),
}

EFFECT: dict[Effect, Look] = {
    Effect.READ: Look("reads", "gray", ":material/visibility:"),
    Effect.WRITE: Look("changes something", "orange", ":material/edit:"),
    Effect.SEND: Look("sends words", "orange", ":material/send:"),
    Effect.DELETE: Look("deletes", "red", ":material/delete:"),
    Effect.PAY: Look("pays", "red", ":material/payments:"),
    Effect.EXEC: Look("runs a program", "violet", ":material/terminal:"),
    Effect.CREDENTIAL: Look("changes who may log in", "red", ":material/key:"),
}

VERDICT: dict[str, Look] = {
    "allow": Look("allowed", "green", ":material/check:"),
    "ask": Look("asked you", "orange", ":material/front_hand:"),
    "refuse": Look("refused", "red", ":material/block:"),
}

JOB: dict[JobStatus, Look] = {
    JobStatus.PREPARING: Look("Prepares", "blue", ":material/hourglass_top:"),
    JobStatus.RUNNING: Look("Running", "blue", ":material/autorenew:"),
    JobStatus.STOPPED: Look("Stopped", "gray", ":material/pause_circle:"),
    JobStatus.CUT_OFF: Look("Cut off", "orange", ":material/power_off:"),
    JobStatus.FINISHED: Look("Finished", "green", ":material/check_circle:"),
    JobStatus.UNREADABLE: Look("Unreadable", "red", ":material/error:"),
}

ALIAS: dict[str, Look] = {
    "production": Look("production", "green", ":material/rocket_launch:"),
    "candidate": Look("candidate", "violet", ":material/science:"),
    "previous": Look("previous", "gray", ":material/history:"),
}

_AGENTS: dict[str, Look] = {
    "web": Look("web", "blue", ":material/language:"),
    "files": Look("files", "yellow", ":material/folder_open:"),
    "coder": Look("coder", "violet", ":material/code:"),
    "executor": Look("executor", "violet", ":material/terminal:"),
    "person": Look("you", "green", ":material/person:"),
}

# `<member>.<verb>` of an action, in words.
_VERBS = {
    "web.visit": "Open a page",
    "web.click": "Click",
    "web.type": "Type into a box",
    "web.select": "Choose from a list",
    "web.scroll": "Scroll",
    "web.back": "Go back",
    "web.read": "Read the page",
    "web.save_table": "Save a table as a file",
    "web.download": "Save a file of a site",
    "files.list": "List files",
    "files.read": "Read a file",
    "files.write": "Write a file",
    "code.run": "Run a program in the sandbox",
}

_PLAIN = re.compile(r"[^\w .,%/()+-]")


def agent_look(name: str) -> Look:
    return _AGENTS.get(name) or Look(label(name, 40) or "agent", "gray", ":material/smart_toy:")


def verb(kind: str) -> str:
    """An action's kind in words; tools of foreign agents keep their name."""
    return _VERBS.get(kind) or f"Use the tool {label(kind.removeprefix('tool.'), 60)}"


def label(text: str, limit: int = 80) -> str:
    """`text` as something that is safe inside a Markdown label: signs that Markdown or Streamlit's directives read become spaces."""
    cut = _PLAIN.sub(" ", text).replace("_", " ").replace("->", " ").replace("--", " ")
    return " ".join(cut.split())[:limit]


def origin(tag: str) -> str:
    """A provenance label, such as `untrusted:web`, in words."""
    return " · ".join(label(part) for part in tag.split(":"))


def count(number: float) -> str:
    """12,345 as people read it: 950, 12.3k, 1.2M."""
    if number < 1000:
        return f"{number:.0f}"
    if number < 1_000_000:
        return f"{number / 1000:.1f}k".replace(".0k", "k")
    return f"{number / 1_000_000:.1f}M".replace(".0M", "M")


def duration(seconds: float) -> str:
    """42 s, 3 min 05 s, 30 min, 2 h 10 min."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    large, small, units = (whole // 60, whole % 60, ("min", "s")) if whole < 3600 else (whole // 3600, whole % 3600 // 60, ("h", "min"))
    return f"{large} {units[0]} {small:02d} {units[1]}" if small else f"{large} {units[0]}"


def plural(number: int, name: str) -> str:
    """1 step, 2 steps, 2 entries."""
    if number == 1:
        return f"1 {name}"
    return f"{number} {name[:-1]}ies" if name.endswith("ry") else f"{number} {name}s"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = ((now or datetime.now(UTC)) - aware(moment)).total_seconds()
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{plural(int(seconds // size), unit)} ago"
    return "just now"


def aware(moment: datetime) -> datetime:
    """Times without a zone are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def size(number: int) -> str:
    """Bytes for people."""
    if number < 1000:
        return f"{number} B"
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"
