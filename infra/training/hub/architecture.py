"""The shape of a decoder as its `config.json` gives it, and what follows: how many weights, how many operations. Needs no torch."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import InvalidInput

Family = Literal["llama", "qwen2", "qwen3", "phi3", "olmo3"]


class Architecture(BaseModel):
    """Keys and defaults are those of transformers' configurations. Dense models of five families."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model_type: Family
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int = Field(ge=1)
    head_dim: int = Field(0, ge=0, description="0: hidden_size / num_attention_heads.")
    vocab_size: int = Field(ge=1)
    tie_word_embeddings: bool = False

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if not self.head_dim and self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size is no multiple of num_attention_heads and there is no head_dim")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads is no multiple of num_key_value_heads")
        return self

    @property
    def head(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def query_width(self) -> int:
        return self.num_attention_heads * self.head

    @property
    def key_width(self) -> int:
        return self.num_key_value_heads * self.head

    @property
    def embedding(self) -> int:
        """Weights of one embedding matrix."""
        return self.vocab_size * self.hidden_size

    @property
    def layer(self) -> int:
        """Weights of one layer: projections, biases where the family has them, norms."""
        hidden, queries, keys = self.hidden_size, self.query_width, self.key_width
        linear = hidden * (queries + 2 * keys) + queries * hidden + 3 * hidden * self.intermediate_size
        bias = queries + 2 * keys if self.model_type == "qwen2" else 0
        norms = 2 * hidden + {"qwen3": 2 * self.head, "olmo3": queries + keys}.get(self.model_type, 0)
        return linear + bias + norms

    @property
    def body(self) -> int:
        """All weights but the embeddings."""
        return self.num_hidden_layers * self.layer + self.hidden_size

    @property
    def weights(self) -> int:
        return self.body + self.embedding * (1 if self.tie_word_embeddings else 2)

    def adapter(self, rank: int, targets: tuple[str, ...], token_rows: int) -> int:
        """Trained values of LoRA: rank x (in + out) of each adapted projection, and the rows of tokens, twice where embeddings are two."""
        hidden, inner = self.hidden_size, self.intermediate_size
        shapes = {
            "q_proj": (hidden, self.query_width),
            "k_proj": (hidden, self.key_width),
            "v_proj": (hidden, self.key_width),
            "o_proj": (self.query_width, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }
        if self.model_type == "phi3":
            shapes = {
                "qkv_proj": (hidden, self.query_width + 2 * self.key_width),
                "o_proj": shapes["o_proj"],
                "gate_up_proj": (hidden, 2 * inner),
                "down_proj": shapes["down_proj"],
            }
        wanted = tuple(shapes) if "all-linear" in targets else targets
        if unknown := set(wanted) - set(shapes):
            lacks = f"a {self.model_type} model has no {', '.join(sorted(unknown))}"
            raise InvalidInput(f"lora.targets: {lacks}.", hint=f"all-linear, or some of {', '.join(shapes)}.")
        low_rank = rank * sum(sum(shapes[name]) for name in wanted) * self.num_hidden_layers
        return low_rank + token_rows * hidden * (1 if self.tie_word_embeddings else 2)


def read_architecture(config: dict[str, Any]) -> Architecture:
    """From the contents of a `config.json`. InvalidInput for a family that is not trained here, or a shape that is none."""
    family = config.get("model_type", "unknown")
    known = Family.__args__  # type: ignore[attr-defined]
    if family not in known:
        raise InvalidInput(f"A model of the family `{family}` is not trained here.", hint=f"One of {', '.join(known)}.")
    values = {name: config[name] for name in Architecture.model_fields if config.get(name) is not None}
    values.setdefault("num_key_value_heads", values.get("num_attention_heads"))
    try:
        return Architecture.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(
            f"config.json: {'.'.join(map(str, first['loc'])) or 'the shape'}: {first['msg']}", hint="Copy the model again."
        ) from error
