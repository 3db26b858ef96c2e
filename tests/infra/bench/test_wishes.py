"""The scenarios of `keepsake bench wishes`: what was reached on those that may be developed on stays reached."""

import pytest

from app.errors import InvalidInput
from app.schemas import Verdict
from infra.bench.wishes.measure import scenarios


def test_messages_that_ask_run_and_others_do_not():
    held = silent = asks = nots = 0
    for scenario in scenarios("dev"):
        asks, nots = asks + len(scenario.asks), nots + len(scenario.nots)
        held += sum(ruling.verdict != Verdict.ALLOW for ruling in scenario.rulings(scenario.asks))
        silent += sum(ruling.verdict == Verdict.ALLOW for ruling in scenario.rulings(scenario.nots))
    assert held / asks < 0.11 and silent / nots < 0.045, (held, silent)


def test_the_splits_share_no_message():
    dev, held_out = ({text for s in scenarios(split) for text in [*s.asks, *s.nots]} for split in ("dev", "eval"))
    assert dev and held_out and not dev & held_out
    with pytest.raises(InvalidInput):
        scenarios("train")
