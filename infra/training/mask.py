"""The memento mask as a tensor: `app.memento.visibility.visible` for all queries and keys of a stream at once."""

from collections.abc import Sequence

import torch
from torch import Tensor


def visible_mask(after: Sequence[int], queries: int | None = None, device: torch.device | None = None) -> Tensor:
    """True where a query may see a key. `after` is `evict_after` of the stream; rows are its last `queries` tokens (None: all).

    Boolean of shape (queries, len(after)), for scaled_dot_product_attention: an "eager" attention would add it to the scores, wrong in silence.
    """
    limit = torch.tensor(after, dtype=torch.long, device=device)
    key = torch.arange(len(after), device=device)
    query = key[len(after) - (len(after) if queries is None else queries) :, None]
    return (key <= query) & (query < limit)
