"""A conversation in OpenAI's form, as the gate sees it: how the roles of its messages become labels.

| role | whose words | what they can do |
| --- | --- | --- |
| `user` | the person's | the task and every later message grant, and say values |
| `system`, `developer` | the operator's | nothing here: what an operator allows stands in a policy, not in a prompt |
| `assistant` | the model's, with the join of all before | nothing; its tool calls are what the results that follow answer |
| `tool`, `function` | strangers' | nothing; values may be chosen from them where the person's words say so |
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.safety.judge import Case, Ruling
from app.errors import InvalidInput

_SILENT = ("system", "developer")


def judge(task: str, tools: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]], call: Mapping[str, Any]) -> Ruling:
    """Verdict on one proposed call: {name, arguments} or an OpenAI tool call. Raises InvalidInput for what is no conversation."""
    return case_of(task, tools, history).judge(*_call(call))


def case_of(task: str, tools: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> Case:
    """The run so far. `task` are the person's first words; a first `user` message that repeats them counts once."""
    case = Case.of([task], tools)
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    first = True
    for number, message in enumerate(history):
        if not isinstance(message, Mapping) or "role" not in message:
            raise InvalidInput(f"Message {number} has no role.", hint="Give messages as {role, content}, as OpenAI's API has them.")
        role, text = message["role"], _text(message.get("content"))
        if role == "user":
            if not first or text.strip() != task.strip():
                case.hear(text)
            first = False
        elif role == "assistant":
            calls |= {str(own.get("id", len(calls))): _call(own) for own in message.get("tool_calls") or ()}
        elif role in ("tool", "function"):
            name, arguments = calls.pop(str(message.get("tool_call_id")), (str(message.get("name", "")), {}))
            if name in case.tools:  # what another tool gave is nobody's word
                case.done(name, arguments, text if isinstance(message.get("content"), str | list) else message.get("content"))
        elif role not in _SILENT:
            raise InvalidInput(f"Message {number} has the unknown role {str(role)[:40]}.", hint="Known: user, assistant, tool, system.")
    return case


def _call(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    function = given.get("function", given) if isinstance(given, Mapping) else {}
    name, arguments = function.get("name"), function.get("arguments", function.get("args", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except ValueError as error:
            raise InvalidInput(f"The arguments of {name} are no JSON: {error}.", hint="Give an object, or its JSON.") from error
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InvalidInput("A call needs a name and arguments.", hint="Give {name: ..., arguments: {...}}.")
    return name, arguments


def _text(content: Any) -> str:
    """A message's text: a string, or the texts of its parts."""
    if isinstance(content, str):
        return content
    return "\n".join(_parts(content)) if isinstance(content, Sequence) else ""


def _parts(content: Sequence[Any]) -> Iterator[str]:
    for part in content:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            yield part["text"]
