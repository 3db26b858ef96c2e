"""The segmentation is the best there is, by ways of finding it that share nothing with it."""

import random
import time
from itertools import combinations, pairwise

import pytest

from infra.training.mementos.segmentation import segment


def value_of(cut_scores, sizes):
    """The objective again, in plain arithmetic."""
    if not cut_scores:
        return 0.0
    mean = sum(sizes) / len(sizes)
    deviation = (sum((size - mean) ** 2 for size in sizes) / len(sizes)) ** 0.5
    return sum(cut_scores) / len(cut_scores) - 0.5 * deviation / mean


def sizes_of(tokens, cuts):
    bounds = [0, *cuts, len(tokens)]
    return [sum(tokens[a:b]) for a, b in pairwise(bounds)]


def best_of_all(tokens, scores, least, most):
    """Every partition there is. `most`: the upper bound, which single candidates may break."""
    found = []
    for k in range(len(tokens)):
        for cuts in combinations(range(1, len(tokens)), k):
            sizes = sizes_of(tokens, cuts)
            bounds = [0, *cuts, len(tokens)]
            fits = all(s >= least and (s <= most or b - a == 1) for s, a, b in zip(sizes, bounds, bounds[1:], strict=False))
            if fits or (k == 0 and most > sum(tokens)):
                found.append(value_of([scores[c - 1] for c in cuts], sizes))
    return max(found, default=None)


def best_by_fronts(tokens, scores, least):
    """Exact for more candidates: for each count of blocks and each end the partial partitions that no other beats in both scores and squares."""
    n, total = len(tokens), sum(tokens)
    ends = [sum(tokens[:i]) for i in range(n + 1)]
    fronts, best = {0: [(0.0, 0)]}, 0.0
    for blocks in range(1, total // least + 1):
        following = {}
        for start, front in fronts.items():
            for end in range(start + 1, n + 1):
                size = ends[end] - ends[start]
                if size >= least:
                    gain = scores[end - 1] if end < n else 0.0
                    following.setdefault(end, []).extend((score + gain, squares + size * size) for score, squares in front)
        fronts = {}
        for end, states in following.items():
            kept, lowest = [], float("inf")
            for score, squares in sorted(states, key=lambda s: (-s[0], s[1])):
                if squares < lowest:
                    kept.append((score, squares))
                    lowest = squares
            fronts[end] = kept
        if blocks > 1:
            for score, squares in fronts.get(n, []):
                spread = max(0.0, squares / blocks - (total / blocks) ** 2) ** 0.5 / (total / blocks)
                best = max(best, score / (blocks - 1) - 0.5 * spread)
    return best


def check(tokens, scores, least, most=None):
    """The segmentation, with its value checked against its cuts."""
    found = segment(tokens, scores, least, most)
    sizes = sizes_of(tokens, found.cuts)
    assert found.exact
    assert found.value == pytest.approx(value_of([scores[c - 1] for c in found.cuts], sizes), abs=1e-9)
    assert len(found.cuts) == 0 or min(sizes) >= least
    return found


def test_within_one_percent_of_every_partition_in_100_random_cases():
    rng = random.Random(1)
    cut = 0
    for _ in range(100):
        n = rng.randint(1, 11)
        tokens, scores = [rng.randint(3, 250) for _ in range(n)], [rng.randint(0, 6) / 2 for _ in range(n - 1)]
        found, best = check(tokens, scores, 200), best_of_all(tokens, scores, 200, float("inf"))
        assert found.value >= best - 0.01 * abs(best) - 1e-9
        cut += bool(found.cuts)
    assert cut > 50


def test_within_one_percent_of_exact_fronts_in_100_larger_cases():
    rng = random.Random(2)
    for case in range(100):
        n = rng.randint(15, 50)
        tokens = [max(1, round(rng.expovariate(1 / 60))) for _ in range(n)]
        scores = [rng.choice((0, 0, 0, 1, 1, 2, 3) if case % 2 else (0, 0.5, 1, 1.5, 2, 2.5)) for _ in range(n - 1)]
        best = best_by_fronts(tokens, scores, 200)
        assert check(tokens, scores, 200).value >= best - 0.01 * abs(best) - 1e-9


def test_the_upper_bound_holds_and_the_best_below_it_is_found():
    rng = random.Random(3)
    bounded = 0
    for _ in range(60):
        n = rng.randint(6, 11)
        tokens, scores = [rng.randint(30, 150) for _ in range(n)], [rng.randint(0, 3) for _ in range(n - 1)]
        best = best_of_all(tokens, scores, 100, 300)
        if best is None:
            continue  # no partition fits
        found = check(tokens, scores, 100, 300)
        assert found.value >= best - 0.01 * abs(best) - 1e-9
        assert sum(tokens) <= 300 or max(sizes_of(tokens, found.cuts)) <= 300
        bounded += bool(found.cuts)
    assert bounded > 30


def test_two_hundred_candidates_take_about_a_second():
    rng = random.Random(4)
    tokens = [max(5, round(rng.expovariate(1 / 58))) for _ in range(200)]
    scores = [rng.randint(0, 6) / 2 for _ in range(199)]
    for most in (None, 1_500):
        started = time.process_time()
        assert segment(tokens, scores, 200, most).exact
        assert time.process_time() - started < 2


def test_equal_values_go_to_more_blocks():
    assert segment([200] * 6, [3] * 5, 200).cuts == (1, 2, 3, 4, 5)


def test_what_cannot_be_cut_is_one_block():
    for tokens in ([], [50], [1000], [150, 150], [199, 1, 199]):
        found = segment(tokens, [3] * max(0, len(tokens) - 1), 200)
        assert (found.cuts, found.value) == ((), 0.0)


def test_a_bound_that_cannot_be_kept_grows():
    found = segment([50, 900, 50, 900, 50], [1, 1, 1, 1], 200, 300)
    assert len(found.cuts) == 1 and max(sizes_of([50, 900, 50, 900, 50], found.cuts)) <= 1_200


def test_work_that_runs_out_is_said_and_still_gives_a_partition():
    rng = random.Random(5)
    tokens, scores = [rng.randint(5, 120) for _ in range(300)], [rng.randint(0, 6) / 2 for _ in range(299)]
    found, best = segment(tokens, scores, 200, 1_500, max_work=1_000), segment(tokens, scores, 200, 1_500)
    assert not found.exact and best.exact and len(found.cuts) > 5
    assert found.value >= 0.9 * best.value


def test_scores_that_do_not_fit_are_refused():
    for scores in ([1], [1, 2, 3], [1, 0.3], [1, -1]):
        with pytest.raises(ValueError, match="candidates"):
            segment([1, 2, 3], scores, 200)
