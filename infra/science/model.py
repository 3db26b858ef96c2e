"""The toy's transformer: rotary positions, no biases, 0.79 million parameters. All rows of a batch have one layout and so share one mask.

Made for speed on a processor: LayerNorm and ReLU are fused there, and attention by two products beats the flash kernel at this length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infra.science.toy import VOCABULARY


@dataclass(frozen=True)
class Shape:
    """MEMENTO's toy has 4 layers, d = 128 and 810K parameters; the number of heads and the kind of positions are our choice."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 512
    theta: float = 10_000.0


@dataclass
class Cache:
    """Keys (rotated) and values of the tokens at `places`, for each layer of shape (B, heads, places, head size)."""

    places: list[int] = field(default_factory=list)
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def drop(self, gone: Sequence[int]) -> None:
        """Free what stands at these places; what stays keeps its place and is not computed again."""
        kept = [row for row, place in enumerate(self.places) if place not in set(gone)]
        self.places = [self.places[row] for row in kept]
        self.keys = [keys[:, :, kept] for keys in self.keys]
        self.values = [values[:, :, kept] for values in self.values]

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer with these at their end."""
        if layer == len(self.keys):
            self.keys.append(keys)
            self.values.append(values)
        else:
            self.keys[layer] = torch.cat((self.keys[layer], keys), 2)
            self.values[layer] = torch.cat((self.values[layer], values), 2)
        return self.keys[layer], self.values[layer]


class Layer(nn.Module):
    """Attention and a feed-forward, each behind a norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.heads = shape.heads
        self.before_attention, self.before_hidden = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def project(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, both rotated, and values: (B, heads, T, head size) each."""
        y = self.before_attention(x)
        q, k, v = (linear(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value))
        return rotate(q, turn), rotate(k, turn), v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(self.before_hidden(x))))


class ToyModel(nn.Module):
    """Random weights of `seed` for sequences of at most `longest` tokens."""

    def __init__(self, longest: int, seed: int, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.embed = nn.Embedding(VOCABULARY, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        self.head = nn.Linear(shape.width, VOCABULARY, bias=False)
        size = shape.width // shape.heads
        angles = torch.arange(longest)[:, None] * shape.theta ** -(torch.arange(0, size, 2) / size)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        draw = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("out.weight", "down.weight"))  # what is added to the residual stream, twice a layer (GPT-2)
                deviation = 0.02 if name == "head.weight" else (parameter.shape[1] * (2 * shape.layers if deep else 1)) ** -0.5
                nn.init.normal_(parameter, std=deviation, generator=draw)

    def forward(self, ids: Tensor, mask: Tensor, cache: Cache | None = None, only: Tensor | None = None, first: int = 0) -> Tensor:
        """Logits (B, T, vocabulary) of `ids` (B, T), whose first token stands at place `first`; with `only`, of those of the T that it names.

        `mask` is True where a query sees a key, (T, K): K counts the tokens of the cache, if there is one, and then the T, which it takes up.
        """
        dtype = self.embed.weight.dtype
        hidden = torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)
        turn = (self.cos[first : first + ids.shape[1]], self.sin[first : first + ids.shape[1]])
        x = self.embed(ids)
        for number, layer in enumerate(self.layers):
            q, k, v = layer.project(x, turn)
            if cache is not None:
                k, v = cache.add(number, k, v)
            if only is not None and number == len(self.layers) - 1:
                # Above the last attention only the states that predict something are of use.
                q, x, hidden = q[:, :, only], x[:, only], hidden[only]
            x = layer.finish(x, attend(q, k, v, hidden))
        if cache is not None:
            cache.places += range(first, first + ids.shape[1])
        return self.head(self.norm(x))


def attend(q: Tensor, k: Tensor, v: Tensor, hidden: Tensor) -> Tensor:
    """Softmax attention; `hidden` is added to the scores."""
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)) + hidden
    return torch.matmul(scores.softmax(-1), v)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions (RoFormer); `turn` is cos and sin, (T, head size / 2) each."""
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
