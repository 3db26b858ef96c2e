"""Tiny random models of three families with small tokenizers of their own, laid out as the hub has them, and an adapter. Needs torch."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen3Config, Qwen3ForCausalLM

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "bos_token_id": None,
    "pad_token_id": None,
    "initializer_range": 0.3,
}
LINES = [
    "a block starts and a block ends",
    "begin a section, finish a section, then a summary in brief",
    "the next step is done and complete",
]
# Knows system prompts, not tools.
HEADERS = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# Knows both.
CHATML = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}\n"
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>\n{% elif messages[0].role == 'system' %}"
    "<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Knows neither, and says so.
BARE = (
    "{% for m in messages %}{% if m.role not in ['user', 'assistant'] or (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def make_models(home: Path) -> None:
    """llama: untied, with reserved tokens. qwen3: tied, with embeddings past its tokenizer. phi3: no room, in several files."""
    size = tokenizer(home / "llama", ["<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], HEADERS, reserved=6)
    torch.manual_seed(1)
    save(LlamaForCausalLM(LlamaConfig(vocab_size=size, eos_token_id=size - 7, tie_word_embeddings=False, **SHAPE)), home / "llama")
    size = tokenizer(home / "qwen3", ["<|endoftext|>", "<|im_start|>", "<think>", "<|im_end|>"], CHATML)
    torch.manual_seed(2)
    save(
        Qwen3ForCausalLM(Qwen3Config(vocab_size=size + 20, eos_token_id=size - 1, head_dim=16, tie_word_embeddings=True, **SHAPE)),
        home / "qwen3",
    )
    size = tokenizer(home / "phi3", ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"], BARE)
    torch.manual_seed(3)
    config = Phi3Config(vocab_size=size, eos_token_id=size - 1, sliding_window=4096, tie_word_embeddings=False, **SHAPE)
    save(Phi3ForCausalLM(config), home / "phi3", max_shard_size="100KB")
    make_adapter(home / "lora", home / "llama")


def tokenizer(directory: Path, special: list[str], template: str, reserved: int = 0) -> int:
    """The files of a tokenizer whose special tokens stand outside its BPE vocabulary, as Llama 3 and Qwen have them; returns its size."""
    directory.mkdir(parents=True)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False))
    spare = [f"<|reserved_special_token_{n}|>" for n in range(reserved)]
    made.add_special_tokens(special + spare)
    made.save(str(directory / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": special[0], "eos_token": special[-1], "chat_template": template}
    if spare:
        settings |= {"pad_token": spare[0], "additional_special_tokens": special + spare}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return made.get_vocab_size()


def save(model, directory: Path, **options: object) -> None:
    model.to(torch.bfloat16).save_pretrained(directory, **options)


def make_adapter(directory: Path, base: Path) -> None:
    """A LoRA of rank 4 on two projections, rank 2 on a third, with rows of the embeddings trained as well."""
    directory.mkdir()
    torch.manual_seed(5)
    prefix = "base_model.model.model.layers.1"
    shapes = {"self_attn.q_proj": (4, 64, 64), "mlp.down_proj": (2, 96, 64), "self_attn.v_proj": (4, 64, 32)}
    data = {}
    for name, (rank, before, after) in shapes.items():
        data[f"{prefix}.{name}.lora_A.weight"] = torch.randn(rank, before)
        data[f"{prefix}.{name}.lora_B.weight"] = torch.randn(after, rank) / 10
    data["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"] = torch.randn(2, 64)
    save_file(data, directory / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": f"somewhere/{base.name}",
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"down_proj": 2},
        "alpha_pattern": {"down_proj": 6},
        "target_modules": ["q_proj", "v_proj", "down_proj"],
        "trainable_token_indices": {"embed_tokens": [3, 5]},
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
