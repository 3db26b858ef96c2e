"""The chat template of an added model: its own where that carries system prompts and tools, else its own with them folded in, else ChatML.

The published memento template leaves out system prompts and tools, without which a team of agents cannot work.
"""

from collections.abc import Callable, Iterable
from typing import Any

from app.errors import InvalidInput
from infra.weights.vocabulary import CHAT_TEMPLATE

Render = Callable[[str, list[dict[str, Any]], list[dict[str, Any]] | None], str]

# Rewrites `messages` and runs before another template. Tools become part of the system prompt, calls and results plain text in the form that
# vLLM's `hermes` parser reads. No loop over a message's content: vLLM would take that for a template that wants lists of parts.
FOLD = (
    "{%- set fold = namespace(messages=[], system='') -%}"
    "{%- for message in messages -%}"
    "{%- set said = message['content'] or '' -%}"
    "{%- if said is not string -%}{%- set said = said | map(attribute='text') | join -%}{%- endif -%}"
    "{%- if message['role'] in ['system', 'developer'] -%}"
    "{%- set fold.system = fold.system + ('\\n\\n' if fold.system else '') + said -%}"
    "{%- elif message['role'] == 'tool' -%}"
    "{%- set result = '<tool_response>\\n' + said + '\\n</tool_response>' -%}"
    "{%- if fold.messages and fold.messages[-1]['role'] == 'user' -%}"
    "{%- set result = fold.messages[-1]['content'] + '\\n' + result -%}{%- set fold.messages = fold.messages[:-1] -%}"
    "{%- endif -%}"
    "{%- set fold.messages = fold.messages + [{'role': 'user', 'content': result}] -%}"
    "{%- else -%}"
    "{%- set turn = namespace(text=said) -%}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{%- set asked = call['function'] if call['function'] is defined else call -%}"
    "{%- set given = asked['arguments'] if asked['arguments'] is string else asked['arguments'] | tojson -%}"
    "{%- set line = '<tool_call>\\n{\"name\": ' + (asked['name'] | tojson) + ', \"arguments\": ' + given + '}\\n</tool_call>' -%}"
    "{%- set turn.text = turn.text + ('\\n' if turn.text else '') + line -%}"
    "{%- endfor -%}"
    "{%- set fold.messages = fold.messages + [{'role': message['role'], 'content': turn.text}] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if tools -%}"
    "{%- set fold.system = fold.system + ('\\n\\n' if fold.system else '') + 'Tools, each as a JSON schema:\\n<tools>' -%}"
    "{%- for tool in tools -%}{%- set fold.system = fold.system + '\\n' + (tool | tojson) -%}{%- endfor -%}"
    "{%- set fold.system = fold.system + '\\n</tools>\\nA call is written as\\n<tool_call>\\n"
    '{"name": "the tool", "arguments": {"its": "arguments"}}\\n</tool_call>\' -%}'
    "{%- endif -%}"
    "{%- set tools = none -%}"
)
WITH_SYSTEM = "{%- set messages = ([{'role': 'system', 'content': fold.system}] if fold.system else []) + fold.messages -%}"
# For a template that knows no system role: it goes before what the user says first.
INTO_USER = (
    "{%- if fold.system and fold.messages and fold.messages[0]['role'] == 'user' -%}"
    "{%- set first = [{'role': 'user', 'content': fold.system + '\\n\\n' + fold.messages[0]['content']}] -%}"
    "{%- set messages = first + fold.messages[1:] -%}"
    "{%- else -%}"
    "{%- set messages = ([{'role': 'user', 'content': fold.system}] if fold.system else []) + fold.messages -%}"
    "{%- endif -%}"
)

SYSTEM, USER, CALL, RESULT, LAST = "sy5tem-words", "us3r-words", "t00l_name", "r3sult-words", "l4st-words"
TOOL = {
    "type": "function",
    "function": {
        "name": CALL,
        "description": "d3scription",
        "parameters": {"type": "object", "properties": {"pl4ce": {"type": "string"}}, "required": ["pl4ce"]},
    },
}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": SYSTEM},
    {"role": "user", "content": USER},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call00001", "type": "function", "function": {"name": CALL, "arguments": {"pl4ce": "4rgument"}}}],
    },
    {"role": "tool", "tool_call_id": "call00001", "name": CALL, "content": RESULT},
    {"role": "assistant", "content": "s0me"},
    {"role": "user", "content": LAST},
]


def choose_template(own: Iterable[str], render: Render, chatml: bool) -> str:
    """The first that shows the model everything said; `own` are the model's templates, `chatml` says that it has that format's tokens.

    `render(template, messages, tools)` gives the prompt, or raises whatever the template makes it raise. InvalidInput if none will do.
    """
    own = list(own)
    folded = [FOLD + into + template for template in own for into in (WITH_SYSTEM, INTO_USER)]
    ours = [FOLD + WITH_SYSTEM + CHAT_TEMPLATE] if chatml else []
    for template in (*own, *folded, *ours):
        if carries(template, render):
            return template
    raise InvalidInput(
        "The model has no chat template that works, nor the tokens of ChatML.", hint="Put the template that it was trained with beside it."
    )


def carries(template: str, render: Render) -> bool:
    """Whether system prompt, tools with their schemas, calls and results all come out, in this order."""
    try:
        whole, plain = render(template, TALK, [TOOL]), render(template, TALK[:2], None)
    except Exception:  # a template is a program of somebody else's; whatever it raises means no
        return False
    told = [whole.find(word) for word in (USER, "4rgument", RESULT, LAST)]
    ordered = -1 not in told and told == sorted(told)
    described = all(0 <= whole.find(word) < told[-1] for word in (SYSTEM, "d3scription", "pl4ce"))
    return ordered and described and 0 <= plain.find(SYSTEM) < plain.find(USER) and CALL not in plain
