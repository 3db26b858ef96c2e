"""Where a trace is cut into blocks (MEMENTO, data pipeline S4), exactly.

The objective of a partition into K blocks of L_1 to L_K tokens, cut K - 1 times with scores c_1 to c_(K-1) in 0 to 3, is

    mean(c) - 0.5 * std(L) / mean(L)        (population standard deviation; MEMENTO 3.2 with the mean over the cuts)

and 0 for a single block, which has no cut. Among equals more blocks are better.

For a fixed K it grows with the sum of the scores and falls with Q, the sum of the squared block sizes, and with nothing else: std/mean is
sqrt(K * Q / T^2 - 1) for T tokens in all. Scores go in halves, so "the least Q for each count of cuts and each sum of scores" is a finite
table, filled over prefix sums. It is kept by deficits: how far the cuts' scores stay below the best score there is. A good partition has
few, which bounds the table; the bound starts at none and doubles until nothing beyond it can be better. Where an upper bound on blocks rules
the single block out, shortest paths for a few target sizes give the search something to beat.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CV_WEIGHT = 0.5  # MEMENTO
STEP = 0.5  # scores are multiples of it: whole numbers, or the mean of two
MAX_WORK = 1_000_000_000  # additions, some seconds; what is best by then is given as not proven
SLACK = 1e-12  # of equal values

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Segmentation:
    """`cuts`: numbers of the candidates that begin a block, the first left out. `exact`: proven to be the best there is."""

    cuts: tuple[int, ...]
    value: float
    exact: bool = True

    def blocks(self, n: int) -> list[tuple[int, int]]:
        """Blocks as [start, end) over `n` candidates."""
        return list(zip((0, *self.cuts), (*self.cuts, n), strict=True))


def segment(
    tokens: Sequence[int], scores: Sequence[float], min_tokens: int, max_tokens: int | None = None, max_work: int = MAX_WORK
) -> Segmentation:
    """The best partition of candidates with these token counts; `scores[i]` is that of the boundary before candidate i + 1.

    Every block has at least `min_tokens` (one block where nothing can be cut), and at most `max_tokens` unless it is a single candidate; where
    both cannot be had, the upper bound grows by quarters until they can. Raises ValueError for scores that do not fit.
    """
    if len(scores) != max(0, len(tokens) - 1) or any(score < 0 or (score / STEP) % 1 for score in scores):
        raise ValueError(f"{len(tokens)} candidates have one score less, in steps of {STEP} from 0")
    table = _Table(tokens, scores, min_tokens, max_tokens)
    while max_tokens and not table.feasible():
        max_tokens += max_tokens // 4 + 1
        table = _Table(tokens, scores, min_tokens, max_tokens)
    return table.solve(max_work)


def _value(mean: float, blocks: int, squares: float, total: int) -> float:
    return mean - CV_WEIGHT * math.sqrt(max(0.0, blocks * squares / total**2 - 1))


class _Table:
    """The usable cuts of a trace, what a block between any two of them costs, and the search over them."""

    def __init__(self, tokens: Sequence[int], scores: Sequence[float], min_tokens: int, max_tokens: int | None) -> None:
        ends = np.concatenate([[0], np.cumsum(np.asarray(tokens, dtype=np.int64))])
        self.total = int(ends[-1])
        at = np.arange(1, max(1, len(tokens)))
        self.cuts: Ints = at[(ends[at] >= min_tokens) & (self.total - ends[at] >= min_tokens)]
        self.scores: Floats = np.asarray(scores, dtype=np.float64)[self.cuts - 1]
        self.top = float(self.scores.max(initial=0.0))
        self.deficits: Ints = np.rint((self.top - self.scores) / STEP).astype(np.int64)
        points = np.concatenate([[0], self.cuts, [len(tokens)]])  # begin and end of the trace stand as cuts here
        sizes = (ends[points][None, :] - ends[points][:, None]).astype(np.float64)
        fits = sizes >= min_tokens
        if max_tokens:
            fits &= (sizes <= max_tokens) | (points[None, :] - points[:, None] == 1)
        self.costs: Floats = np.where(fits, sizes**2, np.inf)
        self.single = not max_tokens or self.total <= max_tokens or not len(self.cuts)
        self.most = self.total // max(1, min_tokens) - 1
        # The best mean of k cuts, wherever they are: no partition with k cuts has a greater value.
        self.bounds: Floats = np.cumsum(np.sort(self.scores)[::-1]) / np.arange(1, len(self.cuts) + 1)

    def feasible(self) -> bool:
        """Whether any partition fits."""
        reached = np.isfinite(self.costs[0])
        for point in range(1, len(self.cuts) + 1):
            if reached[point]:
                reached |= np.isfinite(self.costs[point])
        return self.single or bool(reached[-1])

    def solve(self, max_work: int) -> Segmentation:
        best = Segmentation((), 0.0) if self.single else self._approximate()
        levels, work = 0, max_work
        while len(self.cuts):
            best, work = self._search(levels, best, work)
            needed = self._needed(best.value)
            if levels >= needed or work < 0:
                break
            levels = min(needed, max(1, 2 * levels))
        return Segmentation(best.cuts, best.value, exact=work >= 0)

    def _approximate(self) -> Segmentation:
        """A good partition of many blocks: the best of some that minimise, over blocks, (size - target)^2 + weight * deficit of the cut."""
        sizes, deficits = np.sqrt(self.costs), np.concatenate([[0], self.deficits, [0]])
        best = Segmentation((), -math.inf)
        fewest = math.ceil(self.total / np.sqrt(np.where(np.isfinite(self.costs), self.costs, 0).max()))
        for target in (self.total / (fewest * factor) for factor in (1, 1.15, 1.4, 2, 3)):
            misses = (sizes - target) ** 2
            for weight in (target**2 * share for share in (0.01, 0.05, 0.2, 1)):
                length, before = np.full(len(deficits), np.inf), np.zeros(len(deficits), dtype=np.int64)
                length[0] = 0.0
                for point in range(1, len(deficits)):
                    options = length[:point] + misses[:point, point]
                    before[point] = options.argmin()
                    length[point] = options[before[point]] + weight * deficits[point]
                path = [len(deficits) - 1]
                while path[-1]:
                    path.append(int(before[path[-1]]))
                points = np.array(path[::-1])
                cuts = points[1:-1] - 1
                value = _value(
                    float(self.scores[cuts].mean()), len(points) - 1, float(self.costs[points[:-1], points[1:]].sum()), self.total
                )
                best = max(best, Segmentation(tuple(int(cut) for cut in self.cuts[cuts]), value), key=lambda found: found.value)
        return best

    def _most_cuts(self, value: float) -> int:
        """No partition with more cuts reaches `value`."""
        return min(self.most, int(np.count_nonzero(self.bounds >= value - SLACK)))

    def _needed(self, value: float) -> int:
        """No partition with more deficits reaches `value`."""
        return math.floor(self._most_cuts(value) * (self.top - value) / STEP + 1e-9)

    def _search(self, levels: int, best: Segmentation, work: int) -> tuple[Segmentation, int]:
        """The best of `best` and all partitions with up to `levels` deficits; and the work left, below 0 if it ran out."""
        active = np.flatnonzero(self.deficits <= levels)
        deficits, closing = self.deficits[active], self.costs[active + 1, -1]
        band = _Band(self.costs[np.ix_(active + 1, active + 1)])
        # least[d, i]: the least sum of squares of the blocks up to active cut i, with d deficits in the cuts up to it.
        least = np.full((levels + 1, len(active)), np.inf)
        least[deficits, np.arange(len(active))] = self.costs[0, active + 1]
        history: list[NDArray[np.int32]] = []
        for count in range(1, self.most + 1):
            closed = least + closing
            last = closed.argmin(axis=1)
            for level in np.flatnonzero(np.isfinite(closed.min(axis=1))):
                value = _value(self.top - level * STEP / count, count + 1, float(closed[level, last[level]]), self.total)
                if value >= best.value - SLACK:
                    path = _path(history, deficits, int(level), int(last[level]))
                    best = Segmentation(tuple(int(cut) for cut in self.cuts[active[path]]), value)
            if work < 0 or count >= self._most_cuts(best.value) or not np.isfinite(least).any():
                break
            least, before = band.step(least, deficits)
            history.append(before)
            work -= least.shape[0] * band.costs.size
        return best, work


class _Band:
    """Costs of blocks between cuts, for each cut of those before it that a block of allowed size begins at: `rows`, `costs` [cuts, width]."""

    def __init__(self, costs: Floats) -> None:
        fits = np.isfinite(costs)
        first = fits.argmax(axis=0)
        width = int((fits.shape[0] - fits[::-1].argmax(axis=0) - first)[fits.any(axis=0)].max(initial=1))
        columns = np.arange(len(costs))[:, None]
        self.rows: Ints = np.minimum(first[:, None] + np.arange(width), len(costs) - 1)
        self.costs: Floats = costs[self.rows, columns]  # a row past the last that fits costs infinity

    def step(self, least: Floats, deficits: Ints) -> tuple[Floats, NDArray[np.int32]]:
        """One more block after each state, and the cut before each new state (-1: no such state)."""
        following = np.full_like(least, np.inf)
        before = np.full(least.shape, -1, dtype=np.int32)
        for level, sums in enumerate(least):
            columns = np.flatnonzero(deficits < len(least) - level)
            if not len(columns) or not np.isfinite(sums).any():
                continue
            options = sums[self.rows[columns]] + self.costs[columns]
            chosen = options.argmin(axis=1)
            target = level + deficits[columns]
            following[target, columns] = options[np.arange(len(columns)), chosen]
            before[target, columns] = self.rows[columns, chosen]
        return following, before


def _path(history: list[NDArray[Any]], deficits: Ints, level: int, i: int) -> list[int]:
    """The active cuts that led to a state."""
    path = [i]
    for before in reversed(history):
        i, level = int(before[level, i]), level - int(deficits[i])
        path.append(i)
    return path[::-1]
