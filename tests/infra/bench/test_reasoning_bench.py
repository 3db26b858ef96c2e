import json

import pytest

from infra.bench.reasoning import figures_of, simulator_off


def record(family="gcd_lcm", correct=True, tokens=800, peak=900, **more):
    return {"family": family, "correct": correct, "tokens": tokens, "peak": peak, "area": peak * 100, "blocks": 7, "evicted": 600, **more}


def test_figures_are_paired_and_ratios_come_from_families_with_long_answers():
    control = [record(correct=i % 10 > 0) for i in range(100)] + [record("coin_flip", tokens=300, peak=450) for _ in range(20)]
    memento = [record(correct=i % 10 > 1, peak=300) for i in range(100)] + [record("coin_flip", tokens=300, peak=440) for _ in range(20)]
    figures = figures_of(control, memento)
    assert figures["control"].value == round(110 / 120, 4) and figures["memento_gcd_lcm"].value == 0.8
    assert figures["gap"].value == pytest.approx(-10 / 120, abs=1e-5)
    assert figures["gap"].value - 0.06 < figures["gap_lower"].value < figures["gap"].value
    assert figures["families_over_700"].value == 1 and figures["peak_ratio"].value == 3.0 and figures["peak_ratio"].n == 100
    assert "base" not in figures and figures_of(control, memento, control)["base"].value == figures["control"].value


class Context:
    def __init__(self, folder):
        self.folder = folder


def test_the_simulator_is_compared_step_by_step_with_the_pool(tmp_path):
    # 40 prompt tokens take two pages of 32; 30 more are decoded, so that a third page is taken at token 64.
    ids = list(range(100, 170))
    schedule = [(0, 40), *((40 + i, 1) for i in range(29))]

    def write(extra):
        steps = [
            {"scheduled": {"chatcmpl-a-0": [first, count]}, "running": 1, "pages_used": -(-(first + count) // 32) + extra(first)}
            for first, count in schedule
        ]
        idle = {"scheduled": {}, "running": 0, "pages_used": 0}
        (tmp_path / "memento.stats").write_text("".join(json.dumps(line) + "\n" for line in [*steps, idle]))

    records = [{"request": "chatcmpl-a", "ids": ids, "prompt": 40}]
    write(lambda first: 0)
    assert simulator_off(Context(tmp_path), records).value == 0
    write(lambda first: 2 * (first == 50))
    assert simulator_off(Context(tmp_path), records).value == 2
