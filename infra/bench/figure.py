"""A figure: a value with its 95 % interval and the number of observations behind it."""

import math
import random
from collections.abc import Callable, Sequence

from pydantic import BaseModel


class Figure(BaseModel):
    """One key of a bench. `ci95` is None where no interval makes sense (a count)."""

    value: float
    ci95: tuple[float, float] | None = None
    n: int


def proportion(hits: int, n: int) -> Figure:
    """Share of successes with Wilson's interval (E. B. Wilson, 1927), right also near 0 and 1."""
    if n == 0:
        return Figure(value=math.nan, ci95=None, n=0)
    z = 1.959964
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Figure(value=round(p, 4), ci95=(round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)), n=n)


def mean(values: Sequence[float]) -> Figure:
    """Mean with a percentile bootstrap interval."""
    return bootstrap(values, lambda v: sum(v) / len(v))


def median(values: Sequence[float]) -> Figure:
    """Median with a percentile bootstrap interval."""
    return bootstrap(values, lambda v: sorted(v)[len(v) // 2] if len(v) % 2 else sum(sorted(v)[len(v) // 2 - 1 : len(v) // 2 + 1]) / 2)


def bootstrap(values: Sequence[float], statistic: Callable[[Sequence[float]], float], rounds: int = 1000, seed: int = 0) -> Figure:
    """Any statistic with its percentile bootstrap interval over `rounds` resamples."""
    if not values:
        return Figure(value=math.nan, ci95=None, n=0)
    rng = random.Random(seed)
    draws = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(rounds))
    interval = (round(draws[int(0.025 * rounds)], 6), round(draws[int(0.975 * rounds) - 1], 6))
    return Figure(value=round(statistic(values), 6), ci95=interval, n=len(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Ratio of medians of paired measurements, interval over resampled pairs."""
    pairs = list(zip(ours, theirs, strict=True))

    def statistic(sample: Sequence[tuple[float, float]]) -> float:
        left, right = sorted(a for a, _ in sample), sorted(b for _, b in sample)
        return left[len(left) // 2] / right[len(right) // 2]

    rng = random.Random(0)
    draws = sorted(statistic(rng.choices(pairs, k=len(pairs))) for _ in range(1000))
    return Figure(value=round(statistic(pairs), 4), ci95=(round(draws[25], 4), round(draws[974], 4)), n=len(pairs))
