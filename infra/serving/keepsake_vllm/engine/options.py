"""What the server and a request may choose: `--additional-config '{"memento": {...}}'` and a request's `vllm_xargs`."""

from typing import Any, Literal, Self

from app.memento.grammar import MEMENTO_TOKENS, TokenIds
from app.memento.visibility import Policy
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Mode = Literal["keep", "restart", "off"]
MAX_KEEP_LAST_N = 64
MAX_BLOCKS = 1024


class Options(BaseModel):
    """The server's options. What training chose (keep_delimiters, keep_last_n, summary_end_sees_block) must be chosen here as well."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    tokens: tuple[int | str, int | str, int | str, int | str] = Field(
        MEMENTO_TOKENS, description="block_start, block_end, summary_start, summary_end: as ids or as the tokenizer's strings."
    )
    keep_delimiters: bool = Field(False, description="Whether block_start and block_end stay in the cache when their block goes.")
    keep_last_n: int = Field(0, ge=0, le=MAX_KEEP_LAST_N, description="So many of the newest finished blocks stay visible.")
    summary_end_sees_block: bool = Field(True, description="Whether summary_end's own row still sees the block it closes.")
    grammar: bool = Field(False, description="Whether the block grammar is enforced; only for models that were trained on it.")
    max_block_tokens: int = Field(0, ge=0, description="With the grammar enforced: block_end comes at the latest here; 0 for no limit.")
    max_memento_tokens: int = Field(0, ge=0, description="The same for summary_end.")
    stats: str | None = Field(None, description="File to which the engine writes a JSON line per step; for measurements.")
    session_dir: str | None = Field(None, description="Where the API keeps conversations; a temporary directory by default.")
    session_hours: float = Field(24.0, gt=0, description="How long a conversation's handle stays valid.")

    @property
    def policy(self) -> Policy:
        return Policy(self.keep_delimiters, self.keep_last_n, self.summary_end_sees_block)

    def token_ids(self, vocabulary: dict[str, int]) -> TokenIds:
        """Ids of the four tokens. Raises ValueError if the tokenizer lacks one, or an id is not in the vocabulary."""
        missing = [token for token in self.tokens if isinstance(token, str) and token not in vocabulary]
        if missing:
            raise ValueError(
                f"memento: the tokenizer has no {', '.join(missing)}; prepare the model with `keepsake models add`, or name ids"
            )
        ids = [vocabulary[token] if isinstance(token, str) else token for token in self.tokens]
        known = set(vocabulary.values())
        unknown = [str(number) for number in ids if number not in known]
        if unknown:
            raise ValueError(f"memento: no token has the id {', '.join(unknown)}")
        return TokenIds(*ids)


class RequestOptions(BaseModel):
    """A request's own choices; None stands for the server's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    memento: Mode = "keep"
    memento_keep_last_n: int | None = Field(None, ge=0, le=MAX_KEEP_LAST_N)
    memento_grammar: Literal[0, 1] | None = None
    memento_min_blocks: int = Field(0, ge=0, le=MAX_BLOCKS, description="With the grammar enforced: no answer before so many blocks.")
    memento_max_blocks: int = Field(0, ge=0, le=MAX_BLOCKS, description="With the grammar enforced: no more blocks; 0 for no limit.")
    memento_max_block_tokens: int | None = Field(None, ge=0)
    memento_max_memento_tokens: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if 0 < self.memento_max_blocks < self.memento_min_blocks:
            raise ValueError(f"memento_max_blocks ({self.memento_max_blocks}) is below memento_min_blocks ({self.memento_min_blocks})")
        return self

    def policy(self, server: Policy) -> Policy:
        keep = server.keep_last_n if self.memento_keep_last_n is None else self.memento_keep_last_n
        return Policy(server.keep_delimiters, keep, server.summary_end_sees_block, restart=self.memento == "restart")


def server_options(additional_config: Any) -> Options:
    """The server's options; disabled where there are none. Raises OptionError."""
    raw = additional_config.get("memento") if isinstance(additional_config, dict) else None
    if raw is None:
        return Options()
    return _read(Options, raw, "the memento options")


def request_options(extra_args: dict[str, Any] | None) -> RequestOptions:
    """A request's choices out of its extra arguments. Raises OptionError."""
    own = {key: value for key, value in (extra_args or {}).items() if key.startswith("memento")}
    return _read(RequestOptions, own, "vllm_xargs") if own else RequestOptions()


class OptionError(ValueError):
    """An option that is unknown or out of range. `name` is its own, empty if the whole is of the wrong shape."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def _read(model: Any, raw: Any, what: str) -> Any:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        known = f"; known are {', '.join(model.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise OptionError(f"memento: {name + ' in ' if name else ''}{what}: {first['msg']}{known}", name) from error
