from itertools import product

import numpy as np
import pytest

from app.memento.grammar import Reader
from app.memento.visibility import Policy, visible
from infra.science.toy import ANSWER, BEGIN, IDS, VOCABULARY, Toy, told_by_sums

TOY = Toy()


def sequences(count: int = 50):
    return TOY.sample(np.random.default_rng(0), count)


def test_each_memento_is_the_running_sum_and_the_answer_is_the_last_of_them():
    for row in sequences().tolist():
        total = 0
        for number in range(TOY.blocks):
            total += sum(row[place] for place in TOY.block(number))
            assert int("".join(str(row[place]) for place in TOY.sums(number))) == total
        assert int("".join(str(row[place]) for place in TOY.answer)) == total


def test_the_layout_is_what_its_places_say():
    row = sequences(1)[0].tolist()
    assert len(row) == TOY.length == 125 and row[0] == BEGIN and row[-4] == ANSWER and max(row) < VOCABULARY
    reader = Reader(IDS)
    pairs = [pair for token in row if (pair := reader.push(token))]
    assert [range(pair.start + 1, pair.end - 1) for pair in pairs] == [TOY.block(number) for number in range(10)]
    assert [range(pair.memento, pair.close + 1) for pair in pairs] == [TOY.memento(number) for number in range(10)]
    assert [row[place] < 10 for place in TOY.written] == [True] * 33


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(keep_delimiters=True), Policy(summary_end_sees_block=False), Policy(restart=True)], ids=str
)
def test_the_mask_is_the_rule_told_in_places(policy: Policy):
    after = TOY.after(policy)
    for number in range(TOY.blocks):
        block, memento = TOY.block(number), TOY.memento(number)
        last = memento.start - 1 if policy.restart else memento.stop - 1 if policy.summary_end_sees_block else memento.stop - 2
        for key in block:
            assert [query for query in range(TOY.length) if visible(query, key, after)] == list(range(key, last + 1))
        assert visible(TOY.length - 1, block.start - 1, after) == policy.keep_delimiters == visible(TOY.length - 1, block.stop, after)
        assert all(visible(TOY.length - 1, key, after) for key in memento)


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        Toy(blocks=23, width=3)


def test_what_sums_tell_is_what_the_best_guesser_reaches():
    guesses = {total: max(range(10), key=lambda d: 0 <= total - d <= 9) for total in range(19)}
    hits = sum((a == guesses[a + b]) + (b == guesses[a + b]) for a, b in product(range(10), repeat=2))
    assert told_by_sums(2) == pytest.approx(hits / 200)
    assert told_by_sums(1) == 1 and 0.155 < told_by_sums(5) < 0.165
