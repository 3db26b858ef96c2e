"""The plugin on real vLLM: exact in every regime, small in memory, fast where memory is short, free where there is nothing to evict.

On and off in one run: off is a vLLM that has not loaded the plugin, which is checked by its statistics file, for only the plugin writes one.
Prompts, answers and arrivals are frozen (keepsake_vllm.bench.traces); prefix caching is at its default. `--n`: random requests of `pages_leaked`.
`--set parts=exact,load,plenty,aborts` runs some, `--set tokens=768` makes the load smaller, `--set pairs=6` the comparison shorter.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, ModelUnavailable
from app.memento.grammar import MEMENTO_TOKEN_IDS, TokenIds
from app.memento.simulator import Stream, pages
from app.memento.visibility import Policy
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, mean, median, proportion
from infra.bench.serving_program import Programs, Running
from infra.serving_env import ensure_serving_env
from infra.weights.served import build_served

IDS = TokenIds(*MEMENTO_TOKEN_IDS.values())
PAGE = 32
ENGINES = ("roomy", "tight", "delimiters")
LOAD = {"requests": 16, "tokens": 3072, "block": 512, "memento": 64, "rate": 2.0, "prompt": 32}
PLENTY = {"requests": 16, "tokens": 96, "prompt": 32}
REQUESTS, PAIRS = 1000, 20

Figures = dict[str, Figure]


async def bench(context: BenchContext) -> Figures:
    """All parts, each kept for `--resume` once it is done."""
    chosen = context.options.get("parts", ",".join(PARTS)).split(",")
    if unknown := set(chosen) - set(PARTS):
        raise InvalidInput(f"There is no part {', '.join(sorted(unknown))}.", hint=f"Known: {', '.join(PARTS)}.")
    python = await asyncio.to_thread(ensure_serving_env, context.settings)
    programs = Programs(python, context.folder, await asyncio.to_thread(build_served, context.settings))
    done, figures = context.items("parts"), {}
    for part in chosen:
        if part not in done.done:
            found = await asyncio.to_thread(PARTS[part], context, programs)
            done.add(part, {"figures": {key: figure.model_dump() for key, figure in found.items()}})
        figures |= {key: Figure.model_validate(figure) for key, figure in done.done[part]["figures"].items()}
    return figures


def exact(context: BenchContext, programs: Programs) -> Figures:
    """Log probabilities of three engines' answers against the reference."""
    advance = context.track("exactness: engines, references", 2 * len(ENGINES))
    records: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    for engine in ENGINES:
        records += programs.run("exact", f"exact-{engine}", engine=engine)
        advance()
        compared += programs.run("reference", f"reference-{engine}", records=programs.folder / f"exact-{engine}.jsonl")
        advance()
    return exact_figures(records, compared)


def exact_figures(records: Sequence[dict[str, Any]], compared: Sequence[dict[str, Any]]) -> Figures:
    """max_dlogprob of all and of each regime, mean_dlogprob, top1, wrong_mask_gap (that of the regime where it shows least), second_turn_extra;
    and what shows that the regimes were what their names say: compactions, replays, copied_pages."""
    regimes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in compared:
        regimes[item["regime"]].append(item)
    positions = sum(item["positions"] for item in compared)
    gaps = [max(item["plain"] for item in items if "plain" in item) for items in regimes.values() if any("plain" in i for i in items)]
    total = sum(item["mean"] * item["positions"] for item in compared)
    figures = {
        "max_dlogprob": _worst(compared),
        "mean_dlogprob": Figure(value=round(total / positions, 9), n=positions),
        "top1": proportion(sum(item["agree"] for item in compared), positions),
        "wrong_mask_gap": Figure(value=round(min(gaps), 3), n=len(gaps)),
    }
    figures |= {f"max_dlogprob_{regime}": _worst(items) for regime, items in regimes.items()}
    turns = [record["second_turn"] for record in records if "second_turn" in record]
    extra = [turn["computed"] - turn["new"] for turn in turns]
    if extra:
        figures["second_turn_extra"] = Figure(value=max(extra), n=len(extra))
        figures["second_turn_earlier"] = mean([turn["earlier"] for turn in turns])
    totals = [record for record in records if "totals" in record]
    for key in ("compactions", "replays", "copied_pages"):
        figures[key] = Figure(value=sum(record.get(key, 0) for record in totals), n=len(totals))
    return figures


def _worst(items: Sequence[dict[str, Any]]) -> Figure:
    return Figure(value=round(max(item["max"] for item in items), 8), n=sum(item["positions"] for item in items))


