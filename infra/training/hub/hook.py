"""The memento mask in a model of transformers, without a forked model file: a hook on its decoder writes the mask of every batch.

transformers passes a mask of four dimensions, or a BlockMask, on to its attention as it is; so it must hold everything: causality, documents
that share a row, evicted blocks. Padding is on the right, where causality hides it. Measured with transformers 5.23: a boolean mask is right with
SDPA, and silently wrong with eager attention, which adds its zeros and ones to the scores; hence the refusals here.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.errors import InvalidInput, SetupError
from app.memento.grammar import TokenIds
from app.memento.visibility import Policy
from infra.training.hub.config import BLOCK
from infra.training.hub.mask import Rule, rule_of

Attention = Literal["sdpa", "flex"]
IMPLEMENTATIONS = {"sdpa": "sdpa", "flex": "flex_attention"}
# What TRL's collator adds for kernels that find a row's documents themselves.
FOR_OTHER_KERNELS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx")


class MaskHook:
    """Called before the decoder with its arguments. `policy` None: the causal stage, in which rows of one document need no mask at all."""

    def __init__(self, ids: TokenIds, policy: Policy | None, attention: Attention = "sdpa") -> None:
        self.ids = ids
        self.policy = policy
        self.attention = attention

    def __call__(self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Raises SetupError where the mask would not mean what it says."""
        input_ids = kwargs.get("input_ids", args[0] if args else None)
        config: Any = decoder.config
        if config._attn_implementation != IMPLEMENTATIONS[self.attention]:
            raise SetupError(
                f"The model computes attention with `{config._attn_implementation}`, the mask is made for `{self.attention}`.",
                hint="Load it with attn_implementation as hardware.attention says.",
            )
        if not isinstance(input_ids, Tensor) or kwargs.get("past_key_values") is not None:
            raise SetupError("The mask is made of whole rows of token ids.", hint="Call the model with input_ids and without a cache.")
        _require_padding_right(kwargs.get("attention_mask"))
        changed = {name: value for name, value in kwargs.items() if name not in FOR_OTHER_KERNELS}
        positions = changed.get("position_ids")
        one_document = positions is None or int((positions == 0).sum()) == len(positions)
        if self.policy is None and one_document and self.attention == "sdpa":
            changed["attention_mask"] = None  # the kernel's own causality, which is faster
        else:
            changed["attention_mask"] = self._mask(rule_of(input_ids, positions, self.ids, self.policy), config)
        return args, changed

    def _mask(self, rule: Rule, config: Any) -> Any:
        """One mask, or one for each kind of layer where some see a window only."""
        if "sliding_attention" not in (getattr(config, "layer_types", None) or ()):
            return self._form(rule)
        windowed = Rule(rule.limits, rule.documents, config.sliding_window)
        return {"full_attention": self._form(rule), "sliding_attention": self._form(windowed)}

    def _form(self, rule: Rule) -> Any:
        if self.attention == "sdpa":
            mask = rule.dense()
            assert mask.dtype == torch.bool  # any other is added to the scores
            return mask
        if not rule.limits.is_cuda:
            raise SetupError("FlexAttention has no backward pass on a processor.", hint="Set hardware.attention=sdpa.")
        if rule.limits.shape[1] % BLOCK:
            raise SetupError(f"Rows of {rule.limits.shape[1]} tokens are no multiple of {BLOCK}.", hint="Pad them.")
        return rule.sparse()


def attach_mask(model: Any, ids: TokenIds, policy: Policy | None, attention: Attention = "sdpa") -> Any:
    """Hook the decoder of a causal model, in an adapter or not; the handle takes it off again.

    InvalidInput for a model all of whose layers see a window: what they see is not this rule's to say.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = base.config
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None):
        raise InvalidInput(
            f"Every layer of this {config.model_type} model sees a window of {config.sliding_window} tokens only.",
            hint="Prepare it with `keepsake models add`, which takes out a window that never bites.",
        )
    return base.base_model.register_forward_pre_hook(MaskHook(ids, policy, attention), with_kwargs=True)


def _require_padding_right(mask: Tensor | None) -> None:
    if mask is None:
        return
    if mask.ndim != 2 or bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise SetupError("Rows must be padded on the right.", hint="Set the tokenizer's padding_side to right.")
