"""Forward pass of a Llama over a flat batch (infra.training.packing.Layout): no padding, shared beginnings computed once, logits only where
an answer is predicted. Uses the weights of transformers' LlamaForCausalLM; a test holds the two to the same numbers.

Known to matter here: of a step's time, four fifths and more are the matrix products of the linear layers; what is left out is what helps.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from app.memento.visibility import NEVER
from infra.training.attention import attention, parts
from infra.training.head import cross_entropy
from infra.training.packing import Layout


@dataclass
class Batch:
    """A layout as tensors. T computed tokens, D documents, K the lengths of all paths together, N predicted tokens."""

    ids: Tensor  # (T,)
    positions: Tensor  # (T,)
    path: Tensor  # (K,) places of each document's tokens, one document after the other
    lengths: list[int]  # (D,) tokens of a document
    fresh: list[int]  # (D,) those of them that are computed for it, the last ones
    after: list[tuple[int, ...] | None]  # (D,) evict_after of the document's tokens; None where nothing is evicted
    target_at: Tensor  # (N,)
    targets: Tensor  # (N,)
    tokens: int

    @classmethod
    def of(cls, layout: Layout, device: torch.device) -> Self:
        def long(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        return cls(
            ids=long(layout.ids),
            positions=long(layout.positions),
            path=long([place for path in layout.paths for place in path]),
            lengths=[len(path) for path in layout.paths],
            fresh=list(layout.fresh),
            after=list(layout.after),
            target_at=long(layout.target_at),
            targets=long(layout.targets),
            tokens=layout.tokens,
        )


def answer_logits(model: Any, batch: Batch, frozen_layers: int = 0) -> Tensor:
    """Logits (N, vocabulary) in float32 of a LlamaForCausalLM at the places that predict an answer's tokens.

    The lowest `frozen_layers` and the input embeddings are computed without a gradient.
    """
    return F.linear(_states(model, batch, frozen_layers), model.lm_head.weight).float()


def answer_loss(model: Any, batch: Batch, frozen_layers: int = 0) -> Tensor:
    """Mean cross-entropy over all predicted tokens of the batch."""
    return cross_entropy(_states(model, batch, frozen_layers), model.lm_head.weight, batch.targets)


def _states(model: Any, batch: Batch, frozen_layers: int) -> Tensor:
    """Last hidden states (N, size) of the places that predict."""
    config, decoder = model.config, model.model
    turn = _rotations(config, batch.positions, decoder.embed_tokens.weight.dtype)
    attend = _padded(batch) if batch.ids.is_cuda else _by_document(batch)
    last = len(decoder.layers) - 1
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen_layers):
        x = F.embedding(batch.ids, decoder.embed_tokens.weight)
    for number, layer in enumerate(decoder.layers):
        with torch.set_grad_enabled(torch.is_grad_enabled() and number >= frozen_layers):
            # Above the last attention only the states that predict something are of use.
            x = _layer(layer, config, x, turn, attend, batch.target_at if number == last else None)
    return _norm(x, decoder.norm.weight, config)


def _layer(layer: Any, config: Any, x: Tensor, turn: tuple[Tensor, Tensor], attend: Any, only: Tensor | None) -> Tensor:
    size = config.head_dim
    y = _norm(x, layer.input_layernorm.weight, config)
    attention, mlp = layer.self_attn, layer.mlp
    q = _rotate(F.linear(y, attention.q_proj.weight).view(len(y), -1, size), turn)
    k = _rotate(F.linear(y, attention.k_proj.weight).view(len(y), -1, size), turn)
    v = F.linear(y, attention.v_proj.weight).view(len(y), -1, size)
    z = attend(q, k, v).flatten(1)
    if only is not None:
        x, z = x[only], z[only]
    x = x + F.linear(z, attention.o_proj.weight)
    y = _norm(x, layer.post_attention_layernorm.weight, config)
    return x + F.linear(F.silu(F.linear(y, mlp.gate_proj.weight)) * F.linear(y, mlp.up_proj.weight), mlp.down_proj.weight)


def _norm(x: Tensor, weight: Tensor, config: Any) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, config.rms_norm_eps)


def _rotations(config: Any, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin (T, 1, head size / 2) of rotary embeddings (RoFormer), angles in float32."""
    theta = config.rope_parameters["rope_theta"]
    exponents = torch.arange(0, config.head_dim, 2, device=positions.device, dtype=torch.float32) / config.head_dim
    angles = (positions[:, None].float() * theta**-exponents)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def _by_document(batch: Batch) -> Any:
    """Attention document by document, each at its own length: best on a processor, where a padded product costs as much as a real one."""
    shared = len(batch.path) != len(batch.ids)
    plans = [parts(*document) for document in zip(batch.fresh, batch.lengths, batch.after, strict=True)]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if shared:
            k, v = k[batch.path], v[batch.path]
        pieces = zip(q.split(batch.fresh), k.split(batch.lengths), v.split(batch.lengths), plans, strict=True)
        return torch.cat([attention(*piece) for piece in pieces])

    return attend


def _padded(batch: Batch) -> Any:
    """Attention of all documents in one padded call: best on a GPU, where launches cost more than products."""
    device = batch.ids.device
    fresh, lengths = torch.tensor(batch.fresh, device=device), torch.tensor(batch.lengths, device=device)
    rows, columns = int(fresh.max()), int(lengths.max())
    row, column = torch.arange(rows, device=device), torch.arange(columns, device=device)
    is_query, is_key = row < fresh[:, None], column < lengths[:, None]
    # Rows beyond those of a document are computed and thrown away; they see its first key, since a row that sees nothing would give NaN.
    own = (lengths - fresh)[:, None, None] + row[None, :, None]
    limit = torch.full((len(lengths), columns), NEVER, device=device)
    for document, after in enumerate(batch.after):
        if after:
            limit[document, : len(after)] = torch.tensor(after, device=device)
    sees = (column[None, None] <= own) & (own < limit[:, None]) & is_key[:, None]
    mask = (sees | ((column == 0)[None, None] & ~is_query[..., None]))[:, None]
    query_at = torch.zeros_like(is_query, dtype=torch.long).masked_scatter(is_query, torch.arange(len(batch.ids), device=device))
    key_at = torch.zeros_like(is_key, dtype=torch.long).masked_scatter(is_key, batch.path)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        repeats = q.shape[1] // k.shape[1]
        queries, keys, values = (t.transpose(1, 2) for t in (q[query_at], k[key_at], v[key_at]))
        keys, values = (t.repeat_interleave(repeats, dim=1) for t in (keys, values))
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask).transpose(1, 2)[is_query]

    return attend
