"""MementoChatClient: AutoGen's ChatCompletionClient over any OpenAI-compatible endpoint.

It keeps the model's reasoning, neutralises control-token literals in everything it sends, takes token counts from the server (or labels
them estimates), passes constraints where the server knows them, and turns the endpoint's failures into our typed errors. On our own
server it also carries a conversation's blocks on (`sessions`) and has the model think in blocks (`thinking`); no other endpoint hears of that.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
import openai
from autogen_core import CancellationToken, Component, FunctionCall, Image
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelInfo,
    RequestUsage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, Field

from agents.completion import Completion, MementoResult, read_completion
from agents.sessions import FIELD, NEW, Sessions, can_follow
from agents.thinking import Thinking
from app.config import MAX_THINKING_BLOCKS, Settings
from app.errors import ModelError, ModelTimeout, ModelUnavailable
from app.memento.grammar import neutralise

_FINISH: dict[str, Literal["stop", "length", "function_calls", "content_filter", "unknown"]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "function_calls",
    "content_filter": "content_filter",
}


@dataclass(frozen=True)
class Constraint:
    """What an answer must look like: a regular expression over the whole text, or a JSON schema."""

    regex: str | None = None
    json_schema: dict[str, Any] | None = None


class StreamQuestion(UserMessage):
    """A user message of a run that is a stream; `mark`: agents.stream.Said.mark."""

    mark: dict[str, Any] | str | None = None


class StreamAnswer(AssistantMessage):
    """An answer of one."""

    mark: dict[str, Any] | str | None = None


@dataclass
class EstimatedUsage(RequestUsage):
    """Token counts that the server did not send and `estimate_tokens` stands in for."""


class ClientConfig(BaseModel):
    """Configuration of a MementoChatClient as an AutoGen component. The key is never dumped."""

    base_url: str
    model: str
    timeout_s: float = 60.0
    context_tokens: int = 4096
    sessions: bool = Field(True, description="Whether later turns of a conversation go on from its blocks, where the server can do that.")
    thinking_blocks: int = Field(0, ge=0, le=MAX_THINKING_BLOCKS, description="Blocks of reasoning that our server forces per answer.")


class MementoChatClient(ChatCompletionClient, Component[ClientConfig]):
    """Chat completions for the team. `on_usage(prompt, completion, estimated)` meters every call, the orchestrator's own included."""

    component_type = "model"
    component_config_schema = ClientConfig
    component_provider_override = "agents.model.MementoChatClient"

    def __init__(self, config: ClientConfig, *, api_key: str = "none", on_usage: Callable[[int, int, bool], None] | None = None) -> None:
        self.config = config
        self.on_usage = on_usage
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(config.timeout_s, connect=10.0))
        self._client = openai.AsyncOpenAI(base_url=config.base_url, api_key=api_key, timeout=config.timeout_s, max_retries=0)
        self._total = RequestUsage(prompt_tokens=0, completion_tokens=0)
        self._counts_tokens: bool | None = None
        self._vllm: bool | None = None
        self.knows_mementos: bool | None = None  # None until the server has answered
        self._constrains = True
        self._sessions = Sessions() if config.sessions else None
        self._thinking = Thinking(config.thinking_blocks) if config.thinking_blocks else None

    @classmethod
    def from_settings(cls, settings: Settings) -> "MementoChatClient":
        """The team's client. Its role calls are single questions, so no session is kept for them."""
        config = ClientConfig(
            base_url=settings.effective_model_url,
            model=settings.model_name,
            timeout_s=settings.model_timeout_s,
            sessions=False,
            thinking_blocks=settings.model_thinking_blocks,
        )
        return cls(config, api_key=settings.model_key.get_secret_value())

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,  # noqa: ARG002 - asyncio cancellation reaches the request directly
    ) -> MementoResult:
        """One answer. `extra_create_args` may hold `constraint` (Constraint), and any field of the OpenAI request.

        Raises ModelTimeout, ModelUnavailable (both retryable) or ModelError.
        """
        request = await self._request(messages, tools, tool_choice, json_output, dict(extra_create_args))
        try:
            # Raw, because the openai client hands broken bodies on as text, as half an object, or as a JSON error of its own.
            response = await self._client.chat.completions.with_raw_response.create(**request)
        except openai.OpenAIError as error:
            chosen = extra_create_args.get("extra_body") or {}
            if not isinstance(error, openai.APIStatusError) or not self._give_way(request, error, chosen):
                raise _typed(error, self.config) from error
            return await self.create(
                messages, tools=tools, tool_choice=tool_choice, json_output=json_output, extra_create_args=extra_create_args
            )
        completion = read_completion(response.content, self.config.base_url)
        result = self._result(completion, messages)
        self._learn(request, completion, result)
        return result

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | MementoResult, None]:
        """The answer as one piece: role calls are short, and a constrained line is of use only when whole."""
        result = await self.create(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra_create_args,
            cancellation_token=cancellation_token,
        )
        if isinstance(result.content, str):
            yield result.content
        yield result

    async def count(self, text: str) -> tuple[int, bool]:
        """Tokens of `text` and whether the number is an estimate (no `/tokenize` at this endpoint)."""
        if self._counts_tokens is not False:
            try:
                answer = await self._http.post(
                    _root(self.config.base_url) + "/tokenize", json={"model": self.config.model, "prompt": neutralise(text)}, timeout=10.0
                )
                if answer.status_code == 200:
                    self._counts_tokens = True
                    return int(answer.json()["count"]), False
                self._counts_tokens = False
            except (httpx.HTTPError, KeyError, TypeError, ValueError):
                self._counts_tokens = self._counts_tokens or None
        return estimate_tokens(text), True

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        """An estimate: AutoGen's interface is synchronous and the tokenizer is the server's. Use `count` for exact numbers."""
        parts = [json.dumps(_to_openai(m, None)) for m in messages] + [json.dumps(_tool(t), default=str) for t in tools]
        return sum(estimate_tokens(p) for p in parts)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        return self.config.context_tokens - self.count_tokens(messages, tools=tools)

    def actual_usage(self) -> RequestUsage:
        return self._total

    def total_usage(self) -> RequestUsage:
        return self._total

    async def close(self) -> None:
        await self._client.close()
        await self._http.aclose()

    @property
    def capabilities(self) -> ModelInfo:  # type: ignore[override]
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False, function_calling=True, json_output=True, structured_output=True, family="unknown", multiple_system_messages=False
        )

    @property
    def thinks(self) -> bool:
        """Whether blocks of reasoning are asked for: as configured, until the server turns out not to think in blocks."""
        return self._thinking is not None

    def _to_config(self) -> ClientConfig:
        return self.config

    @classmethod
    def _from_config(cls, config: ClientConfig) -> "MementoChatClient":
        return cls(config)

    async def _request(self, messages: Any, tools: Any, tool_choice: Any, json_output: Any, extra: dict[str, Any]) -> dict[str, Any]:
        constraint: Constraint | None = extra.pop("constraint", None)
        request: dict[str, Any] = {
            "model": self.config.model,
            "messages": [wire for m in messages for wire in _to_openai(m, neutralise)],
            **extra,
        }
        if tools:
            request["tools"] = [_tool(t) for t in tools]
            request["tool_choice"] = (
                tool_choice if isinstance(tool_choice, str) else {"type": "function", "function": {"name": tool_choice.name}}
            )
        schema = constraint.json_schema if constraint else None
        if isinstance(json_output, type):
            schema = json_output.model_json_schema()
        if schema and self._constrains:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        elif json_output or schema:
            request["response_format"] = {"type": "json_object"}
        body: dict[str, Any] = dict(request.get("extra_body") or {})
        if constraint and constraint.regex and self._constrains and await self.is_vllm():
            body["structured_outputs"] = {"regex": constraint.regex}
        ours = bool(self._thinking or self._sessions) and await self.is_vllm()
        if ours and self._thinking:
            body["vllm_xargs"] = {**self._thinking.xargs, **body.get("vllm_xargs", {})}
            self._thinking.make_room(request)
        if ours and self._sessions and can_follow(request):
            body[FIELD] = self._sessions.find(request)
        return {**request, "extra_body": body} if body else request

    async def is_vllm(self) -> bool | None:
        """Whether the endpoint is a vLLM server, which takes fields that OpenAI's API does not have; None until it has answered."""
        if self._vllm is None:
            try:
                answer = await self._http.get(_root(self.config.base_url) + "/version", timeout=5.0)
                self._vllm = answer.status_code == 200 and "version" in answer.json()
            except (httpx.HTTPError, TypeError, ValueError):
                return None
        return self._vllm

    def _give_way(self, request: dict[str, Any], error: openai.APIStatusError, chosen: Mapping[str, Any]) -> bool:
        """Whether a refused call is worth repeating, because less will be asked from now on. `chosen`: the caller's own extra fields."""
        body = request.get("extra_body", {})
        session = body.get(FIELD) if FIELD not in chosen else None
        bad = isinstance(error, openai.BadRequestError)
        if bad and self._thinking and "vllm_xargs" in body and "xargs" in f"{error.param} {error.message}":
            self._thinking = None
        elif bad and session and error.param == FIELD:
            self._sessions = None
        elif session not in (None, NEW) and (bad or str(error.code).startswith(FIELD)):
            # Expired, not this conversation after all, or grown beyond the context by its blocks: it starts afresh.
            if self._sessions:
                self._sessions.forget(request)
        else:
            return bad and self._drop_constraint(request, error)
        return True

    def _drop_constraint(self, request: dict[str, Any], error: openai.APIStatusError) -> bool:
        """On a 400 that blames the constraint: stop sending constraints to this endpoint and say that the call is worth repeating."""
        blamed = any(w in str(error).lower() for w in ("response_format", "json_schema", "structured", "regex", "grammar", "extra"))
        sent = "response_format" in request or "structured_outputs" in request.get("extra_body", {})
        if blamed and sent and self._constrains:
            self._constrains = False
            return True
        return False

    def _learn(self, request: dict[str, Any], answer: Completion, result: MementoResult) -> None:
        """Keep the conversation's new handle; ask no more for what the server turns out not to have."""
        message, body = answer.choices[0].message, request.get("extra_body", {})
        self.knows_mementos = message.memento is not None
        if "vllm_xargs" in body and message.memento is None:
            self._thinking = None
        if not self._sessions or FIELD not in body or result.finish_reason == "unknown":  # broken off: the server keeps no such turn
            return
        if answer.memento_session is None:
            self._sessions = None
        elif not (message.tool_calls and message.content):  # AutoGen drops words beside a call, and the server would miss them
            [said] = _to_openai(AssistantMessage(content=result.content, source="model"), neutralise)
            self._sessions.keep(request, said, answer.memento_session)

    def _result(self, answer: Completion, messages: Sequence[LLMMessage]) -> MementoResult:
        choice = answer.choices[0]
        message = choice.message
        content: str | list[FunctionCall] = message.content or ""
        if message.tool_calls:
            content = [FunctionCall(id=c.id or "", name=c.function.name, arguments=c.function.arguments) for c in message.tool_calls]
        usage = (
            RequestUsage(prompt_tokens=answer.usage.prompt_tokens, completion_tokens=answer.usage.completion_tokens)
            if answer.usage
            else EstimatedUsage(prompt_tokens=self.count_tokens(messages), completion_tokens=estimate_tokens(str(content)))
        )
        self._total.prompt_tokens += usage.prompt_tokens
        self._total.completion_tokens += usage.completion_tokens
        if self.on_usage:
            self.on_usage(usage.prompt_tokens, usage.completion_tokens, answer.usage is None)
        return MementoResult(
            finish_reason=_FINISH.get(choice.finish_reason or "", "unknown"),
            content=content,
            usage=usage,
            cached=False,
            thought=message.reasoning or message.reasoning_content,
            parts=message.memento or [],
            kv=answer.kv,
        )


