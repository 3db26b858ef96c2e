"""What is added to vLLM's chat responses: typed parts, what the cache cost, and the conversation's next handle.

Events in a stream, in `choices[i].delta.memento`:
    {"type": "block_open", "index": 0}
    {"type": "delta", "part": "block" | "memento" | "answer" | "text", "index": 0, "text": "..."}
    {"type": "memento", "index": 0, "text": whole, "tokens": n}              a memento has closed
    {"type": "evicted", "index": 0, "tokens": n, "kv_tokens": resident}      the engine has freed its block; index null: one in the prompt
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keepsake_vllm.api.accounts import Account
from keepsake_vllm.api.parts import Decoder, Kind, Part, Parts, Vocabulary

USAGE = ("peak_kv_tokens", "kv_auc", "evicted_tokens", "compactions", "computed_tokens")


@dataclass(frozen=True)
class Asked:
    """What the client asked for, where the middleware asked vLLM for more."""

    token_ids: bool
    reasoning: bool


@dataclass
class Choice:
    """One answer as it grows."""

    parts: Parts
    ids: list[int] = field(default_factory=list)
    content: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    finish: str | None = None
    evicted: int = 0

    def hear(self, delta: dict[str, Any]) -> None:
        """Put a streamed message together, for the session."""
        self.content += delta.get("content") or ""
        for call in delta.get("tool_calls") or []:
            known = self.calls.setdefault(call.get("index", 0), {"function": {"name": "", "arguments": ""}})
            for key in ("name", "arguments"):
                known["function"][key] += (call.get("function") or {}).get(key) or ""

    @property
    def message(self) -> dict[str, Any]:
        return {"role": "assistant", "content": self.content, "tool_calls": [self.calls[index] for index in sorted(self.calls)]}


class Reply:
    """Adds to one response, whole or chunk by chunk."""

    def __init__(self, asked: Asked, vocabulary: Vocabulary, decoder: Callable[[], Decoder], accounts: dict[int, Account]) -> None:
        self.asked = asked
        self.accounts = accounts
        self.prompt: list[int] = []
        self.choices: dict[int, Choice] = {}
        self._vocabulary, self._decoder = vocabulary, decoder

    def whole(self, response: dict[str, Any]) -> None:
        """A chat.completion, changed in place."""
        self.prompt = response.get("prompt_token_ids") or []
        for raw in response.get("choices") or []:
            choice = self._choice(raw["index"])
            choice.ids = raw.get("token_ids") or []
            choice.finish = raw.get("finish_reason")
            message = raw["message"]
            choice.content = message.get("content") or ""
            choice.calls = dict(enumerate(message.get("tool_calls") or []))
            choice.parts.feed(choice.ids)
            choice.parts.finish()
            parts = [part for part in choice.parts.visible() if self.asked.reasoning or part.kind is Kind.ANSWER]
            evicted = {event["index"]: event["tokens"] for event in self._evictions(raw["index"], choice)}
            message["memento"] = {"parts": [part.as_json() | _evicted(part, evicted) for part in parts]}
            self._hide(raw, message)
            if not self.asked.token_ids:
                raw["token_ids"] = None
        if not self.asked.token_ids:
            response["prompt_token_ids"] = None
        if isinstance(response.get("usage"), dict):
            response["usage"].update(self.usage())

    def chunk(self, chunk: dict[str, Any]) -> None:
        """A chat.completion.chunk, changed in place."""
        if chunk.get("prompt_token_ids"):
            self.prompt = chunk["prompt_token_ids"]
        if not self.asked.token_ids:
            chunk.pop("prompt_token_ids", None)
        for raw in chunk.get("choices") or []:
            choice, delta = self._choice(raw["index"]), raw.setdefault("delta", {})
            tokens = raw.get("token_ids") or []
            if not self.asked.token_ids:
                raw.pop("token_ids", None)
            choice.ids += tokens
            choice.finish = raw.get("finish_reason") or choice.finish
            choice.hear(delta)
            events = choice.parts.feed(tokens)
            if raw.get("finish_reason"):
                events += choice.parts.finish()
            events += self._evictions(raw["index"], choice)
            events = [event for event in events if self.asked.reasoning or event.get("part") == "answer"]
            if events:
                delta["memento"] = events
            self._hide(raw, delta)
            if delta.get("reasoning", "") is None:
                del delta["reasoning"]
        if not chunk.get("choices") and isinstance(chunk.get("usage"), dict):
            chunk["usage"].update(self.usage())

    def usage(self) -> dict[str, int]:
        """Over all choices: they are in the cache at the same time but share the prompt's pages, so the peak is the greatest one's."""
        spent = [
            self._account(index).close(max(0, len(self.prompt) + len(choice.ids) - 1)) for index, choice in sorted(self.choices.items())
        ]
        return {key: (max if key == "peak_kv_tokens" else sum)((usage[key] for usage in spent), **_none(key)) for key in USAGE}

    def _evictions(self, index: int, choice: Choice) -> list[dict[str, Any]]:
        events = []
        for start, end, boundary in self._account(index).drain():
            choice.evicted += end - start
            block = self._block(choice, start - len(self.prompt))
            events.append({"type": "evicted", "index": block, "tokens": end - start, "kv_tokens": boundary - choice.evicted})
        return events

    @staticmethod
    def _block(choice: Choice, start: int) -> int | None:
        """The block that begins there, or one token before if its delimiters are kept; None for one in the prompt."""
        for index in range(len(choice.parts.blocks) - 1, -1, -1):
            if choice.parts.blocks[index] in (start, start - 1):
                return index
        return None

    def _hide(self, raw: dict[str, Any], message: dict[str, Any]) -> None:
        """Leave out what vLLM leaves out for a client that wants no reasoning."""
        if not self.asked.reasoning:
            for owner, key in ((message, "reasoning"), (raw, "logprobs"), (raw, "token_ids")):
                if owner.get(key) is not None:
                    owner[key] = None

    def _choice(self, index: int) -> Choice:
        if index not in self.choices:
            self.choices[index] = Choice(Parts(self._vocabulary, self._decoder, self.prompt))
        return self.choices[index]

    def _account(self, index: int) -> Account:
        return self.accounts.setdefault(index, Account())


def _evicted(part: Part, evicted: dict[int | None, int]) -> dict[str, int]:
    """How many tokens of a block the engine has freed."""
    return {"evicted": evicted.get(part.index, 0)} if part.kind is Kind.BLOCK else {}


def _none(key: str) -> dict[str, int]:
    return {"default": 0} if key == "peak_kv_tokens" else {}
