"""One tensor of a delta: how its change is kept, what that costs, and how it is put back. torch is imported inside the functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from infra.weights.codes import Coded, Form, decode, encode, group_size, pack_digits, unpack_digits

if TYPE_CHECKING:
    from torch import Tensor

FULL_BELOW = 4096  # elements; a smaller tensor is kept in full


class Entry(BaseModel):
    """How one changed tensor is kept. Its data: `codes:NAME`, `scales:NAME` and, unless every row changed, `rows:NAME`; or `full:NAME`."""

    form: Form
    shape: list[int]
    group: int = 0
    exponent: int = 0


@dataclass(frozen=True)
class Candidate:
    """One way to keep one tensor. No entry: it did not change. `error`: squared distance of the rebuilt to the tuned tensor."""

    entry: Entry | None
    data: dict[str, Tensor]
    error: float

    @property
    def size(self) -> int:
        return sum(tensor.nbytes for tensor in self.data.values())


def choose(packed: dict[str, list[Candidate]], max_bytes: int) -> dict[str, Candidate]:
    """One candidate for each tensor: start from the smallest, then take the steps that save most error per byte while they fit."""
    taken = dict.fromkeys(packed, 0)
    size = sum(ways[0].size for ways in packed.values())
    steps = [
        ((ways[at].error - ways[at + 1].error) / max(1, ways[at + 1].size - ways[at].size), name, at)
        for name, ways in packed.items()
        for at in range(len(ways) - 1)
    ]
    for gain, name, at in sorted(steps, reverse=True):
        grown = size + packed[name][at + 1].size - packed[name][at].size
        if gain > 0 and taken[name] == at and grown <= max_bytes:
            taken[name], size = at + 1, grown
    return {name: packed[name][index] for name, index in taken.items()}


def candidates(base: Tensor, tuned: Tensor, forms: tuple[Form, ...], group: int) -> list[Candidate]:
    """Ways to keep one tensor, smallest first."""
    import torch

    target = tuned.to(base.dtype)
    if torch.equal(target, base):
        return [Candidate(entry=None, data={}, error=float((tuned.float() - base.float()).square().sum()))]
    if base.dim() != 2 or base.numel() < FULL_BELOW:
        entry = Entry(form=Form.FULL, shape=list(base.shape))
        return [Candidate(entry=entry, data={"full": target.contiguous()}, error=float((tuned.float() - target.float()).square().sum()))]
    changed = (target != base).any(dim=1)
    rows = {} if changed.all() else {"rows": pack_digits(changed.to(torch.uint8), Form.SIGN)}  # a bitmap
    size = group_size(base.shape[1], group)
    found = []
    for form in forms:
        coded = encode(tuned[changed].float() - base[changed].float(), form, size)
        entry = Entry(form=form, shape=list(base.shape), group=size, exponent=coded.exponent)
        data = {"codes": coded.codes, "scales": coded.scales, **rows}
        error = float((tuned.float() - rebuild(base, entry, data).float()).square().sum())
        found.append(Candidate(entry=entry, data=data, error=error))
    return found


def rebuild(base: Tensor, entry: Entry | None, data: dict[str, Tensor]) -> Tensor:
    """The tuned tensor as the delta keeps it, in the base's dtype."""
    if entry is None:
        return base
    if list(base.shape) != entry.shape:
        raise ValueError(f"shape {list(base.shape)}, expected {entry.shape}")
    if entry.form is Form.FULL:
        return data["full"].reshape(base.shape).to(base.dtype)
    rows, columns = entry.shape
    changed = unpack_digits(data["rows"], Form.SIGN, rows).bool() if "rows" in data else slice(None)
    shape = (len(data["scales"]), columns)
    change = decode(Coded(data["codes"], data["scales"], entry.exponent), entry.form, shape, entry.group)
    whole = base.clone()
    whole[changed] = (base[changed].float() + change).to(base.dtype)
    return whole
