"""LoRA with trainable rows for the four tokens. What is saved is what `keepsake models add --adapter` merges."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftLora
from peft import PeftModel, get_peft_model

from app.errors import InvalidInput
from app.memento.grammar import TokenIds
from infra.training.hub.config import LoraConfig


def with_adapter(model: Any, config: LoraConfig, ids: TokenIds, start: Path | None) -> Any:
    """The model with a fresh adapter, or with the one in `start` to train on.

    Trained are, beside the low-rank pairs, the tokens' rows of the input embeddings and of the output embeddings; these are the same rows where
    the model ties them. All of it is float32, whatever the base is: in bfloat16 a row would not feel a step of 1e-4 of its size.
    """
    if start is not None:
        adapted = PeftModel.from_pretrained(model, start, is_trainable=True)
    else:
        adapted = get_peft_model(model, _peft(model, config, ids))
    head = adapted.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None  # TRL's fused head asks for it; PEFT's wrapper of rows hides the layer's own (peft 0.21, trl 1.16)
    low = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad and parameter.dtype != torch.float32]
    assert not low, low
    return adapted


def _peft(model: Any, config: LoraConfig, ids: TokenIds) -> PeftLora:
    rows = [ids.block_start, ids.block_end, ids.summary_start, ids.summary_end]
    tied = model.config.tie_word_embeddings
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets = list(config.targets)
    if targets != ["all-linear"] and (unknown := [name for name in targets if name not in names or name == "lm_head"]):
        raise InvalidInput(f"lora.targets: {', '.join(unknown)} cannot be adapted.", hint="all-linear, or names of projections.")
    return PeftLora(
        r=config.r,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets[0] if targets == ["all-linear"] else targets,
        trainable_token_indices={"embed_tokens": rows, **({} if tied else {"lm_head": rows})} if config.token_rows else None,
        task_type="CAUSAL_LM",
    )
