import math

import pytest

from infra.science.figures import mismatch_figures, over_seeds, restart_figures, sigma, toy_figures
from infra.science.toy import told_by_sums
from tests.infra.science.samples import answer, seed


def test_the_implicit_channel_is_a_difference_seed_by_seed():
    figures = toy_figures([seed(kept=0.25 + shift, restart=0.15 + shift) for shift in (-0.01, 0.0, 0.01)])
    assert figures["probe_kept"].value == 0.25 and figures["probe_restart"].value == 0.15 and figures["probe_control"].value == 0.1
    assert figures["implicit"].value == 0.1 and figures["implicit"].ci95 == (0.1, 0.1)  # what seeds have in common does not blur it
    assert figures["implicit_untold"].value == pytest.approx(0.25 - told_by_sums(5), abs=1e-4)
    assert figures["implicit_untrained"].value == pytest.approx(0.01)


def test_sigma_is_the_mean_over_its_standard_error():
    assert sigma([0.1, 0.2, 0.3]) == pytest.approx(0.2 / (0.1 / math.sqrt(3)))
    assert sigma([0.2]) == 0.0 and math.isfinite(sigma([0.2, 0.2]))
    figures = toy_figures([seed(kept=0.15 + 0.1 * n, restart=0.15) for n in (1, 2, 3)])
    assert figures["implicit_sigma"].value == pytest.approx(3.46, abs=0.01) and figures["implicit_sigma"].n == 3


def test_an_interval_over_seeds_is_students():
    figure = over_seeds([0.1, 0.2, 0.3])
    assert figure.ci95 == pytest.approx((0.2 - 4.303 * 0.1 / math.sqrt(3), 0.2 + 4.303 * 0.1 / math.sqrt(3)), abs=1e-3)
    assert over_seeds([0.5]).ci95 is None


def test_the_mismatch_cost_is_that_of_the_worst_rule_which_is_off_by_a_token():
    figures = toy_figures([seed(rules={"trained": 0.95, "early": 0.9, "late": 0.94, "delimiters": 0.6, "full": 0.1, "restart": 0.2})] * 2)
    assert figures["mismatch_cost"].value == figures["cost_delimiters"].value == 0.35
    assert figures["toy_accuracy"].value == 0.95 and figures["toy_restart_drop"].value == 0.75 and figures["cost_full"].value == 0.85


def test_other_layers_and_distances_have_keys_of_their_own():
    figures = toy_figures([seed(kept=0.25)])
    assert figures["probe_kept_plus3"].value == 0.2 and figures["probe_kept_layer1"].value == 0.12 and figures["probe_direct"].value == 0.5


def test_the_restart_drop_is_paired():
    keep = [answer(True)] * 80 + [answer(False)] * 20
    again = [answer(True)] * 60 + [answer(False)] * 40
    figures = restart_figures(keep, again)
    assert figures["restart_keep"].value == 0.8 and figures["restart_drop"].value == 0.2 and figures["restart_evicted"].value == 300
    assert figures["restart_drop"].ci95 and figures["restart_drop"].ci95[0] > 0.1


def test_wrong_rules_lose_accuracy_and_log_probability():
    served = {"keep": [answer(True)] * 10, "off": [answer(True)] * 7 + [answer(False)] * 3}
    traces = [{"kind": "trace", "family": "f", "seed": n, "trained": -0.1, "off": -0.3} for n in range(5)]
    figures = mismatch_figures(served, traces)
    assert figures["served"].value == 1 and figures["served_off"].value == 0.3
    assert figures["trace_nats"].value == -0.1 and figures["trace_nats_off"].value == 0.2 and figures["trace_nats_off"].n == 5
