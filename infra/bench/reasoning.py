"""Reasoning in blocks on the real server: weights whose blocks are evicted against a control that was trained as long and keeps them.

Both answer the same problems of each family, greedily. Figures are paired; `--n`: problems in all. `--set control=…`, `--set memento=…`,
`--set base=…`: a directory of weights or the name of a shipped delta; `base` is left out unless named. `--set families=a,b` chooses families,
`--set votes=3` takes the majority of three samples.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from app.errors import InvalidInput, ModelUnavailable
from app.memento.grammar import MEMENTO_TOKEN_IDS, TokenIds
from app.memento.simulator import Stream, pages
from app.memento.visibility import Policy
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, bootstrap, mean, proportion
from infra.bench.model_process import NAME, ModelProcess, model_process, steps
from infra.reasoning.base import Problem
from infra.reasoning.check import correct, extract
from infra.reasoning.families import family
from infra.reasoning.problems import problems
from infra.serving_env import ensure_serving_env
from infra.weights.served import build_delta, build_served
from infra.weights.shipped import shipped_deltas

MAIN = ("state_chain", "chain_sum", "gcd_lcm", "long_multiplication", "base_conversion", "number_sorting")
SLOTS = 64  # requests at a time: a decoding step of 64 rows costs hardly more than one of 16
MOST_TOKENS = 1600  # the longest trace of the main families has 1,202
LONG = 700  # tokens of a control's answer from which on a family counts for peak_ratio
PAGE = 32
IDS = TokenIds(*MEMENTO_TOKEN_IDS.values())

Record = dict[str, Any]


async def bench(context: BenchContext) -> dict[str, Figure]:
    """Accuracy, memory and blocks of each model; gap, ratios; how far the simulator is from the server's pool."""
    names = tuple(context.options.get("families", ",".join(MAIN)).split(","))
    for name in names:
        family(name)
    total = context.n or 160 * len(names)
    asked = [made for name in names for made in islice(problems(name, context.split, context.seed * 1000), -(-total // len(names)))]
    python = await asyncio.to_thread(ensure_serving_env, context.settings)
    records = {}
    for model in ("control", "memento", "base"):
        if model == "base" and "base" not in context.options:
            continue
        weights = await asyncio.to_thread(_weights, context, model)
        records[model] = await _answers(context, python, model, weights, asked)
    figures = figures_of(records["control"], records["memento"], records.get("base", []))
    return figures | {"simulator_pages_off": simulator_off(context, records["memento"])}


def figures_of(control: Sequence[Record], memento: Sequence[Record], base: Sequence[Record] = ()) -> dict[str, Figure]:
    """All but the simulator's. The two sequences answer the same problems in the same order."""
    figures: dict[str, Figure] = {}
    for name, records in (("control", control), ("memento", memento), ("base", base)):
        if not records:
            continue
        figures[name] = proportion(sum(r["correct"] for r in records), len(records))
        for kind in dict.fromkeys(r["family"] for r in records):
            own = [r["correct"] for r in records if r["family"] == kind]
            figures[f"{name}_{kind}"] = proportion(sum(own), len(own))
        for key in ("peak", "area", "tokens", "blocks"):
            figures[f"{name}_{key}"] = mean([float(r[key]) for r in records])
    gaps = bootstrap([float(m["correct"]) - float(c["correct"]) for c, m in zip(control, memento, strict=True)], lambda v: sum(v) / len(v))
    assert gaps.ci95 is not None
    figures["gap"] = gaps
    figures["gap_lower"] = Figure(value=gaps.ci95[0], n=gaps.n)
    long = {kind for kind in {r["family"] for r in control} if _mean([r["tokens"] for r in control if r["family"] == kind]) > LONG}
    pairs = [(c, m) for c, m in zip(control, memento, strict=True) if c["family"] in long]
    figures["families_over_700"] = Figure(value=len(long), n=len(pairs))
    for key, field in (("peak_ratio", "peak"), ("auc_ratio", "area")):
        figures[key] = _ratio([(float(c[field]), float(m[field])) for c, m in pairs])
    figures["compression"] = Figure(value=round(_mean([r["evicted"] / max(1, r["tokens"]) for r in memento]), 4), n=len(memento))
    return figures


def simulator_off(context: BenchContext, records: Sequence[Record]) -> Figure:
    """Greatest difference, over all engine steps, between pages in use and those of the simulator, by the requests running then."""
    streams = {r["request"]: Stream(r["ids"], r["prompt"]) for r in records}
    ran = [s for s in steps(context.folder / "memento.stats") if s["scheduled"]]
    schedule = [{_request(name): place for name, place in step["scheduled"].items()} for step in ran]
    counted = pages(schedule, streams, IDS, Policy(), PAGE)
    ours = [
        (step, expected) for step, expected in zip(ran, counted, strict=True) if {_request(n) for n in step["scheduled"]} <= streams.keys()
    ]
    off = [abs(step["pages_used"] - expected) / max(1, step["running"]) for step, expected in ours]
    return Figure(value=round(max(off), 3), n=len(off)) if off else Figure(value=float("nan"), n=0)


def _request(name: str) -> str:
    """The id that the API gave, without what the engine appends."""
    return name.rpartition("-")[0] if name.count("-") > 1 else name


def _weights(context: BenchContext, model: str) -> Path:
    """The directory that `--set model=` means: production for memento, the newest delta of the control recipe for control, by default."""
    chosen = context.options.get(model)
    if chosen and (Path(chosen) / "config.json").is_file():
        return Path(chosen).resolve()
    if model == "base":
        return build_served(context.settings, "base")
    if model == "memento" and not chosen:
        return build_served(context.settings)
    known = [delta for delta in shipped_deltas() if chosen in (None, delta.name) and (chosen or "control" in delta.recipe)]
    if not known:
        raise InvalidInput(f"There are no weights for `{model}`.", hint=f"Name a directory or a shipped delta: --set {model}=…")
    return build_delta(context.settings, known[-1])


async def _answers(context: BenchContext, python: Path, model: str, weights: Path, asked: Sequence[Problem]) -> list[Record]:
    log = context.items(model)
    advance = context.track(f"{context.split} problems, {model}", len(asked))
    missing = [made for made in asked if _key(made) not in log.done]
    for _ in range(len(asked) - len(missing)):
        advance()
    if missing:
        slots = asyncio.Semaphore(SLOTS)
        votes = int(context.options.get("votes", 1))
        with model_process(python, weights, context.folder, model, "--max-num-seqs", str(SLOTS)) as server:
            async with httpx.AsyncClient(timeout=3600.0, limits=httpx.Limits(max_connections=SLOTS)) as client:

                async def one(made: Problem) -> None:
                    async with slots:
                        log.add(_key(made), await answer(client, server, made, model == "memento", votes))
                    advance()

                await asyncio.gather(*(one(made) for made in missing))
    return [log.done[_key(made)] for made in asked]


async def answer(client: httpx.AsyncClient, server: ModelProcess, made: Problem, evict: bool, votes: int = 1) -> Record:
    """One problem asked once, or `votes` times at temperature 0.6 with the most frequent answer taken."""
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": made.question}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0.0 if votes == 1 else 0.6,
        "top_p": 1.0 if votes == 1 else 0.95,
        "return_token_ids": True,
        "vllm_xargs": {"memento": "keep" if evict else "off"},
    }
    results = [await _ask(client, server, body | {"seed": vote}) for vote in range(votes)]
    values = Counter(extract(result["text"]) for result in results)
    best = max(results, key=lambda result: values[extract(result["text"])])
    return {"family": made.family, "seed": made.seed, "correct": correct(made, best["text"]), **best}


async def _ask(client: httpx.AsyncClient, server: ModelProcess, body: dict[str, Any]) -> Record:
    response = await client.post(f"{server.url}/chat/completions", json=body)
    if response.status_code != 200:
        raise ModelUnavailable(f"The bench's model server answered {response.status_code}: {response.text[:300]}", hint="See its log.")
    said = response.json()
    choice, usage = said["choices"][0], said["usage"]
    parts = (choice["message"].get("memento") or {}).get("parts", [])
    prompt, output = said["prompt_token_ids"], choice["token_ids"]
    return {
        "request": said["id"],
        "text": choice["message"]["content"] or "",
        "finish": choice["finish_reason"],
        "prompt": usage["prompt_tokens"],
        "tokens": usage["completion_tokens"],
        "peak": usage["peak_kv_tokens"],
        "area": usage["kv_auc"],
        "evicted": usage["evicted_tokens"],
        "blocks": sum(part["type"] == "block" for part in parts),
        "ids": prompt + output,
    }


def _key(made: Problem) -> str:
    return f"{made.family}-{made.seed}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _ratio(pairs: Sequence[tuple[float, float]]) -> Figure:
    """Ratio of means, interval over resampled pairs."""
    if not pairs:
        return Figure(value=float("nan"), n=0)
    numbered = bootstrap(range(len(pairs)), lambda chosen: sum(pairs[int(i)][0] for i in chosen) / sum(pairs[int(i)][1] for i in chosen))
    return numbered
