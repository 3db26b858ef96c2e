"""Role calls answered by a model: render, call, parse, and on a malformed answer try again with what was wrong as feedback."""

import time
from typing import Any

from autogen_core.models import AssistantMessage, ChatCompletionClient, CreateResult, LLMMessage, SystemMessage, UserMessage

from agents.completion import MementoResult
from agents.model import EstimatedUsage, MementoChatClient
from agents.profiles.base import Malformed, Profile, Prompt
from agents.roles import View
from app.errors import ModelOutputInvalid
from app.events import EventType, NewEvent
from app.memento.grammar import neutralise

NO_BLOCKS = "The model server does not think in blocks: KEEPSAKE_MODEL_THINKING_BLOCKS has no effect on it."


class ModelRoles:
    """Roles over any ChatCompletionClient. Temperature is 0; the retry is not blind, it carries the error.

    Its reasoning comes out as events: typed parts (`thought`) where the server thinks in blocks, else plain text.
    Control-token literals are neutralised here, before the client: a foreign client sends page, file and program text as it gets it.
    """

    def __init__(self, client: ChatCompletionClient, profile: Profile, retries: int = 2) -> None:
        self.client = client
        self.profile = profile
        self.retries = retries
        self._events: list[NewEvent] = []
        self._thinks = isinstance(client, MementoChatClient) and client.thinks

    async def ask(self, role: str, view: View) -> Any:
        """See agents.roles.Roles. Raises ModelOutputInvalid after `retries` further tries; lets ModelUnavailable and ModelTimeout through."""
        prompt = self.profile.prompt(role, view)
        messages = [_message(m) for m in prompt.messages]
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                self._events.append(NewEvent(type=EventType.MODEL_RETRY, payload={"role": role, "attempt": attempt, "problem": problem}))
            text, cut = await self._call(role, messages, prompt)
            try:
                if cut:
                    raise Malformed(f"The answer was cut off after {prompt.max_tokens} tokens. Answer more briefly.")
                return self.profile.parse(role, text, view)
            except Malformed as error:
                problem = str(error)
                if text.strip():
                    messages = [*messages[: len(prompt.messages)], AssistantMessage(content=neutralise(text[:2000]), source="model")]
                messages.append(UserMessage(content=neutralise(problem), source="keepsake"))
        raise ModelOutputInvalid(
            f"The model gave no usable answer for `{role}`: {problem}", hint="A larger or better trained model may help."
        )

    def drain(self) -> list[NewEvent]:
        events, self._events = self._events, []
        return events

    async def _call(self, role: str, messages: list[LLMMessage], prompt: Prompt) -> tuple[str, bool]:
        extra: dict[str, Any] = {"temperature": 0.0, "max_tokens": prompt.max_tokens}
        if isinstance(self.client, MementoChatClient):
            extra["constraint"] = prompt.constraint
        started = time.monotonic()
        result = await self.client.create(messages, json_output=_json_output(prompt, self.client), extra_create_args=extra)
        text = result.content if isinstance(result.content, str) else ""
        payload = {
            "role": role,
            "prompt_tokens": result.usage.prompt_tokens,
            "completion_tokens": result.usage.completion_tokens,
            "seconds": round(time.monotonic() - started, 3),
            "estimated": isinstance(result.usage, EstimatedUsage),
        }
        self._events.append(NewEvent(type=EventType.MODEL_CALL, payload=payload))
        self._hear(role, result)
        return text, result.finish_reason == "length"

    def _hear(self, role: str, result: CreateResult) -> None:
        """What the model thought. Which block of the team it belongs to, and its labels, are the orchestrator's to say."""
        thought = result.in_blocks(role) if isinstance(result, MementoResult) else None
        if thought:
            payload = {"block": None, **thought.model_dump(mode="json", exclude_none=True)}
            self._events.append(NewEvent(type=EventType.THOUGHT, payload=payload))
        elif result.thought:
            self._events.append(NewEvent(type=EventType.BLOCK_TEXT, payload={"block": None, "kind": "reasoning", "text": result.thought}))
        if self._thinks and isinstance(self.client, MementoChatClient) and not self.client.thinks:
            self._thinks = False
            self._events.append(NewEvent(type=EventType.WARNING, payload={"message": NO_BLOCKS}))


def _message(message: dict[str, str]) -> LLMMessage:
    content = neutralise(message["content"])
    return SystemMessage(content=content) if message["role"] == "system" else UserMessage(content=content, source="keepsake")


def _json_output(prompt: Prompt, client: ChatCompletionClient) -> bool | None:
    """JSON mode for foreign clients that know it; our own client is given the schema itself."""
    if prompt.constraint.json_schema is None or isinstance(client, MementoChatClient):
        return None
    return True if client.model_info.get("json_output") else None
