"""Decoding as the server does it, with nothing but transformers: what training under the mask is held against. Needs torch."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache


def compacted_decoding(model: Any, ids: Sequence[int], after: Sequence[int]) -> tuple[torch.Tensor, int]:
    """Token by token, keys and values dropped once no later query sees them, positions kept. Logits [tokens, vocabulary], and how many keys were
    left at the end."""
    cache, places, rows = DynamicCache(config=model.config), [], []
    for position, token in enumerate(ids):
        kept = [i for i, key in enumerate(places) if after[key] > position]
        if len(kept) < len(places):
            places = [places[i] for i in kept]
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys[:, :, kept], layer.values[:, :, kept]
        places.append(position)
        at = torch.tensor([[position]])
        rows.append(model(torch.tensor([[token]]), position_ids=at, past_key_values=cache, use_cache=True).logits[0, -1])
    return torch.stack(rows), len(places)
