"""The toy's three charts, of the records of its seeds: how it learns, what its mementos' cache knows, what wrong rules cost."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from infra.science.figures import Record, over_seeds
from infra.science.svg import Chart, Series, bars, lines
from infra.science.toy import Toy, told_by_sums

SHARES = (0, 0.2, 0.4, 0.6, 0.8, 1)


def draw(seeds: Sequence[Sequence[Record]], folder: Path) -> list[Path]:
    """Write science-accuracy.svg, science-probe.svg and science-mismatch.svg; lines are means over seeds, intervals Student's."""
    folder.mkdir(parents=True, exist_ok=True)
    charts = {"accuracy": _accuracy(seeds), "probe": _probe(seeds), "mismatch": _mismatch(seeds)}
    written = []
    for name, chart in charts.items():
        written.append(folder / f"science-{name}.svg")
        written[-1].write_text(chart)
    return written


def _accuracy(seeds: Sequence[Sequence[Record]]) -> str:
    runs = [[record for record in seed if record["kind"] == "point"] for seed in seeds]
    steps = [record["step"] for record in runs[0]]

    def series(name: str, key: str) -> Series:
        each = [[(0.0, 0.0), *((float(r["step"]), r[key]) for r in run)] for run in runs]
        return Series(name, [(points[0][0], fmean(y for _, y in points)) for points in zip(*each, strict=True)], faint=each)

    chart = Chart("The toy learns to add up under eviction", "training steps of 32 sequences", "share of sequences", SHARES)
    return lines(chart, [series("answer right", "answer"), series("all sums right", "whole")], [0, *steps[1::2]])


def _probe(seeds: Sequence[Sequence[Record]]) -> str:
    top = max(record["layer"] for record in seeds[0] if record["kind"] == "probe")

    def series(name: str, key: str) -> Series:
        found = [[r for r in seed if r["kind"] == "probe" and r["name"] == key and r["layer"] == top] for seed in seeds]
        figures = {at[0]["distance"]: over_seeds([r["accuracy"] for r in at]) for at in zip(*found, strict=True)}
        halves = [(figure.ci95[1] - figure.ci95[0]) / 2 if figure.ci95 else 0.0 for figure in figures.values()]
        return Series(name, [(float(distance), figure.value) for distance, figure in figures.items()], halves)

    named = {"kept": "cache kept", "restart": "computed again", "control": "earlier memento", "untrained_kept": "untrained, kept"}
    made = [series(name, key) for key, name in named.items()]
    highest = max(y for one in made for _, y in one.points)
    ticks = [round(0.05 * n, 2) for n in range(1, 2 + int(highest / 0.05) + 1)]
    levels = {"chance": 0.1, "what running sums tell at most": told_by_sums(Toy.digits)}
    title = "Digits of an evicted block, read from a memento's keys and values"
    distances = sorted({x for one in made for x, _ in one.points})
    return lines(Chart(title, "mementos after the block's own", "probe accuracy", ticks, levels), made, distances)


def _mismatch(seeds: Sequence[Sequence[Record]]) -> str:
    values = {}
    for name in dict.fromkeys(record["name"] for record in seeds[0] if record["kind"] == "rule"):
        figure = over_seeds([r["answer"] for seed in seeds for r in seed if r["kind"] == "rule" and r["name"] == name])
        values[name] = (figure.value, (figure.ci95[1] - figure.ci95[0]) / 2 if figure.ci95 else 0.0)
    return bars(Chart("Answers right when the engine evicts by another rule than training's", "rule", "share right", SHARES), values)
