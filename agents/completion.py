"""What is read of a chat completion, and the result that our client makes of it."""

from typing import Any

from autogen_core.models import CreateResult
from pydantic import BaseModel, Field, ValidationError, field_validator

from app.errors import ModelUnavailable
from app.memento.thought import KvUsage, Part, PartKind, Thought, read_kv, read_parts


class MementoResult(CreateResult):
    """A result with the model's thought in typed parts. `parts` is empty and `kv` None where the server knows no mementos."""

    parts: list[Part] = Field(default_factory=list)
    kv: KvUsage | None = None

    def in_blocks(self, role: str) -> Thought | None:
        """The thought behind the answer to a role call; None if there was no block in it."""
        if not any(part.type is PartKind.BLOCK for part in self.parts):
            return None
        # Everything but the last token, which nothing was computed after: the server counts its own figures so.
        full = max(0, self.usage.prompt_tokens + self.usage.completion_tokens - 1)
        return Thought(role=role, parts=self.parts, full_kv_tokens=full, **(self.kv.model_dump() if self.kv else {}))


class Function(BaseModel):
    name: str
    arguments: str


class Call(BaseModel):
    id: str | None = None
    function: Function


class Message(BaseModel):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    memento: list[Part] | None = None

    @field_validator("memento", mode="before")
    @classmethod
    def _parts(cls, raw: Any) -> list[Part] | None:
        return read_parts(raw)


class Choice(BaseModel):
    message: Message
    finish_reason: str | None = None


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class Completion(BaseModel):
    """A chat completion. Ours alone are `message.memento`, `memento_session` and `kv`, which stands within `usage`."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None
    kv: KvUsage | None = Field(None, validation_alias="usage")
    memento_session: str | None = None

    @field_validator("kv", mode="before")
    @classmethod
    def _kv(cls, raw: Any) -> KvUsage | None:
        return read_kv(raw)

    @field_validator("memento_session", mode="before")
    @classmethod
    def _handle(cls, raw: Any) -> str | None:
        return raw if isinstance(raw, str) and raw else None


def read_completion(body: bytes, url: str) -> Completion:
    """The completion in the body of a 200. Raises ModelUnavailable when it is none: a proxy's page, cut or broken JSON, fields missing."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelUnavailable(
            f"What answers at {url} sent no readable chat completion: {where and f'{where}: '}{first['msg']}.",
            hint="Try again, check the server's log, and that KEEPSAKE_MODEL_URL is an OpenAI-compatible API (it mostly ends in /v1).",
        ) from error
