"""Figures against values known from elsewhere."""

import pytest

from infra.bench.figure import mean, median, proportion, ratio


def test_wilson_agrees_with_the_published_example():
    figure = proportion(81, 263)  # Newcombe 1998: 0.2553 to 0.3662
    assert figure.ci95 == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4)) and figure.n == 263


def test_the_interval_never_leaves_zero_to_one():
    assert proportion(0, 12).ci95[0] == 0.0 and proportion(12, 12).ci95[1] == 1.0


def test_mean_and_median_lie_inside_their_intervals():
    for figure in (mean([1.0, 2.0, 3.0, 10.0]), median([1.0, 2.0, 3.0, 10.0])):
        assert figure.ci95[0] <= figure.value <= figure.ci95[1]


def test_a_ratio_is_of_pairs():
    assert ratio([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).value == 0.5
    with pytest.raises(ValueError):
        ratio([1.0], [1.0, 2.0])
