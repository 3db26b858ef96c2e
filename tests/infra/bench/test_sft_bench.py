import pytest

from app.memento.visibility import NEVER, visible
from infra.bench.sft import Shape, figures_of, step_flops, visible_pairs
from infra.training.packing import Encoded, lay_out


def encoded(prompt, answer, after=None):
    return Encoded(tuple(prompt), tuple(answer), after)


def counted(examples):
    """Pairs by the rule itself, for examples that share nothing."""
    pairs = 0
    for example in examples:
        length = len(example) - 1  # nothing is predicted from the last token
        after = example.after or (NEVER,) * len(example)
        pairs += sum(visible(q, k, after) for q in range(length) for k in range(q + 1))
    return pairs


EVICTING = encoded([1, 2, 3], range(4, 14), (NEVER,) * 3 + (8,) * 4 + (NEVER,) * 2 + (11,) * 2 + (NEVER,) * 2)


def test_pairs_are_those_that_the_rule_lets_be_seen():
    examples = [EVICTING, encoded([20, 21], [22, 23, 24])]
    assert visible_pairs(lay_out(examples)) == counted(examples) < counted([encoded([1, 2, 3], range(4, 14)), examples[1]])


def test_a_shared_beginning_is_counted_once():
    one, two = encoded([1, 2, 3, 4], [5, 6]), encoded([1, 2, 3, 4], [7, 8])
    apart = visible_pairs(lay_out([one, two], share=False))
    assert apart == counted([one, two]) == 2 * 15
    assert visible_pairs(lay_out([one, two])) == 15 + 5  # of the second only the state of its one own token


def test_operations_are_six_a_weight_and_twelve_a_pair():
    shape = Shape(body=1000, layers=2, width=8, head=300)
    layout = lay_out([encoded([1, 2], [3, 4])])
    assert step_flops(shape, layout) == 6 * (1000 * 3 + 300 * 2) + 12 * 2 * 8 * 6


def lines(seconds, peak):
    about = {"kernel": "k", "device": "processor", "threads": 2, "dtype": "bfloat16"}
    return [about, *({"step": i, "seconds": seconds, "tokens": 1000, "loss": 1.0, "flops": 5e11} for i in range(4)), {"peak": peak}]


def test_rates_are_sums_over_sums_and_the_better_peak_counts_for_both():
    figures = figures_of(lines(1.0, 1e12), lines(2.0, 2e12))
    assert (figures["tokens_per_s"].value, figures["tokens_per_s_memento"].value) == (1000, 500)
    assert (figures["mfu"].value, figures["mfu_memento"].value) == pytest.approx((0.25, 0.125))
    assert figures["peak_tflops"].value == 2 and figures["threads"].value == 2 and figures["mfu"].n == 4
