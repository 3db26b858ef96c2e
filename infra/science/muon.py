"""Muon (K. Jordan, 2024): momentum whose every matrix is replaced by the nearest orthogonal one. The toy needs half of AdamW's steps with it.

torch's own computes in bfloat16, which processors without it do many times slower, and matrix by matrix.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, steepest at zero
ITERATIONS = 5


class Muon:
    """For matrices in float32; those of one shape are done together."""

    def __init__(self, matrices: Iterable[Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.groups: dict[torch.Size, list[Parameter]] = defaultdict(list)
        for matrix in matrices:
            self.groups[matrix.shape].append(matrix)
        self.moments = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each matrix by `rate` times an orthogonal one, scaled as its shape wants."""
        for shape, group in self.groups.items():
            gradients = torch.stack([matrix.grad for matrix in group if matrix.grad is not None])
            moments = self.moments[shape].lerp_(gradients, 1 - self.momentum)
            moves = orthogonal(gradients.lerp_(moments, self.momentum)) * max(1, shape[0] / shape[1]) ** 0.5
            for matrix, move in zip(group, moves, strict=True):
                matrix.sub_(move, alpha=rate)


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly orthogonal matrices with the same singular vectors, (n, rows, columns): singular values end between 0.7 and 1.2."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
