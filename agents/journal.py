"""Two doors from a turn to durable storage: intents written before an effect is tried, and artifacts.

Everything else a turn produces (events, state) is returned and stored by the caller in one transaction.
"""

import hashlib
from typing import Protocol

from app.schemas import Action


class Journal(Protocol):
    """Intents of one run. An intent is durable when `intend` returns."""

    async def intend(self, action: Action, turn: int) -> None:
        """Record that `action` is about to be tried in `turn`; the store appends an `action.intent` event at once."""

    async def unresolved(self, turn: int) -> Action | None:
        """The action that an earlier, cut-off try of this very turn meant to carry out, if any."""


class ArtifactSink(Protocol):
    """Keeps bytes of one run (screenshots, files) and returns their artifact id; the same content and name give the same id."""

    async def save(self, name: str, media_type: str, data: bytes) -> str: ...


class MemoryJournal:
    """Journal and sink of a run that lives in this process alone (bench, AutoGen Team interface)."""

    def __init__(self) -> None:
        self.intents: list[tuple[int, Action]] = []
        self.artifacts: dict[str, tuple[str, str, bytes]] = {}

    async def intend(self, action: Action, turn: int) -> None:
        self.intents.append((turn, action))

    async def unresolved(self, turn: int) -> Action | None:  # noqa: ARG002 - nothing is cut off inside one process
        return None

    async def save(self, name: str, media_type: str, data: bytes) -> str:
        artifact_id = f"art_{hashlib.sha256(name.encode() + data).hexdigest()[:24]}"
        self.artifacts[artifact_id] = (name, media_type, data)
        return artifact_id
