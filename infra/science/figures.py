"""From the records of seeds, traces and answers to figures. Without torch.

A figure of the toy is a mean over seeds, its interval Student's over seeds, n their number: a seed is one observation, whatever it averages.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from infra.bench.figure import Figure, mean, proportion
from infra.science.toy import Toy, told_by_sums

Record = dict[str, Any]
Figures = dict[str, Figure]

ONE_TOKEN = ("early", "late", "delimiters")  # rules that differ by a token, and that an engine may take for the right one


def toy_figures(seeds: Sequence[Sequence[Record]]) -> Figures:
    """Of the records of each seed.

    `toy_accuracy`: answers right, decoded greedily with blocks evicted, each sum from those that the model wrote before. `toy_whole`: answer
    and all running sums right. `probe_*`: accuracy at the block's digits from a memento's cache, last layer unless named. `implicit`:
    probe_kept minus probe_restart, seed by seed; `implicit_sigma`: its mean over its standard error. `told_by_sums`: what running sums alone
    can tell at most; `implicit_untold`: probe_kept minus that. `cost_*`: toy_accuracy lost under a rule other than the trained one, on the same
    sequences; `shift_*`, `nats_*`: see infra.science.rules. `mismatch_cost`: the greatest of the costs of ONE_TOKEN, rules that differ by one
    token or two: what an engine pays that gets the boundary or the delimiters wrong. `toy_restart_drop`: the cost of the restart.
    """
    figures = {"toy_accuracy": over_seeds(_rule(seeds, "trained", "answer")), "toy_whole": over_seeds(_rule(seeds, "trained", "whole"))}
    probes = {key: [seed[key] for seed in map(_probes, seeds)] for key in _probes(seeds[0])}
    figures |= {key: over_seeds(values) for key, values in probes.items()}
    told = told_by_sums(Toy.digits)
    implicit = _minus(probes["probe_kept"], probes["probe_restart"])
    figures |= {"told_by_sums": Figure(value=round(told, 4), n=10**Toy.digits), "implicit": over_seeds(implicit)}
    figures["implicit_sigma"] = Figure(value=round(sigma(implicit), 2), n=len(seeds))
    figures["implicit_untold"] = over_seeds([value - told for value in probes["probe_kept"]])
    figures["implicit_untrained"] = over_seeds(_minus(probes["probe_untrained_kept"], probes["probe_untrained_restart"]))
    costs = {}
    for name in dict.fromkeys(r["name"] for r in seeds[0] if r["kind"] == "rule" and r["name"] != "trained"):
        costs[name] = over_seeds(_minus(_rule(seeds, "trained", "answer"), _rule(seeds, name, "answer")))
        figures[f"cost_{name}"] = costs[name]
        figures |= {f"{key}_{name}": over_seeds(_rule(seeds, name, key)) for key in ("shift", "nats")}
    figures["mismatch_cost"] = max((costs[name] for name in ONE_TOKEN), key=lambda cost: cost.value)
    figures["toy_restart_drop"] = costs["restart"]
    return figures | {"seconds_per_seed": over_seeds([seed[-1]["seconds"] for seed in seeds])}


def restart_figures(keep: Sequence[Record], restart: Sequence[Record]) -> Figures:
    """Real weights on the server, the same problems with the mementos' cache kept and computed again. `restart_drop`: the accuracy lost, paired.
    `restart_evicted`: tokens of an answer whose blocks were evicted; without any the two are the same."""
    figures = {
        f"restart_{name}": proportion(sum(r["correct"] for r in own), len(own)) for name, own in (("keep", keep), ("again", restart))
    }
    return figures | {"restart_drop": paired(keep, restart), "restart_evicted": mean([float(r["evicted"]) for r in keep])}


def mismatch_figures(served: Mapping[str, Sequence[Record]], traces: Sequence[Record]) -> Figures:
    """Real weights under wrong rules. `served`: accuracy on the server under the right rule, `served_*`: what others lose of it, paired.
    `trace_nats`: log probability of a token of gold traces (infra.science.traces), `trace_nats_*`: what others lose of it."""
    figures = {"served": proportion(sum(r["correct"] for r in served["keep"]), len(served["keep"]))}
    figures |= {f"served_{name}": paired(served["keep"], own) for name, own in served.items() if name != "keep"}
    figures["trace_nats"] = mean([r["trained"] for r in traces])
    names = [key for key in traces[0] if key not in ("kind", "family", "seed", "key", "trained")]
    return figures | {f"trace_nats_{name}": mean([r["trained"] - r[name] for r in traces]) for name in names}


def paired(right: Sequence[Record], other: Sequence[Record]) -> Figure:
    """Accuracy that `other` lost on the same problems in the same order."""
    return mean([float(a["correct"]) - float(b["correct"]) for a, b in zip(right, other, strict=True)])


def over_seeds(values: Sequence[float]) -> Figure:
    """Mean over seeds with Student's interval; none for a single seed."""
    if len(values) < 2:
        return Figure(value=round(values[0], 4), n=1)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    middle = fmean(values)
    return Figure(value=round(middle, 4), ci95=(round(middle - half, 4), round(middle + half, 4)), n=len(values))


def sigma(differences: Sequence[float]) -> float:
    """Mean over its standard error; 0 for a single seed, which has none."""
    if len(differences) < 2:
        return 0.0
    return fmean(differences) / max(stdev(differences) / math.sqrt(len(differences)), 1e-9)


def _probes(seed: Sequence[Record]) -> dict[str, float]:
    """By key: the last layer's at the nearest distance are plain, others are named by layer or distance."""
    found = [record for record in seed if record["kind"] == "probe"]
    top, near = max(r["layer"] for r in found), min(r["distance"] for r in found if r["distance"] > 0)
    keys = {}
    for record in found:
        key = f"probe_{record['name']}"
        if record["layer"] != top:
            key += f"_layer{record['layer']}"
        if record["distance"] > near:
            key += f"_plus{record['distance']}"
        keys[key] = record["accuracy"]
    return keys


def _rule(seeds: Sequence[Sequence[Record]], name: str, key: str) -> list[float]:
    return [next(r[key] for r in seed if r["kind"] == "rule" and r["name"] == name) for seed in seeds]


def _minus(these: Sequence[float], those: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(these, those, strict=True)]
