"""Role calls answered by a model: render, call, parse, and on a malformed answer try again with what was wrong as feedback."""

import time
from typing import Any

from autogen_core.models import AssistantMessage, ChatCompletionClient, CreateResult, LLMMessage, SystemMessage, UserMessage

from agents.completion import MementoResult
from agents.model import EstimatedUsage, MementoChatClient, StreamAnswer, StreamQuestion, estimate_tokens
from agents.profiles.base import Malformed, Profile, Prompt
from agents.profiles.incremental import PROFILES, Increment, increment, told_by
from agents.roles import View
from agents.stream import LONGEST, Said, Stream
from app.errors import ModelOutputInvalid
from app.events import EventType, NewEvent
from app.memento.grammar import neutralise

NO_STREAM = "The model server knows no mementos: KEEPSAKE_MODEL_CONTEXT=stream has no effect on it, prompts stand alone."
BARE_TURNS = {"bare_turns": True}  # known to the embedded model's chat template; others do not read it
NO_BLOCKS = "The model server does not think in blocks: KEEPSAKE_MODEL_THINKING_BLOCKS has no effect on it."


class ModelRoles:
    """Roles over any ChatCompletionClient. Temperature is 0; the retry is not blind, it carries the error.

    Its reasoning comes out as events: typed parts (`thought`) where the server thinks in blocks, else plain text.
    Control-token literals are neutralised here, before the client: a foreign client sends page, file and program text as it gets it.
    """

    def __init__(self, client: ChatCompletionClient, profile: Profile, retries: int = 2, stream_tokens: int = LONGEST) -> None:
        """`stream_tokens`: what prompt and answer may have together; a stream that would grow beyond begins anew."""
        self.client = client
        self.profile = profile
        self.retries = retries
        self.stream_tokens = stream_tokens
        self.stream: Stream | None = None
        self._streams = profile.name in PROFILES  # until the server turns out to know no mementos
        self._events: list[NewEvent] = []
        self._thinks = isinstance(client, MementoChatClient) and client.thinks

    async def ask(self, role: str, view: View) -> Any:
        """See agents.roles.Roles. Raises ModelOutputInvalid after `retries` further tries; lets ModelUnavailable and ModelTimeout through."""
        step = self._next(role, view) if self.stream is not None and await self._may_stream() else None
        prompt = step.prompt if step else self.profile.prompt(role, view)
        messages = [*map(_message, prompt.messages), *map(_said, prompt.said)]
        own = len(messages)
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                self._events.append(NewEvent(type=EventType.MODEL_RETRY, payload={"role": role, "attempt": attempt, "problem": problem}))
            text, cut, tokens = await self._call(role, messages, prompt)
            if step and not self._can_stream():
                return await self.ask(role, view)  # the server has not read what stands in the marks
            try:
                if cut:
                    raise Malformed(f"The answer was cut off after {prompt.max_tokens} tokens. Answer more briefly.")
                value = self.profile.parse(role, text, view)
                if step and self.stream is not None:
                    self.stream.add(step.asked, step.answered(text.strip()), step.told | told_by(role, value), tokens)
                return value
            except Malformed as error:
                problem = str(error)
                if text.strip():
                    messages = [*messages[:own], AssistantMessage(content=neutralise(text[:2000]), source="model")]
                messages.append(UserMessage(content=neutralise(problem), source="keepsake"))
        raise ModelOutputInvalid(
            f"The model gave no usable answer for `{role}`: {problem}", hint="A larger or better trained model may help."
        )

    def drain(self) -> list[NewEvent]:
        events, self._events = self._events, []
        return events

    def _next(self, role: str, view: View) -> Increment:
        """The call as an addition to the stream, which begins anew where it would outgrow the model's context."""
        assert self.stream is not None
        step = increment(self.profile, role, view, self.stream)
        if (
            self.stream.messages
            and self.stream.tokens + estimate_tokens(step.asked.content + step.asked.kept) + prompt_room(step.prompt) > self.stream_tokens
        ):
            self.stream.roll_over()
            step = increment(self.profile, role, view, self.stream)
        return step

    async def _may_stream(self) -> bool:
        """Whether to try: other clients drop our fields, and an endpoint that is no vLLM may refuse them."""
        if self._streams and not (isinstance(self.client, MementoChatClient) and await self.client.is_vllm() is not False):
            self._give_up()
        return self._streams

    def _can_stream(self) -> bool:
        """Whether the server, which has answered, knows mementos."""
        if isinstance(self.client, MementoChatClient) and self.client.knows_mementos is False:
            self._give_up()
        return self._streams

    def _give_up(self) -> None:
        self._streams = False
        self._events.append(NewEvent(type=EventType.WARNING, payload={"message": NO_STREAM}))

    async def _call(self, role: str, messages: list[LLMMessage], prompt: Prompt) -> tuple[str, bool, int]:
        """The answer, whether it was cut off, and the tokens of prompt and answer together."""
        extra: dict[str, Any] = {"temperature": 0.0, "max_tokens": prompt.max_tokens}
        if prompt.said:
            body: dict[str, Any] = {"chat_template_kwargs": BARE_TURNS}
            if prompt.closes:
                messages = [*messages, StreamAnswer(content="", source="model", mark="close")]
                body |= {"continue_final_message": True, "add_generation_prompt": False}
            extra["extra_body"] = body
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
        if isinstance(result, MementoResult) and result.kv:
            payload |= {"computed_tokens": result.kv.computed_tokens, "peak_kv_tokens": result.kv.peak_kv_tokens}
        self._events.append(NewEvent(type=EventType.MODEL_CALL, payload=payload))
        self._hear(role, result)
        return text, result.finish_reason == "length", result.usage.prompt_tokens + result.usage.completion_tokens

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


def prompt_room(prompt: Prompt) -> int:
    """What an answer may need: its limit, and a margin for what the chat template adds and for feedback."""
    return prompt.max_tokens + 256


def _message(message: dict[str, str]) -> LLMMessage:
    content = neutralise(message["content"])
    return SystemMessage(content=content) if message["role"] == "system" else UserMessage(content=content, source="keepsake")


def _said(said: Said) -> LLMMessage:
    content = neutralise(said.content)
    if said.role == "assistant":
        return StreamAnswer(content=content, source="model", mark=said.mark)
    return StreamQuestion(content=content, source="keepsake", mark=said.mark)


def _json_output(prompt: Prompt, client: ChatCompletionClient) -> bool | None:
    """JSON mode for foreign clients that know it; our own client is given the schema itself."""
    if prompt.constraint.json_schema is None or isinstance(client, MementoChatClient):
        return None
    return True if client.model_info.get("json_output") else None
