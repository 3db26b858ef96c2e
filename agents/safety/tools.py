"""What a tool does to the world and what its parameters decide: from annotations where there are any, else from the words of its schema.

A tool whose verb nobody knows has no class, and what has none always asks. Hints of whoever made the tool can raise the class that its name
gives it, never lower it; `annotations.effect` and `annotations.roles` are the operator's own word.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agents.safety.lexicon import lexicon, verbs
from agents.safety.values import Kind
from app.errors import InvalidInput
from app.schemas import Effect

_ORDER = (Effect.READ, Effect.WRITE, Effect.SEND, Effect.DELETE, Effect.PAY, Effect.EXEC, Effect.CREDENTIAL)
SEVERITY = {effect: rank for rank, effect in enumerate(_ORDER)}


class Role(StrEnum):
    """What a parameter decides."""

    SELECTOR = "selector"  # whom, where, which, how much: what an attack wants to choose
    PAYLOAD = "payload"  # what is carried there
    SETTING = "setting"  # when and how


@dataclass(frozen=True)
class Parameter:
    """`kind` of the values that it takes, where its name says so; `choices`: all that it takes."""

    name: str
    role: Role
    kind: Kind | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Tool:
    """`families`: of the lexicon, what one would call its doing in words. `effect` None: nobody knows. `open_world`: strangers wrote what it
    returns."""

    name: str
    effect: Effect | None
    families: frozenset[int] = frozenset()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    open_world: bool = False

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> "Tool":
        """From an OpenAI function, an MCP tool, or a bare {name, description, parameters}. Raises InvalidInput for anything else.

        Annotations: MCP's readOnlyHint, destructiveHint and openWorldHint; `effect` (an Effect) and `roles` ({parameter: role}).
        """
        schema = schema.get("function", schema)
        name = schema.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidInput("A tool has no name.", hint="Give each tool as {name, description, parameters: JSON schema}.")
        given = schema.get("parameters", schema.get("inputSchema", {}))
        properties = given.get("properties", {}) if isinstance(given, Mapping) else None
        if not isinstance(properties, Mapping):
            raise InvalidInput(f"The parameters of tool {name} are no JSON schema.", hint="Give {type: object, properties: {...}}.")
        annotations = schema.get("annotations") or {}
        roles = annotations.get("roles", {})
        parameters = {key: _parameter(key, own if isinstance(own, Mapping) else {}, roles.get(key)) for key, own in properties.items()}
        effect, families = _doing(name, parameters)
        reads = any(p.kind in (Kind.URL, Kind.FILE) and p.role == Role.SELECTOR for p in parameters.values())
        return cls(name, _annotated(name, effect, annotations), families, parameters, bool(annotations.get("openWorldHint", reads)))

    @property
    def gives_records(self) -> bool:
        """Whether a text that looks like records may be taken for such: not what strangers wrote, nor one thing that could be anything."""
        known, words = lexicon(), words_of(self.name)
        return not self.open_world and bool(
            known.lists & set(words) or any(w.endswith("s") and w not in known.no_plurals for w in words[1:])
        )

    def is_selector(self, name: str) -> bool:
        parameter = self.parameters.get(name)
        return parameter is not None and parameter.role == Role.SELECTOR


def words_of(name: str) -> list[str]:
    """`sendMoney`, `send_money`, `bank.send-money`: send, money."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rpartition(".")[2])]


def synonyms(names: Iterable[str]) -> set[str]:
    """The words in singular and plural, and other names for the same things."""
    words = {word for word in names if len(word) > 2}
    words |= {word.rstrip("s") for word in words}
    words |= {other for group in lexicon().synonyms if group & words for other in group}
    return words | {f"{word}s" for word in words}


def alike(parameter: str, key: str) -> bool:
    """Whether a record's field is of the sort that a parameter takes: both name somebody, or share a word, or the field is a plain list's."""
    who = lexicon().who
    ours, theirs = ({word.rstrip("s") for word in words_of(name)} for name in (parameter, key))
    return not key or bool(ours & theirs) or bool(ours & who and theirs & who)


def _doing(name: str, parameters: Mapping[str, Parameter]) -> tuple[Effect | None, frozenset[int]]:
    """The strictest of what a name's verb can mean, and the families it can stand for. `read_and_delete` has two verbs."""
    known, words = lexicon(), words_of(name)
    pair = known.pairs.get(" ".join(words[:2]))
    found = [pair] if pair else [word for word in words if word in verbs()]
    if not found:
        return None, frozenset()
    families = known.families_of(set(found if "and" in words else found[:1]))
    if known.buying & set(words):
        families |= known.families_of({"buy"})
    effects = sorted(
        {known.families[number].effect for number in known.families_of(set(found if "and" in words else found[:1]))},
        key=SEVERITY.__getitem__,
    )
    looks = any(p.kind in (Kind.URL, Kind.FILE) for p in parameters.values())
    if effects[0] == Effect.READ and words[0] == found[0] and "and" not in words and (len(effects) == 1 or looks):
        return Effect.READ, families
    if known.secrets & {*words, *parameters}:
        return Effect.CREDENTIAL, families
    if known.amounts & set(parameters) and (known.money & set(words) or {"recipient", "payee"} & set(parameters)):
        return Effect.PAY, families | known.families_of({"pay"})
    return effects[-1], families


def _annotated(name: str, effect: Effect | None, annotations: Mapping[str, Any]) -> Effect | None:
    if "effect" in annotations:
        try:
            return Effect(annotations["effect"])
        except ValueError as error:
            raise InvalidInput(f"Tool {name} has no known effect: {error}.", hint=f"One of {', '.join(_ORDER)}.") from error
    hinted = Effect.READ if annotations.get("readOnlyHint") else Effect.DELETE if annotations.get("destructiveHint") else None
    if hinted is None or effect is None:
        return hinted if effect is None else effect
    return max(hinted, effect, key=SEVERITY.__getitem__)


def _parameter(name: str, schema: Mapping[str, Any], role: str | None) -> Parameter:
    words = {name.lower(), *words_of(name)}
    kind = next((kind for kind, names in lexicon().parameter_kinds.items() if words & names), None)
    try:
        return Parameter(name, Role(role) if role else _role(name.lower(), words, schema), kind, tuple(schema.get("enum", ())))
    except ValueError as error:
        raise InvalidInput(f"Parameter {name} has no known role: {error}.", hint=f"One of {', '.join(Role)}.") from error


def _role(name: str, words: set[str], schema: Mapping[str, Any]) -> Role:
    known = lexicon()
    if schema.get("type") == "boolean" or name in known.how:
        return Role.SETTING
    if words & (known.who | known.where) or name in known.which:
        return Role.SELECTOR
    if words & known.what:
        return Role.PAYLOAD
    return Role.SETTING if words & known.how else Role.SELECTOR