def estimate_tokens(text: str) -> int:
    """About four characters a token: good to 20 % on English, always labelled an estimate."""
    return (len(text) + 3) // 4


def _root(base_url: str) -> str:
    parts = urlsplit(base_url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/v1"), "", ""))


def _typed(error: openai.OpenAIError, config: ClientConfig) -> ModelError:
    """The boundary: a foreign exception becomes ours. Bodies are shortened; keys never stand in them."""
    if isinstance(error, openai.APITimeoutError):
        return ModelTimeout(f"No answer from the model within {config.timeout_s:.0f} s.", hint="The server may be overloaded; try again.")
    if isinstance(error, openai.APIConnectionError):
        return ModelUnavailable(
            f"Nothing answers at {config.base_url}.", hint="Start the model server: `keepsake up`, or set KEEPSAKE_MODEL_URL."
        )
    if isinstance(error, openai.APIStatusError):
        text = str(error.message)[:300]
        if error.status_code in {408, 425, 429} or error.status_code >= 500:
            return ModelUnavailable(f"The model server answered {error.status_code}: {text}", hint="Try again, or check the server's log.")
        return ModelError(f"The model server refused the request ({error.status_code}): {text}", hint="Check KEEPSAKE_MODEL_NAME and _KEY.")
    return ModelError(f"The model call failed: {type(error).__name__}.", hint="Check the model server's log.")


def _to_openai(message: LLMMessage, clean: Callable[[str], str] | None) -> list[dict[str, Any]]:
    """One AutoGen message as the OpenAI API takes it (one per tool result); `clean` goes over every text in it."""
    clean = clean or (lambda text: text)
    if isinstance(message, StreamQuestion | StreamAnswer) and isinstance(message.content, str):
        role = "user" if isinstance(message, StreamQuestion) else "assistant"
        mark = (
            {k: clean(v) if isinstance(v, str) else v for k, v in message.mark.items()} if isinstance(message.mark, dict) else message.mark
        )
        return [{"role": role, "content": clean(message.content), **({"memento": mark} if mark else {})}]
    if isinstance(message, SystemMessage):
        return [{"role": "system", "content": clean(message.content)}]
    if isinstance(message, UserMessage):
        if isinstance(message.content, str):
            return [{"role": "user", "content": clean(message.content)}]
        parts = [p.to_openai_format() if isinstance(p, Image) else {"type": "text", "text": clean(p)} for p in message.content]
        return [{"role": "user", "content": parts}]
    if isinstance(message, AssistantMessage):
        if isinstance(message.content, str):
            return [{"role": "assistant", "content": clean(message.content)}]
        named = [(c.id, {"name": clean(c.name), "arguments": clean(c.arguments)}) for c in message.content]
        calls = [{"id": i, "type": "function", "function": function} for i, function in named]
        return [{"role": "assistant", "content": None, "tool_calls": calls}]
    if isinstance(message, FunctionExecutionResultMessage):
        return [{"role": "tool", "tool_call_id": r.call_id, "content": clean(r.content)} for r in message.content]
    raise ModelError(f"Cannot send a {type(message).__name__} to a model.", hint="Use AutoGen's message types.")


def _tool(tool: Tool | ToolSchema) -> dict[str, Any]:
    """A tool as the API takes it, its texts neutralised; strict, because vLLM enforces arguments only then."""
    schema = tool.schema if isinstance(tool, Tool) else tool
    return {
        "type": "function",
        "function": {
            "name": schema["name"],
            "description": _clean(schema.get("description", "")),
            "parameters": _clean(schema.get("parameters", {"type": "object", "properties": {}})),
            "strict": True,
        },
    }


def _clean(value: Any) -> Any:
    """`value` with every string in it neutralised, keys too: chat templates print a tool's whole schema into the prompt."""
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
