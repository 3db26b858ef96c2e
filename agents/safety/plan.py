"""Grants: what the person's words allow, derived before anything untrusted is read. A re-plan adds none; words that steer may.

A grant is for one tool and one clause, and is used up by its call. Where the words speak of several (`each user`), it lasts for as many calls as
differ in whom or what they choose.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.safety.tools import Tool, synonyms, words_of
from agents.safety.words import Clause, Words
from app.schemas import Effect

_NAMED = frozenset({Effect.EXEC, Effect.CREDENTIAL})  # granted only where the words name the thing


@dataclass
class Grant:
    """`clause` is None for a grant that was given otherwise, by a policy or a plan. `used`: selectors of the calls that used it."""

    tool: str
    clause: Clause | None = None
    many: bool = False
    used: list[tuple[tuple[str, str], ...]] = field(default_factory=list)

    def open_for(self, tool: Tool, arguments: Mapping[str, Any]) -> bool:
        chosen = selectors(tool, arguments)
        return self.tool == tool.name and (chosen not in self.used if self.many else not self.used)

    def use(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        self.used.append(selectors(tool, arguments))


def selectors(tool: Tool, arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What a call chooses, in a form that can be compared."""
    return tuple(sorted((name, str(value)) for name, value in arguments.items() if tool.is_selector(name)))


def grants_of(words: Words, tools: Iterable[Tool]) -> list[Grant]:
    """The grants of the person's words for what changes anything; reading needs none."""
    tools = list(tools)
    return [
        Grant(tool.name, clause, clause.many or _plural(tool, clause))
        for clause in words.clauses
        for tool in tools
        if tool.effect not in (None, Effect.READ) and _asks_for(clause, tool)
    ]


def grants_for(calls: Sequence[str]) -> list[Grant]:
    """One grant for each call of a plan that somebody made who may, by the names of its tools."""
    return [Grant(name) for name in calls]


def _asks_for(clause: Clause, tool: Tool) -> bool:
    if not clause.families & tool.families:
        return False
    return tool.effect not in _NAMED or bool(things(tool) & clause.words)


def things(tool: Tool) -> set[str]:
    """What a tool is about: the words of its name behind the verb, and other names for it."""
    return synonyms(words_of(tool.name)[1:])


def _plural(tool: Tool, clause: Clause) -> bool:
    return any(f"{word}s" in clause.words for word in words_of(tool.name))
