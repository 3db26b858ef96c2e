"""Which models can be served with mementos: those in which every layer attends to everything before it. Judged from `config.json` alone.

Evicting a block moves what is kept closer together in the cache. Attention that counts distances there (windows, chunks), that keeps a state
in place of a cache, or that keeps something else than keys and values per head, would silently give other answers.
"""

from typing import Any

from app.errors import InvalidInput

# Families whose checkpoints were read through: names of tensors, embeddings and layers are what this package expects.
FAMILIES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "phi3": "Phi3ForCausalLM",  # Phi-4 and Phi-4-mini too
}
RECURRENT = (
    "mamba",
    "jamba",
    "bamba",
    "zamba",
    "rwkv",
    "qwen3_next",
    "qwen3_5",
    "nemotron_h",
    "hybrid",
    "lfm2",
    "recurrent",
    "phi4flash",
    "plamo2",
)
RECURRENT_KEYS = (
    "ssm_cfg",
    "attn_layer_period",
    "hybrid_override_pattern",
    "linear_num_key_heads",
    "mamba_d_state",
    "full_attention_interval",
)
FULL_LAYERS = {"full_attention", "attention"}
OPTIONAL_WINDOW = ("qwen2", "qwen3")  # prefixes of families whose window counts only with `use_sliding_window`


def require_full_attention(config: dict[str, Any]) -> None:
    """InvalidInput with one sentence of the reason unless a model of this `config.json` can be served with mementos."""
    family = str(config.get("model_type", ""))
    layers: set[str] = set(config.get("layer_types") or ())
    windowed = sorted(kind for kind in layers if "sliding" in kind or "chunked" in kind)
    reasons = (
        (config.get("is_encoder_decoder"), "it is an encoder-decoder model"),
        (
            recurrent(config, family, layers),
            "some of its layers keep a running state in place of keys and values (hybrid or state-space)",
        ),
        (config.get("kv_lora_rank"), "it has latent attention (MLA), whose cache holds no keys and values per head"),
        (windowed or window(config, family), "some of its layers see a sliding window of the text only"),
        (config.get("attention_chunk_size"), "its attention is chunked"),
        (config.get("quantization_config"), "its weights are quantised, and neither tokens nor an adapter can be put into them"),
        (family not in FAMILIES, f"the family `{family or 'unknown'}` is not one of {', '.join(FAMILIES)}"),
        (FAMILIES.get(family) not in config.get("architectures", ()), "it is not a causal language model"),
    )
    for found, reason in reasons:
        if found:
            raise InvalidInput(
                f"This model cannot be served with mementos: {reason}.",
                hint="Take a Llama, Qwen3 or Phi model with full attention throughout.",
            )


def recurrent(config: dict[str, Any], family: str, layers: set[str]) -> bool:
    """Whether some layer keeps a state."""
    named = any(word in family for word in RECURRENT) or any(config.get(key) is not None for key in RECURRENT_KEYS)
    return named or any(kind not in FULL_LAYERS and "sliding" not in kind and "chunked" not in kind for kind in layers)


def window(config: dict[str, Any], family: str) -> bool:
    """Whether a sliding window is shorter than the context in some layer."""
    size = config.get("sliding_window")
    if size is None or size >= config.get("max_position_embeddings", 0) > 0:
        return False
    if family.startswith(OPTIONAL_WINDOW):
        return bool(config.get("use_sliding_window")) and config.get("max_window_layers", 28) < config.get("num_hidden_layers", 32)
    return True


def without_window(config: dict[str, Any]) -> dict[str, Any]:
    """The same model with a window that never bites left out: a server would take it for a window all the same."""
    off = {"sliding_window": None, "use_sliding_window": False}
    return {key: off.get(key, value) for key, value in config.items() if key != "max_window_layers"}
