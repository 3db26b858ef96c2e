"""What the house's own members read and did in a run, as the gate keeps it."""

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, Field

from agents.safety.forms import acts
from app.schemas import Action, Effect

TEXT = 8000  # characters of one page or file that are kept
MOST = 1_000_000  # characters of all that is kept of a run; above it nobody can tell any more where a word comes from


class Seen(BaseModel):
    """What a member read (`page`, `file`, `program`) or did (`deed`, with the action's kind and arguments). JSON, kept in the run's state."""

    what: Literal["page", "file", "program", "deed"]
    where: str = Field("", description="Address of the page, path of the file, target of the deed.")
    text: str = ""
    kind: str = ""
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Of a page `title` and `links` (see `short`); of a deed the action's."
    )


def short(url: str) -> str:
    """An address as a page's links are kept: 48 bits of its hash."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def deed(action: Action) -> Seen | None:
    """What has to be remembered of an action that was carried out; None of one that only read."""
    if action.effect == Effect.READ and not (action.kind == "web.click" and acts(action.target)):
        return None
    kept = {name: value for name, value in action.arguments.items() if name not in ("code", "text") or action.kind == "web.download"}
    return Seen(what="deed", where=action.target, kind=action.kind, arguments=kept)
