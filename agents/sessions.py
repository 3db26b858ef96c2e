"""Conversations of one chat client with our model server, known by what was said in them.

AutoGen's agents drop a model's reasoning between turns and know nothing of sessions. Whoever sends the messages of an earlier turn, the answer
to them, and more, continues that turn's conversation: then the server, given the handle, goes on from its very tokens, blocks included. Handles
let their bearer continue a conversation; they stay in memory and go nowhere but to the server that gave them.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

FIELD = "memento_session"
NEW = "new"
LIMIT = 256  # a long conversation has one entry a turn; the server keeps a handle for a day
# What a prompt is made of besides its messages: with other tools it is another conversation to the server.
_FRAME = ("model", "tools", "chat_template", "chat_template_kwargs", "documents", "reasoning_effort", "add_special_tokens")
_ALONE = ("use_beam_search", "echo", "kv_transfer_params")  # the server follows one answer to a prompt that is text


class Sessions:
    """Handles by a fingerprint of the wire messages up to and with the model's answer. The least recently used go first."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._handles: OrderedDict[bytes, str] = OrderedDict()
        self._limit = limit

    def find(self, request: dict[str, Any]) -> str:
        """The handle of the longest known conversation that the request continues, else "new"."""
        found = NEW
        for message, said in zip(request["messages"], _prints(request), strict=True):
            if message["role"] == "assistant" and said in self._handles:
                self._handles.move_to_end(said)
                found = self._handles[said]
        return found

    def keep(self, request: dict[str, Any], answer: dict[str, Any], handle: str) -> None:
        """`answer` is the wire message as the next turn will hold it."""
        *_, said = _prints({**request, "messages": [*request["messages"], answer]})
        self._handles[said] = handle
        self._handles.move_to_end(said)
        while len(self._handles) > self._limit:
            self._handles.popitem(last=False)

    def forget(self, request: dict[str, Any]) -> None:
        """The conversation that the request continues, its earlier turns too: where one handle is gone the others mostly are."""
        for said in _prints(request):
            self._handles.pop(said, None)


def can_follow(request: dict[str, Any]) -> bool:
    """Whether the server takes this request as a turn of a session, and the caller has not chosen one."""
    fields = {**request, **(request.get("extra_body") or {})}
    return fields.get("n") in (None, 1) and FIELD not in fields and not any(fields.get(name) for name in _ALONE)


def _prints(request: dict[str, Any]) -> Iterator[bytes]:
    """After each message a fingerprint of all that was said up to it."""
    fields = {**request, **(request.get("extra_body") or {})}
    said = _digest(b"", [fields.get(name) for name in _FRAME])
    for message in request["messages"]:
        said = _digest(said, message)
        yield said


def _digest(before: bytes, value: Any) -> bytes:
    return hashlib.sha256(before + json.dumps(value, sort_keys=True, default=str).encode()).digest()
