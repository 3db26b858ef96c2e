"""Copies single slots inside the paged cache, whatever the layout of a page is.

On CUDA every backend's per-layer cache is logically [pages, heads, slots, 2 * head size], so a slot is a row. On CPU the attention kernels keep
keys and values in tiles (AMX, AVX-512): a slot is scattered over its page, and a plain row copy would corrupt the cache without a word. Where the
elements of a slot are is asked of the kernel's own write operation, once per layout.
"""

import functools
from typing import Any

import torch


class SlotMover:
    """Copies slots in every layer of one worker's cache. A slot is page * page size + place in the page."""

    def __init__(self, runner: Any) -> None:
        self.device = runner.device
        self.caches: list[tuple[str, torch.Tensor]] = []  # instruction set (CPU) and cache of each layer that owns one
        self._seen: set[int] = set()
        layers = runner.compilation_config.static_forward_context
        for group in runner.kv_cache_config.kv_cache_groups:
            for name in group.layer_names:
                self._add(layers[name])

    def _add(self, layer: Any) -> None:
        cache = layer.kv_cache
        if isinstance(cache, list | tuple):  # before vLLM 0.28: one per virtual engine
            cache = cache[0]
        if isinstance(cache, torch.Tensor) and cache.data_ptr() not in self._seen:
            self._seen.add(cache.data_ptr())
            self.caches.append((getattr(layer, "isa", None) or getattr(layer.impl, "isa", ""), cache))

    def move(self, source: list[int], target: list[int]) -> None:
        """Copy slot source[i] to target[i] for all i. All are read before any is written, so the two may overlap; no target occurs twice."""
        if not source:
            return
        both = torch.tensor([source, target], dtype=torch.int64, device=self.device)
        if self.device.type == "cpu":
            self._move_tiles(both[0], both[1])
        else:
            self._move_rows(both[0], both[1])

    def _move_tiles(self, source: torch.Tensor, target: torch.Tensor) -> None:
        indices: dict[tuple[Any, ...], tuple[torch.Tensor, torch.Tensor]] = {}
        for isa, cache in self.caches:
            kind = (isa, *cache.shape[1:], cache.dtype)
            if kind not in indices:
                indices[kind] = _elements(isa, cache, source), _elements(isa, cache, target)
            read, write = indices[kind]
            flat = cache.view(-1)
            flat.index_copy_(0, write, flat.index_select(0, read))

    def _move_rows(self, source: torch.Tensor, target: torch.Tensor) -> None:
        places: dict[int, tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {}
        for _, cache in self.caches:
            size = cache.shape[2]
            if size not in places:
                places[size] = (source // size, source % size), (target // size, target % size)
            read, write = places[size]
            rows = cache.transpose(1, 2)  # [pages, slots, heads, 2 * head size], strided
            rows[write] = rows[read]  # two launches a layer


def _elements(isa: str, cache: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Flat indices of all elements of `slots` in a tiled cache [pages, heads, slots, 2 * head size]."""
    _, heads, size, width = cache.shape
    places = tile_layout(isa, size, width // 2, cache.dtype)[slots % size]  # [slots, width]
    pages = (slots // size)[:, None] * heads + torch.arange(heads)  # [slots, heads]
    return (pages[:, :, None] * (size * width) + places[:, None, :]).reshape(-1)


@functools.lru_cache
def tile_layout(isa: str, size: int, head: int, dtype: torch.dtype) -> torch.Tensor:
    """Where the kernel puts each slot of one page and head: offsets [size, 2 * head] of its key and then its value.

    Every element is written with its own number, in digits of base 128, which are exact in any floating-point type here.
    """
    from vllm import _custom_ops as ops

    elements = size * head
    numbers = torch.arange(elements).view(size, 1, head)
    layout = []
    for which in (0, 1):  # key, value
        code = torch.zeros(2 * elements, dtype=torch.int64)
        written = torch.zeros(2 * elements, dtype=torch.bool)
        for digit in range(3):
            digits = (numbers // 128**digit % 128 + 1).to(dtype)
            nothing = torch.zeros_like(digits)
            page = torch.zeros(1, 1, size, 2 * head, dtype=dtype)
            keys, values = page.view(1, 1, 2 * size, head).chunk(2, dim=2)
            ops.cpu_attn_reshape_and_cache(
                (digits, nothing)[which].contiguous(),
                (nothing, digits)[which].contiguous(),
                keys,
                values,
                torch.arange(size),
                isa,
                **_plain(ops),
            )
            found = page.view(-1).float().round().long()
            written |= found > 0
            code += torch.where(found > 0, (found - 1) * 128**digit, 0)
        places = torch.full((elements,), -1, dtype=torch.int64)
        where = written.nonzero().squeeze(1)
        places[code[where]] = where
        if where.numel() != elements or (places < 0).any():
            raise RuntimeError(f"the cache layout of the CPU kernel {isa!r} with pages of {size} and heads of {head} could not be read")
        layout.append(places.view(size, head))
    return torch.cat(layout, dim=1)


def _plain(ops: Any) -> dict[str, Any]:
    """Arguments of an unquantised write, as far as this vLLM's operation takes them."""
    import inspect

    wanted = {"k_scale": 1.0, "v_scale": 1.0, "kv_cache_dtype": "auto"}
    taken = inspect.signature(ops.cpu_attn_reshape_and_cache).parameters
    return {key: value for key, value in wanted.items() if key in taken}
