"""A run as one conversation against prompts that stand alone: the same weights, server and tasks, prefix cache on for both.

`--set weights=DIR` and the like as in bench worlds.
"""

from collections.abc import Sequence
from typing import Any

from infra.bench.base import BenchContext
from infra.bench.figure import Figure, bootstrap, mean, proportion
from infra.bench.worlds import draw, part_of, play_all, server_of

Record = dict[str, Any]


async def bench(context: BenchContext) -> dict[str, Figure]:
    """See figures_of."""
    tasks = draw(context.split, context.n or 80, context.seed)
    part = part_of(context, "production")
    async with server_of(context, "production") as server:
        text = await play_all(context, tasks, server, f"{part}-text", "text")
        stream = await play_all(context, tasks, server, f"{part}-stream", "stream")
    return figures_of(text, stream)


def figures_of(text: Sequence[Record], stream: Sequence[Record]) -> dict[str, Figure]:
    """success_text and success_stream with their paired gap; computed tokens of a task, every role's prompt and answer counted, and their ratio;
    keys that a task's largest call held with eviction, over what it would have held without. Both answer the same tasks in the same order."""
    figures = {
        name: proportion(sum(r["solved"] for r in own), len(own)) for name, own in (("success_text", text), ("success_stream", stream))
    }
    pairs = list(zip(text, stream, strict=True))
    figures["gap"] = bootstrap([float(s["solved"]) - float(t["solved"]) for t, s in pairs], lambda v: sum(v) / len(v))
    for name, own in (("text", text), ("stream", stream)):
        for field in ("computed", "peak", "calls", "seconds"):
            figures[f"{field}_{name}"] = mean([float(r[field]) for r in own])
    # Where a run went astray it made more calls, or fewer: only tasks that both solved say what a run costs.
    both = [(t, s) for t, s in pairs if t["solved"] and s["solved"]]
    figures["computed_tokens_ratio"] = _ratio([(float(t["computed"]), float(s["computed"])) for t, s in both])
    figures["computed_tokens_ratio_all"] = _ratio([(float(t["computed"]), float(s["computed"])) for t, s in pairs])
    figures["peak_kv_ratio"] = _ratio([(float(s["logical"]), float(s["peak"])) for s in stream])
    figures["peak_stream_over_text"] = _ratio([(float(t["peak"]), float(s["peak"])) for t, s in both])
    figures["rollovers"] = Figure(value=sum(s["rollovers"] for s in stream), n=len(stream))
    return figures


def _ratio(pairs: Sequence[tuple[float, float]]) -> Figure:
    """Mean of the second over mean of the first, resampled in pairs."""
    return bootstrap([float(i) for i in range(len(pairs))], lambda chosen: _over([pairs[int(i)] for i in chosen]))


def _over(pairs: Sequence[tuple[float, float]]) -> float:
    under = sum(a for a, _ in pairs)
    return sum(b for _, b in pairs) / under if under else float("nan")
