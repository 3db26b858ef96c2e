"""Attention of one document on a processor, in chunks of queries: each meets only the keys that one of it may see.

torch's flash attention on processors takes three times as long, forward and backward, at the sizes that are trained here (AVX-512 BF16, heads
of 64), and takes a mask without leaving out what it hides. Scores are as exact as the precision of the inputs, as in transformers' eager
attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.memento.visibility import NEVER

CHUNK = 128  # queries


@dataclass(frozen=True)
class Part:
    """Queries [start, stop) of the last ones of a document. `keys`: the first so many, or the indices of those that any of them sees. `hidden`:
    bool (queries, last keys), True where a query does not see a key; those before are seen by all."""

    start: int
    stop: int
    keys: Tensor | int
    hidden: Tensor


def parts(queries: int, length: int, after: Sequence[int] | None) -> list[Part]:
    """The last `queries` of a document of `length` tokens. `after`: evict_after of its tokens; None: nothing is evicted."""
    first = length - queries
    limit = torch.tensor(after, dtype=torch.long) if after else None
    found = []
    for start in range(0, queries, CHUNK):
        stop = min(start + CHUNK, queries)
        query = torch.arange(first + start, first + stop)[:, None]
        key = torch.arange(first + stop)
        if limit is None or int(limit[: first + stop].min()) >= NEVER:
            found.append(Part(start, stop, first + stop, key[first + start :] > query))
        else:
            key = key[limit[: first + stop] > first + start]
            hidden = (key > query) | (query >= limit[key])
            found.append(Part(start, stop, key, hidden[:, int(hidden.any(0).byte().argmax()) :]))
    return found


def attention(q: Tensor, k: Tensor, v: Tensor, plan: Sequence[Part]) -> Tensor:
    """q (queries, heads, size), k and v (length, groups, size) to (queries, heads, size); heads of a group share its keys."""
    return _Chunked.apply(q, k, v, plan)  # type: ignore[no-any-return]


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, plan: Sequence[Part]) -> Tensor:  # type: ignore[override]
        groups = k.shape[1]
        # Heads of 64 are scaled by a power of two, which loses nothing whatever the precision.
        query, key, value = _by_group(q * q.shape[-1] ** -0.5, groups), k.transpose(0, 1).contiguous(), v.transpose(0, 1).contiguous()
        result = torch.empty_like(query)
        weights = []
        for part in plan:
            rows = query[:, :, part.start : part.stop]
            scores = torch.bmm(rows.reshape(groups, -1, rows.shape[-1]), _pick(key, part).transpose(1, 2))
            last = scores.view(groups, rows.shape[1], part.stop - part.start, -1)[..., scores.shape[-1] - part.hidden.shape[1] :]
            last.masked_fill_(part.hidden, -torch.inf)
            weights.append(torch.softmax(scores, -1))  # in float32 inside
            result[:, :, part.start : part.stop] = torch.bmm(weights[-1], _pick(value, part)).view(rows.shape)
        ctx.plan = plan
        ctx.save_for_backward(query, key, value, *weights)
        return result.flatten(0, 1).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, *weights = ctx.saved_tensors
        groups, scale = len(key), query.shape[-1] ** -0.5
        out = _by_group(gradient, groups)
        query_gradient = torch.empty_like(query)
        key_gradient, value_gradient = (torch.zeros(t.shape, dtype=torch.float32, device=t.device) for t in (key, value))
        for part, weight in zip(ctx.plan, weights, strict=True):
            own = out[:, :, part.start : part.stop].reshape(groups, -1, out.shape[-1])
            rows = query[:, :, part.start : part.stop].reshape(own.shape)
            _put(value_gradient, part, torch.bmm(weight.transpose(1, 2), own))
            change = torch.bmm(own, _pick(value, part).transpose(1, 2))
            change = torch._softmax_backward_data(change, weight, -1, weight.dtype)
            query_gradient[:, :, part.start : part.stop] = torch.bmm(change, _pick(key, part)).view(
                groups, -1, part.stop - part.start, own.shape[-1]
            )
            _put(key_gradient, part, torch.bmm(change.transpose(1, 2), rows))
        return (
            query_gradient.mul_(scale).flatten(0, 1).transpose(0, 1),
            key_gradient.to(key.dtype).transpose(0, 1),
            value_gradient.to(value.dtype).transpose(0, 1),
            None,
        )


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(tokens, heads, size) to (groups, heads of a group, tokens, size)."""
    return x.transpose(0, 1).reshape(groups, -1, len(x), x.shape[-1])


def _pick(x: Tensor, part: Part) -> Tensor:
    return x[:, : part.keys] if isinstance(part.keys, int) else x[:, part.keys]


def _put(x: Tensor, part: Part, change: Tensor) -> None:
    if isinstance(part.keys, int):
        x[:, : part.keys] += change
    else:
        x.index_add_(1, part.keys, change.float())
