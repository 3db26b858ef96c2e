"""The gate as a function: the person's words, the tools, what was read so far, and a call that is wished; out comes a verdict with its reasons.

For agents from outside and for benchmarks; docs/gate.md says how the roles of a conversation become labels. Deterministic, without a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.safety.basis import Basis, Tracer
from agents.safety.plan import Grant, grants_of, things
from agents.safety.reading import Reading
from agents.safety.tools import Tool, words_of
from agents.safety.values import Kind
from agents.safety.words import Words
from app.errors import InvalidInput
from app.schemas import Effect, Verdict


@dataclass(frozen=True)
class Ruling:
    """`rule` names what decided, `reason` says it to a person, `bases` where each argument comes from."""

    verdict: Verdict
    rule: str
    reason: str
    bases: tuple[Basis, ...] = ()


@dataclass
class Case:
    """A run as the gate sees it. `done` tells it what was carried out and read; only that changes what is allowed."""

    reading: Reading
    tools: Mapping[str, Tool]
    grants: list[Grant] = field(default_factory=list)

    @classmethod
    def of(cls, texts: Sequence[str], tools: Sequence[Mapping[str, Any]], grants: list[Grant] | None = None) -> "Case":
        """A run that has read nothing yet. `texts`: what the person has said. `grants`: instead of those of the words."""
        words = Words.of(texts)
        known = {tool.name: tool for tool in map(Tool.of, tools)}
        return cls(Reading(words), known, grants_of(words, known.values()) if grants is None else grants)

    def judge(self, name: str, arguments: Mapping[str, Any]) -> Ruling:
        tool = self.tools.get(name)
        if tool is None:
            return Ruling(Verdict.REFUSE, "unknown-tool", f"`{name[:80]}` is not among the tools of this task.")
        if unknown := sorted(set(arguments) - set(tool.parameters)):
            return Ruling(Verdict.REFUSE, "unknown-argument", f"{name} has no argument `{unknown[0][:80]}`.")
        if tool.effect is None:
            return Ruling(Verdict.ASK, "unknown-class", f"Nothing says what {name} does to the world.")
        if tool.effect == Effect.READ:
            return self._reading(tool, arguments)
        return self._granted(tool, arguments)[0]

    def _granted(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[Ruling, Grant | None]:
        """By the first grant that covers the call; if none does, what the last one lacks."""
        ruling, best = Ruling(Verdict.ASK, f"not-asked-{tool.effect}", f"Your words do not ask for this: {tool.name}."), None
        for grant in self.grants:
            if not grant.open_for(tool, arguments):
                continue
            bases = tuple(Tracer(self.reading, tool, arguments, grant.clause).bases())
            doubts = [basis for basis in bases if not basis.enough]
            if not doubts and tool.effect == Effect.DELETE and not self._is_named(tool, grant, bases):
                continue
            if not doubts:
                return Ruling(Verdict.ALLOW, "granted", "Your words ask for this.", bases), grant
            ruling, best = Ruling(Verdict.ASK, "provenance", f"`{doubts[0].argument}` {doubts[0].why}.", bases), best or grant
        return ruling, best

    def _is_named(self, tool: Tool, grant: Grant, bases: Sequence[Basis]) -> bool:
        """Whether the words name what is to be deleted, or speak of one of the records that list such things."""
        about = things(tool)
        if grant.clause is None or about & grant.clause.words:
            return True
        return any(about & set(words_of(basis.source)) for basis in bases)

    def _reading(self, tool: Tool, arguments: Mapping[str, Any]) -> Ruling:
        """Reading is free, but for addresses: opening one tells its owner something, and brings in what they wrote."""
        leads = {name: value for name, value in arguments.items() if _is_address(tool, name)}
        bases = tuple(Tracer(self.reading, tool, leads, None).bases())
        doubts = [basis for basis in bases if not basis.enough]
        if doubts:
            return Ruling(Verdict.ASK, "address", f"`{doubts[0].argument}` {doubts[0].why}.", bases)
        return Ruling(Verdict.ALLOW, "read", "Only reads.", bases)

    def hear(self, text: str) -> None:
        """The person says more in the midst of the run: that grants, and what was read is seen in its light."""
        self.grants += grants_of(Words.of([text]), self.tools.values())
        self.reading = self.reading.again(Words.of([*self.reading.words.texts, text]))

    def done(self, name: str, arguments: Mapping[str, Any], content: Any) -> None:
        """A call was carried out, with this result: its grant is used up, and what it gave has been read. InvalidInput for an unknown tool."""
        tool = self.tools.get(name)
        if tool is None:
            raise InvalidInput(f"`{name[:80]}` is not among the tools of this task.", hint="Give all tools of the task at its beginning.")
        grant = None if tool.effect in (None, Effect.READ) else self._granted(tool, arguments)[1]
        if grant is not None:
            grant.use(tool, arguments)
        self.reading.see(self.reading.history.add(tool, arguments, content))


def _is_address(tool: Tool, name: str) -> bool:
    return tool.parameters[name].kind == Kind.URL and tool.is_selector(name)
