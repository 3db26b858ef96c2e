"""The model that scores, compresses and judges: one OpenAI-compatible endpoint, asked by many records at once."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import openai
from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage

from agents.model import Constraint, EstimatedUsage, MementoChatClient
from app.errors import ModelError, ModelOutputInvalid, ModelTimeout, ModelUnavailable
from infra.training.mementos.records import Dropped, Reason

TRIES = 5  # of a call that got no answer; the wait doubles from PAUSE_S
PAUSE_S = 1.0
REPAIRS = 3  # tries of an answer that is malformed, with what is wrong as feedback
_OWN_FAULT = (400, 413, 422)  # of the request itself: too long for the model, or refused by a filter

T = TypeVar("T")


class Malformed(ValueError):
    """An answer cannot be read. The message tells the model what to mend."""


@dataclass(frozen=True)
class Reply:
    text: str
    cut_off: bool


@dataclass
class Meter:
    """What one record took."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    repeats: int = 0  # calls made again because an answer was malformed or did not come


class Teacher:
    """`concurrency`: calls in flight. `fields`: of every request besides, such as temperature. The client neutralises what it sends."""

    def __init__(
        self, client: MementoChatClient, *, concurrency: int = 8, fields: Mapping[str, Any] | None = None, pause_s: float = PAUSE_S
    ) -> None:
        self._client = client
        self._slots = asyncio.Semaphore(concurrency)
        self._fields = dict(fields or {})
        self._pause_s = pause_s

    @property
    def name(self) -> str:
        return self._client.config.model

    async def ask(
        self,
        system: str,
        user: str,
        read: Callable[[Reply], T],
        meter: Meter,
        *,
        schema: dict[str, Any] | None = None,
        tries: int = REPAIRS,
    ) -> T:
        """What `read` makes of the answer. ModelOutputInvalid when it is malformed `tries` times; Dropped when the endpoint finds fault with the
        request; else the client's errors."""
        question: list[LLMMessage] = [SystemMessage(content=system), UserMessage(content=user, source="user")]
        feedback: list[LLMMessage] = []
        problem = ""
        for attempt in range(tries):
            meter.repeats += attempt > 0
            reply = await self._call([*question, *feedback], meter, schema)
            try:
                return read(reply)
            except Malformed as error:
                problem = str(error)
                said = reply.text if len(reply.text) < 8_000 else reply.text[:8_000] + " [...]"
                again = f"This cannot be used: {problem} Give the whole answer again, in the form that was asked for."
                feedback = [AssistantMessage(content=said or "(nothing)", source="model"), UserMessage(content=again, source="user")]
        raise ModelOutputInvalid(f"{self.name} gave no usable answer in {tries} tries: {problem}", hint="A larger model may do it.")

    async def _call(self, messages: list[LLMMessage], meter: Meter, schema: dict[str, Any] | None) -> Reply:
        extra = {**self._fields, **({"constraint": Constraint(json_schema=schema)} if schema else {})}
        for attempt in range(TRIES):
            try:
                async with self._slots:
                    meter.calls += 1
                    result = await self._client.create(messages, extra_create_args=extra)
                break
            except (ModelUnavailable, ModelTimeout):
                if attempt == TRIES - 1:
                    raise
                meter.repeats += 1
                await asyncio.sleep(self._pause_s * 2**attempt)
            except ModelError as error:
                cause = error.__cause__
                if isinstance(cause, openai.APIStatusError) and cause.status_code in _OWN_FAULT:
                    raise Dropped(Reason.REFUSED, error.message) from error
                raise
        meter.prompt_tokens += result.usage.prompt_tokens
        meter.completion_tokens += result.usage.completion_tokens
        meter.estimated |= isinstance(result.usage, EstimatedUsage)
        text = result.content if isinstance(result.content, str) else ""
        return Reply(text.rpartition("</think>")[2].strip(), result.finish_reason == "length")


async def together(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """Results of all; where one fails the others are cancelled and its own error comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def read_object(text: str, key: str) -> dict[str, Any]:
    """The last JSON object with `key` in an answer, whatever stands around it; trailing commas are mended. Raises Malformed."""
    mended = re.sub(r",(\s*[}\]])", r"\1", text)
    decoder = json.JSONDecoder()
    for start in [match.start() for match in re.finditer(r"\{", mended)][:-201:-1]:
        try:
            value, _ = decoder.raw_decode(mended, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and key in value:
            return value
    raise Malformed(f"there is no JSON object with `{key}` in it.")
