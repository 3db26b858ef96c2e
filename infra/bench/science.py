"""Whether a memento's cache carries what its text does not say, what computing mementos again costs, and what an engine's wrong rule costs.

`--set parts=toy,restart,mismatch` runs some of the three. The toy (infra.science): `--set seeds=6`, `--set steps=…` of training, `--set
samples=…` of each probe, `--set plots=docs` to draw into that folder instead of the bench's own; its data are drawn, so that no split matters.
Real weights: `--set memento=…`, a directory or the name of a shipped delta, production if left out; `--set families=a,b`; `--n`: problems in
all. Finished seeds and answers are kept for `--resume`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from app.errors import InvalidInput
from infra.bench.base import BenchContext
from infra.bench.figure import Figure
from infra.bench.reasoning import MAIN, _weights
from infra.bench.science_server import SERVINGS, Answers
from infra.reasoning.families import family
from infra.reasoning.problems import problems
from infra.science.figures import Record, mismatch_figures, restart_figures, toy_figures
from infra.science.plots import draw
from infra.science.process import records, stream
from infra.serving_env import ensure_serving_env

SEEDS = 6
PROBLEMS, TRACES = 30, 10  # of each family
RECORDS = 30  # of a seed, for the progress bar

Figures = dict[str, Figure]


async def bench(context: BenchContext) -> Figures:
    """The chosen parts, in their order."""
    chosen = context.options.get("parts", ",".join(PARTS)).split(",")
    if unknown := set(chosen) - set(PARTS):
        raise InvalidInput(f"There is no part {', '.join(sorted(unknown))}.", hint=f"Known: {', '.join(PARTS)}.")
    real = RealWeights(context)
    figures: Figures = {}
    for part in chosen:
        figures |= await PARTS[part](context, real)
    return figures


class RealWeights:
    """What the parts on real weights share: which weights, which problems, and the answers so far."""

    def __init__(self, context: BenchContext) -> None:
        self.context = context
        self.families = tuple(context.options.get("families", ",".join(MAIN)).split(","))
        for name in self.families:
            family(name)
        self.each = -(-context.n // len(self.families)) if context.n else PROBLEMS
        self._answers: Answers | None = None

    async def weights(self) -> Path:
        return await asyncio.to_thread(_weights, self.context, "memento")

    async def answers(self, *names: str) -> dict[str, list[Record]]:
        """Records of the servings of these names."""
        if self._answers is None:
            python = await asyncio.to_thread(ensure_serving_env, self.context.settings)
            first = self.context.seed * 1000
            asked = [made for name in self.families for made in islice(problems(name, self.context.split, first), self.each)]
            self._answers = Answers(self.context, python, await self.weights(), asked)
        return await self._answers.of(*names)


async def toy(context: BenchContext, _: RealWeights) -> Figures:
    """(a), and (b) and (c) on the toy. Seeds run beside each other, each on a core: a model of this size has no work for more."""
    options, log = context.options, context.items("toy")
    sizes = [part for key in ("steps", "samples", "sequences") if key in options for part in (f"--{key}", options[key])]
    seeds = [1000 * context.seed + number for number in range(int(options.get("seeds", SEEDS)))]
    keys = {seed: " ".join(map(str, (seed, *sizes))) for seed in seeds}
    advance = context.track("toy: training, probes, wrong rules", RECORDS * len(seeds))
    cores = asyncio.Semaphore(len(os.sched_getaffinity(0)))

    async def one(seed: int) -> list[Record]:
        if keys[seed] not in log.done:
            found = []
            async with cores, aclosing(stream(context.folder / f"toy-{seed}.log", "seed", "--seed", str(seed), *sizes, threads=1)) as made:
                async for record in made:
                    found.append(record)
                    advance()
            log.add(keys[seed], {"records": found})
        return log.done[keys[seed]]["records"]

    found = await asyncio.gather(*map(one, seeds))
    draw(found, Path(options.get("plots", context.folder)))
    return toy_figures(found)


async def restart(_: BenchContext, real: RealWeights) -> Figures:
    """(b) on real weights: the mementos' cache kept, and computed again without the blocks."""
    found = await real.answers("keep", "restart")
    return restart_figures(found["keep"], found["restart"])


async def mismatch(context: BenchContext, real: RealWeights) -> Figures:
    """(c) on real weights: answers of servers, and log probabilities of gold traces."""
    served = await real.answers(*(name for name in SERVINGS if name != "restart"))
    log, weights = context.items("traces"), await real.weights()
    key = f"{weights.name} {real.families} {context.seed}"
    if key not in log.done:
        advance = context.track("log probability of gold traces", 1)
        arguments = ["--weights", str(weights), "--families", ",".join(real.families), "--each", str(min(TRACES, real.each))]
        arguments += ["--split", context.split, "--first", str(context.seed * 1000)]
        made = await records(context.folder / "traces.log", "traces", *arguments, threads=len(os.sched_getaffinity(0)))
        log.add(key, {"records": made})
        advance()
    return mismatch_figures(served, log.done[key]["records"])


PARTS: dict[str, Callable[[BenchContext, RealWeights], Awaitable[Figures]]] = {"toy": toy, "restart": restart, "mismatch": mismatch}
