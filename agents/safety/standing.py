"""What a person allowed for the rest of a run: actions of one kind and effect at one place, asked about for one reason.

Never payments, deletions or credentials, and never what asks because of a value or a sum: those are looked at one by one.
"""

from typing import Any, NamedTuple

from agents.safety.grants import Origin
from app.schemas import Action, Effect

_KEPT = "standing"  # key in TeamState.memory
_EFFECTS = frozenset({Effect.READ, Effect.WRITE, Effect.SEND, Effect.EXEC})
_ONE_BY_ONE = frozenset({"confidential", "much-read", "over-limit", "provenance", "address", "unread", "unknown-class", "policy"})


class Alike(NamedTuple):
    """`place`: host and port of the page that it is on or leads to, the name of a tool from outside, or the workspace."""

    kind: str
    effect: str
    place: str
    rule: str

    @classmethod
    def of(cls, action: Action, rule: str, origins: list[Origin]) -> "Alike | None":
        """What an action that asks by a rule is alike to; None where each has to be asked about."""
        if action.effect not in _EFFECTS or rule in _ONE_BY_ONE:
            return None
        places = {f"{origin.host}:{origin.port}" for origin in origins}
        if action.kind.startswith("web.") and action.kind != "web.save_table":
            return cls(action.kind, action.effect, places.pop(), rule) if len(places) == 1 else None
        return cls(action.kind, action.effect, action.target if action.kind.startswith("tool.") else "the workspace", rule)

    @property
    def words(self) -> str:
        """For a person: what they would allow."""
        doing = {"read": "reading", "write": "changes", "send": "sending", "exec": "programs"}[self.effect]
        return f"{doing} {'by' if self.kind.startswith('tool.') else 'at' if ':' in self.place else 'in'} {self.place}"


class Standing:
    """A run's."""

    def __init__(self) -> None:
        self.allowed: set[Alike] = set()

    def keep(self, memory: dict[str, Any]) -> None:
        if self.allowed:
            memory[_KEPT] = sorted(map(list, self.allowed))

    def recall(self, memory: dict[str, Any]) -> None:
        self.allowed |= {Alike(*one) for one in memory.get(_KEPT, [])}
