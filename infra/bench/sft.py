"""Speed of the embedded model's trainer on reasoning traces: the causal and the memento mask on the same examples, after a warm-up.

`mfu`: floating-point operations that a step needs, over its seconds and the peak of the same device in the same run (a product of two
4096 x 4096 matrices, in bfloat16 or the training's own type, whichever is faster). `--n`: steps of each mask; `--set warmup=3`,
`--set threads=2`, `--set tokens_per_step=2048`, `--set families=a,b`, `--set model=DIRECTORY`.
"""

import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, SetupError
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, bootstrap
from infra.program import stream
from infra.reasoning.families import family
from infra.training.command import training_python
from infra.training.packing import Layout

MASKS = ("causal", "memento")
FAMILIES = ("state_chain", "chain_sum", "gcd_lcm", "long_multiplication", "base_conversion", "number_sorting")
STEPS, WARMUP = 20, 3


@dataclass(frozen=True)
class Shape:
    """What operations are counted from: weights of the layers, their number, the width of all heads together, weights of the head."""

    body: int
    layers: int
    width: int
    head: int


def step_flops(shape: Shape, layout: Layout) -> float:
    """Forward and backward: 6 a weight of the layers and token, 6 a weight of the head and predicted token, and attention over the pairs of a
    query with a key that it sees, 12 a layer and unit of width. What a kernel computes beyond that counts for nothing."""
    products = shape.body * len(layout.ids) + shape.head * len(layout.targets)
    return 6.0 * products + 12.0 * shape.layers * shape.width * visible_pairs(layout)


def visible_pairs(layout: Layout) -> int:
    """Pairs of a computed query with a key of its document that it sees."""
    pairs = 0
    for path, fresh, after in zip(layout.paths, layout.fresh, layout.after, strict=True):
        length, own = len(path), len(path) - fresh
        pairs += (length * (length + 1) - own * (own + 1)) // 2
        pairs -= sum(length - max(limit, own) for limit in after or () if limit < length)
    return pairs


async def bench(context: BenchContext) -> dict[str, Figure]:
    """tokens_per_s and mfu of each mask (causal without a suffix), the peak in TFLOP/s, threads."""
    options = context.options
    if unknown := options.keys() - {"warmup", "threads", "tokens_per_step", "families", "model"}:
        raise InvalidInput(f"There is no option {', '.join(sorted(unknown))}.", hint="warmup, threads, tokens_per_step, families, model.")
    for name in options.get("families", ",".join(FAMILIES)).split(","):
        family(name)
    python = training_python() if not _has_torch() else Path(sys.executable)
    base = Path(options.get("model", context.settings.weights_dir / "base")).absolute()
    if not (base / "tokenizer.json").is_file():
        raise SetupError(f"There are no weights at {base}.", hint="Build the base weights first: `make setup`.")
    lines = {mask: await _measure(context, python, base, mask) for mask in MASKS}
    return figures_of(lines["causal"], lines["memento"])


def figures_of(causal: Sequence[dict[str, Any]], memento: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """Each is what a program wrote: a line about itself, one a step, one about the peak. The peak is the better of the two."""
    peak = max(lines[-1]["peak"] for lines in (causal, memento))
    figures = {}
    for suffix, lines in (("", causal), ("_memento", memento)):
        steps = lines[1:-1]
        figures[f"tokens_per_s{suffix}"] = _rate([(step["tokens"], step["seconds"]) for step in steps])
        figures[f"mfu{suffix}"] = _rate([(step["flops"] / peak, step["seconds"]) for step in steps])
    figures["peak_tflops"] = Figure(value=round(peak / 1e12, 3), n=len(MASKS))
    figures["threads"] = Figure(value=causal[0]["threads"], n=1)
    return figures


def _rate(pairs: Sequence[tuple[float, float]]) -> Figure:
    """Sum over sum, interval over resampled steps."""

    def statistic(chosen: Sequence[float]) -> float:
        drawn = [pairs[int(i)] for i in chosen]
        return sum(amount for amount, _ in drawn) / sum(seconds for _, seconds in drawn)

    return bootstrap(range(len(pairs)), statistic)


async def _measure(context: BenchContext, python: Path, base: Path, mask: str) -> list[dict[str, Any]]:
    options = context.options
    steps = context.n or STEPS
    arguments = ["--base", str(base), "--mask", mask, "--steps", str(steps)]
    arguments += ["--warmup", options.get("warmup", str(WARMUP)), "--families", options.get("families", ",".join(FAMILIES))]
    arguments += ["--seed", str(context.seed)]
    for name in ("threads", "tokens_per_step"):
        if name in options:
            arguments += [f"--{name.replace('_', '-')}", options[name]]
    lines: list[dict[str, Any]] = []
    task = context.progress.add_task(f"{mask} mask", total=steps)
    async with aclosing(stream(python, "infra.bench.sft_program", *arguments, log=context.folder / f"{mask}.log")) as found:
        async for line in found:
            lines.append(line)
            if "kernel" in line:
                words = f"{mask} mask: {line['kernel']}, {line['dtype']}, {line['threads']} threads"
                context.progress.update(task, description=words)
            elif "step" in line:
                context.progress.advance(task)
    return lines


def _has_torch() -> bool:
    import importlib.util

    return importlib.util.find_spec("torch") is not None