def load(context: BenchContext, programs: Programs) -> Figures:
    """One load in a quarter of the pages that it would need with nothing evicted, with the plugin and without."""
    advance = context.track("load in a quarter of the memory, on and off", 2)
    chosen = LOAD | {"tokens": int(context.options.get("tokens", LOAD["tokens"])), "seed": context.seed}
    full = chosen["requests"] * -(-(chosen["prompt"] + chosen["tokens"]) // PAGE)
    # Not less than one whole request, or vLLM does not start; one page is its own.
    pool = max(full // 4, full // chosen["requests"]) + 1
    runs = {}
    for name, plugin in (("on", True), ("off", False)):
        (runs[name],) = programs.run("load", f"load-{name}", plugin=plugin, load=chosen, pages=pool)
        _require_plugin(f"load-{name}", runs[name]["plugin"], plugin)
        advance()
    stats = programs.stats("load-on")
    return load_figures(runs["on"], runs["off"], _lines(stats), _lines(Path(f"{stats}.worker")))


def load_figures(on: dict[str, Any], off: dict[str, Any], steps: list[dict[str, Any]], compactions: list[dict[str, Any]]) -> Figures:
    """peak_of_ideal with both peaks, throughput_tight, tokens a second and seconds_per_answer_tight of both, compaction_us."""
    streams = {name: Stream(tokens, prompt) for name, (prompt, tokens) in on["streams"].items()}
    ours = [step for step in steps if step["scheduled"].keys() & streams.keys()]
    ideal = max(pages([step["scheduled"] for step in ours], streams, IDS, Policy(), PAGE))
    peak = max(step["pages_used"] for step in ours)
    speed = {name: run["tokens"] / run["seconds"] for name, run in (("on", on), ("off", off))}
    answers = len(on["answers"])
    return {
        "peak_of_ideal": Figure(value=round(ideal / peak, 4), n=len(ours)),
        "peak_pages": Figure(value=peak, n=len(ours)),
        "throughput_tight": Figure(value=round(speed["on"] / speed["off"], 3), n=answers),
        "tokens_per_second_tight": Figure(value=round(speed["on"], 1), n=answers),
        "tokens_per_second_tight_off": Figure(value=round(speed["off"], 1), n=answers),
        "seconds_per_answer_tight": mean(on["answers"]),
        "seconds_per_answer_tight_off": mean(off["answers"]),
        "compaction_us": median([line["us"] / line["compactions"] for line in compactions if line["compactions"]]),
    }


def plenty(context: BenchContext, programs: Programs) -> Figures:
    """The same block-free answers with the plugin and without, in pairs whose order alternates; the engine that waits is halted."""
    pairs = int(context.options.get("pairs", PAIRS))
    advance = context.track("block-free answers, pairs", pairs)
    seconds: dict[str, list[float]] = {"on": [], "off": []}
    with (
        Running(programs, "rounds", "plenty-on", True, {"load": PLENTY}) as on,
        Running(programs, "rounds", "plenty-off", False, {"load": PLENTY}) as off,
    ):
        engines = {"on": on, "off": off}
        for name, running in engines.items():
            _require_plugin(running.name, running.wait_lines(1)[0]["plugin"], name == "on")
            running.pause()
        for pair in range(pairs):
            for name in ("on", "off") if pair % 2 else ("off", "on"):
                seconds[name].append(_round(engines[name], pair))
            advance()
    return plenty_figures(seconds["on"], seconds["off"])


def _round(running: Running, number: int) -> float:
    before = len(running.lines())
    running.resume()
    running.tell(str(number))
    seconds = running.wait_lines(before + 1)[-1]["seconds"]
    running.pause()
    return seconds


def plenty_figures(on: Sequence[float], off: Sequence[float]) -> Figures:
    """throughput_plenty: median over pairs of tokens a second with the plugin by those without."""
    tokens = PLENTY["requests"] * PLENTY["tokens"]
    return {
        "throughput_plenty": median([theirs / ours for ours, theirs in zip(on, off, strict=True)]),
        "tokens_per_second_plenty": median([tokens / seconds for seconds in on]),
        "tokens_per_second_plenty_off": median([tokens / seconds for seconds in off]),
    }


def aborts(context: BenchContext, programs: Programs) -> Figures:
    """Random requests on a tiny model, many of them aborted."""
    advance = context.track("random requests, many aborted", 1)
    (result,) = programs.run("aborts", "aborts", requests=context.n or REQUESTS, seed=context.seed)
    advance()
    return aborts_figures(result)


def aborts_figures(result: dict[str, Any]) -> Figures:
    """pages_leaked, and what went on meanwhile. `aborts_wrong`: requests that ended with another text than their script."""
    sent = result["finished"] + result["aborted"]
    kept = {"pages_leaked": "leaked", "aborts_wrong": "wrong", "aborts_compactions": "compactions", "aborts_replays": "replays"}
    return {key: Figure(value=result[field], n=sent) for key, field in kept.items()} | {"aborted": proportion(result["aborted"], sent)}


def _require_plugin(name: str, loaded: bool, wanted: bool) -> None:
    if loaded != wanted:
        raise ModelUnavailable(
            f"`{name}` ran {'with' if loaded else 'without'} the plugin.", hint="Build the serving environment again (`make setup`)."
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


PARTS: dict[str, Callable[[BenchContext, Programs], Figures]] = {"exact": exact, "load": load, "plenty": plenty, "aborts": aborts}
