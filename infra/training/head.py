"""Cross-entropy of an output layer together with its gradients, some rows at a time.

The logits of a step, 2,000 rows of 49,152 numbers, are 400 MB in float32, and torch reads and writes them five times over: a third of a step on
two cores. Here a few rows are turned from logits into their gradient while they are in the processor's cache, as in Liger Kernel's fused linear
cross-entropy.
"""

from typing import Any

import torch
from torch import Tensor

ROWS = 512  # of one matrix product
_IN_CACHE = 64  # of one softmax: 12 MB in float32


def cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -log softmax(x weight^T)[target]. x (rows, size), weight (vocabulary, size), targets (rows,). Differentiable once."""
    if not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return torch.nn.functional.cross_entropy(torch.nn.functional.linear(x, weight).float(), targets)
    return _Fused.apply(x, weight, targets)  # type: ignore[no-any-return]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        loss = torch.zeros((), dtype=torch.float32, device=x.device)
        x_gradient = torch.empty_like(x)
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=x.device)
        for start in range(0, len(x), ROWS):
            rows, wanted = x[start : start + ROWS], targets[start : start + ROWS]
            logits = rows @ weight.T
            for low in range(0, len(rows), _IN_CACHE):
                part, own = logits[low : low + _IN_CACHE], wanted[low : low + _IN_CACHE, None]
                likely = torch.softmax(part, -1, dtype=torch.float32)
                chosen = likely.gather(1, own)
                loss -= chosen.clamp_min(torch.finfo(torch.float32).tiny).log().sum()
                likely.scatter_(1, own, chosen - 1)  # in float32: what is left of a sure answer's 1 - p is what it learns from
                part.copy_(likely)
            torch.mm(logits, weight, out=x_gradient[start : start + ROWS])
            weight_gradient += logits.T @ rows
        ctx.save_for_backward(x_gradient, weight_gradient)
        ctx.rows, ctx.dtype = len(x), weight.dtype
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x_gradient, weight_gradient = ctx.saved_tensors
        scale = gradient / ctx.rows
        return x_gradient * scale.to(x_gradient.dtype), weight_gradient.mul_(scale).to(ctx.dtype), None
