"""Tools of agents from outside the house, as the person's words allow them: the gate as a function, kept in step with a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from agents.safety.judge import Case, Ruling
from app.schemas import Effect


class Read(BaseModel):
    """A call of an outside agent that was carried out, and what it gave. JSON, kept in the run's state."""

    tool: str
    arguments: dict[str, Any]
    text: str


class Outside:
    """`schemas`: of the tools, each with the effect that the operator gave it. Before `follow` nothing is known, and everything asks."""

    def __init__(self, effects: Mapping[str, Effect], schemas: Sequence[Mapping[str, Any]] = ()) -> None:
        described = {str(schema["name"]): schema for schema in schemas}
        self._schemas = [
            {"name": name, **described.get(name, {}), "annotations": {"effect": effect}}
            for name, effect in effects.items()
            if name in described
        ]
        self._case: Case | None = None
        self._texts: list[str] = []
        self._reads = 0

    def follow(self, texts: Sequence[str], reads: Sequence[Read]) -> None:
        """Bring the case up to date: what the person has said, in order, and what was carried out. Cheap where little is new."""
        if self._case is None or list(texts[: len(self._texts)]) != self._texts or len(reads) < self._reads:
            self._case, self._texts, self._reads = Case.of(texts[:1], self._schemas), list(texts[:1]), 0
        for text in texts[len(self._texts) :]:
            self._case.hear(text)
        for read in reads[self._reads :]:
            if read.tool in self._case.tools:  # a team may come back without one of its tools
                self._case.done(read.tool, read.arguments, read.text)
        self._texts, self._reads = list(texts), len(reads)

    def judge(self, tool: str, arguments: Mapping[str, Any]) -> Ruling | None:
        """What the person's words say to a call; None where nothing is known of them or of the tool."""
        if self._case is None or tool not in self._case.tools:
            return None
        return self._case.judge(tool, arguments)
