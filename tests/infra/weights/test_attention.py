"""What is refused, by its configuration alone. The configurations are shortened ones of published models."""

import pytest

from app.errors import InvalidInput
from infra.weights.attention import require_full_attention, without_window

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 8192}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 28, "max_position_embeddings": 32768}
QWEN3 = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "num_hidden_layers": 36, "max_position_embeddings": 40960}
PHI3 = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "max_position_embeddings": 4096}


@pytest.mark.parametrize(
    "config",
    [
        LLAMA,
        {**QWEN2, "sliding_window": 32768, "use_sliding_window": False, "max_window_layers": 21},
        {**QWEN2, "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28},
        {**QWEN3, "sliding_window": None, "use_sliding_window": False, "layer_types": ["full_attention"] * 36},
        {**PHI3, "sliding_window": None},
        {**PHI3, "sliding_window": 262144, "max_position_embeddings": 131072},
        {"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "num_experts": 128, "sliding_window": None},
    ],
)
def test_full_attention_passes(config):
    require_full_attention(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({**QWEN2, "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 21}, "sliding window"),
        ({**QWEN3, "layer_types": ["full_attention", "sliding_attention"]}, "sliding window"),
        (
            {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 4096, "max_position_embeddings": 32768},
            "sliding",
        ),
        (
            {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "sliding_window": 4096, "max_position_embeddings": 8192},
            "sliding",
        ),
        ({**PHI3, "sliding_window": 2047}, "sliding window"),
        ({**LLAMA, "layer_types": ["chunked_attention", "full_attention"]}, "sliding window"),
        ({**LLAMA, "attention_chunk_size": 8192}, "chunked"),
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, "state"),
        ({"model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"], "linear_num_key_heads": 16}, "state"),
        ({"model_type": "jamba", "architectures": ["JambaForCausalLM"], "attn_layer_period": 8}, "state"),
        ({**LLAMA, "layer_types": ["linear_attention", "full_attention"]}, "state"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512}, "latent attention"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "family `gpt2`"),
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}, "family `mistral`"),
        ({**LLAMA, "architectures": ["LlamaForSequenceClassification"]}, "not a causal language model"),
        ({**LLAMA, "quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({}, "family `unknown`"),
    ],
)
def test_everything_else_is_refused_in_one_sentence(config, reason):
    with pytest.raises(InvalidInput, match=reason) as error:
        require_full_attention(config)
    assert error.value.message.startswith("This model cannot be served with mementos: ") and error.value.message.count(".") == 1
    assert "Llama, Qwen3 or Phi" in error.value.hint


def test_a_window_that_never_bites_is_left_out():
    kept = without_window({**QWEN2, "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28})
    assert (kept["sliding_window"], kept["use_sliding_window"], "max_window_layers" in kept) == (None, False, False)
    assert without_window(LLAMA) == LLAMA
