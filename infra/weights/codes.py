"""How a matrix of small changes becomes a few bits a weight: levels, scales and packed digits. torch is imported inside the functions.

Follows BitDelta (arXiv 2402.10193: sign and one scale) and ternary weight networks (arXiv 1605.04711: -1, 0, 1), here with one scale per group
of a row. Scales are the least-squares optimum. Decoding is one fp32 product and one fp32 sum per weight, in torch eager on CPU, where the two
are never fused: the same bits on every machine.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Form(StrEnum):
    """How one tensor's change is kept."""

    SIGN = "sign"  # 1 bit a weight
    TERNARY = "ternary"  # 1.6 bits
    QUATERNARY = "quaternary"  # 2 bits
    FULL = "full"  # the tuned values themselves: norms and other small tensors

    @property
    def levels(self) -> tuple[int, ...]:
        return {Form.SIGN: (-1, 1), Form.TERNARY: (-1, 0, 1), Form.QUATERNARY: (-3, -1, 1, 3)}[self]

    @property
    def digits_per_byte(self) -> int:
        return {Form.SIGN: 8, Form.TERNARY: 5, Form.QUATERNARY: 4}[self]


class Coded(NamedTuple):
    """One matrix of changes. Change = level[code] * scale * 2**exponent, group by group along a row."""

    codes: Tensor  # uint8 [bytes], digits packed in base len(levels), first digit lowest
    scales: Tensor  # float16 [rows, groups], at most 2: small changes would fall into fp16's subnormals without the exponent
    exponent: int


def group_size(columns: int, wanted: int) -> int:
    """Largest divisor of `columns` that is at most `wanted`."""
    return next(size for size in range(min(columns, wanted), 0, -1) if columns % size == 0)


def encode(change: Tensor, form: Form, group: int) -> Coded:
    """Code a change (fp32 [rows, columns], columns a multiple of `group`)."""
    import torch

    rows, columns = change.shape
    grouped = change.reshape(rows, columns // group, group)
    index = _quantise(grouped, form)
    level = torch.tensor(form.levels, dtype=torch.float32)[index.int()]
    weight = level.square().sum(-1).clamp_min(1)
    scales = ((grouped * level).sum(-1) / weight).clamp_min(0)
    largest = float(scales.max()) if scales.numel() else 0.0
    exponent = 0 if largest == 0 else int(torch.frexp(torch.tensor(largest)).exponent) - 1
    return Coded(pack_digits(index.flatten(), form), (scales * 2.0**-exponent).half(), exponent)


def decode(coded: Coded, form: Form, shape: tuple[int, int], group: int) -> Tensor:
    """The change, fp32 of `shape`. ValueError if codes and shape do not belong together."""
    import torch

    rows, columns = shape
    index = unpack_digits(coded.codes, form, rows * columns)
    level = torch.tensor(form.levels, dtype=torch.float32)[index.int()].reshape(rows, columns // group, group)
    scales = coded.scales.float() * 2.0**coded.exponent
    return (level * scales.unsqueeze(-1)).reshape(rows, columns)


def _quantise(grouped: Tensor, form: Form) -> Tensor:
    """Index into the form's levels for each element, least-squares within each group of the last axis."""
    import torch

    size, negative = grouped.abs(), grouped < 0
    if form is Form.SIGN:
        return (~negative).to(torch.uint8)
    if form is Form.TERNARY:
        # Keeping the k largest explains (their sum)^2 / k of the energy: try every k.
        ordered = size.sort(-1, descending=True).values
        explained = ordered.cumsum(-1).square() / torch.arange(1, size.shape[-1] + 1)
        threshold = ordered.gather(-1, explained.argmax(-1, keepdim=True))
        kept = (size >= threshold) & (size > 0)
        return torch.where(kept, torch.where(negative, 0, 2), 1).to(torch.uint8)
    scale = size.mean(-1, keepdim=True) / 2
    for _ in range(8):  # Lloyd's iteration between the split at 2 * scale and the best scale for it
        level = torch.where(size < 2 * scale, 1.0, 3.0)
        scale = (size * level).sum(-1, keepdim=True) / level.square().sum(-1, keepdim=True)
    outer = size >= 2 * scale
    return torch.where(negative, torch.where(outer, 0, 1), torch.where(outer, 3, 2)).to(torch.uint8)


def pack_digits(digits: Tensor, form: Form) -> Tensor:
    """uint8 [n] of digits below the form's base to uint8 [ceil(n / digits_per_byte)]."""
    import torch

    base, count = len(form.levels), form.digits_per_byte
    padded = torch.zeros(-(-len(digits) // count) * count, dtype=torch.uint8)
    padded[: len(digits)] = digits
    columns = padded.reshape(-1, count)
    packed = torch.zeros(len(columns), dtype=torch.uint8)
    for place in range(count):
        packed += columns[:, place] * base**place
    return packed


def unpack_digits(packed: Tensor, form: Form, length: int) -> Tensor:
    """Inverse of `pack_digits`: uint8 [length]. ValueError if there are too few bytes."""
    import torch

    base, count = len(form.levels), form.digits_per_byte
    if len(packed) * count < length:
        raise ValueError(f"{len(packed)} bytes hold {len(packed) * count} digits, {length} are wanted")
    return torch.stack([packed // base**place % base for place in range(count)], dim=1).flatten()[:length]
