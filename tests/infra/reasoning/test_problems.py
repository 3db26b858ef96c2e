"""Problems: the same seed gives the same problem everywhere, splits share nothing, and what cannot be made is refused with a hint."""

import hashlib
import os
import subprocess
import sys
from itertools import combinations, islice

import pytest

from app.errors import InvalidInput
from infra.reasoning.base import SPLITS, split_of
from infra.reasoning.families import FAMILIES
from infra.reasoning.problems import SHARES, owner, problem, problems

SEEDS = [*range(30), 899_999, 900_000, 949_999, 950_000, 999_999]
DIGEST = """
import hashlib
from infra.reasoning.families import FAMILIES
from infra.reasoning.problems import problem
made = [problem(family, seed) for family in FAMILIES for seed in (0, 1, 900_000, 950_000)]
print(hashlib.sha256(repr(made).encode()).hexdigest())
"""


def test_all_twelve_families_are_there():
    assert len(FAMILIES) == 12
    assert all(kind.name == name and 3 <= len(kind.levels) <= 4 for name, kind in FAMILIES.items())


def test_the_same_seed_gives_the_same_problem_in_another_process():
    made = [problem(family, seed) for family in FAMILIES for seed in (0, 1, 900_000, 950_000)]
    for hashing in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        said = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True, env=environment)
        assert said.stdout.strip() == hashlib.sha256(repr(made).encode()).hexdigest()


def test_a_problem_is_what_it_was():
    """A change here makes every model trained before a model of other problems."""
    made = problem("chain_sum", 7, level=1)
    stock = "A stock of parts is empty at first. It changes 2 times as follows; how many parts are there then?"
    assert made.question == f"{stock}\n1: +565\n2: +1\nEnd with the line answer: <value>"
    assert made.mementos == ("done 1 total 0565", "done 2 total 0566") and made.answer == "566"


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_share_no_content_even_where_there_is_little(family):
    """At the first level a family draws the same content again and again, so seeds alone would not keep splits apart."""
    kind = FAMILIES[family]
    contents = {
        split: {kind.content(problem(family, seeds.start + index, level=1).question) for index in range(150)}
        for split, seeds in SPLITS.items()
    }
    assert all(not contents[a] & contents[b] for a, b in combinations(SPLITS, 2))
    assert all(owner(family, content) == split for split, some in contents.items() for content in some)


def test_shares_are_as_declared():
    counts = dict.fromkeys(SPLITS, 0)
    for number in range(5_000):
        counts[owner("state_chain", str(number))] += 1
    assert sum(SHARES.values()) == 100
    assert all(abs(counts[split] / 50 - share) < 2 for split, share in SHARES.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_train_draws_every_level_and_held_out_splits_the_last(family):
    last = len(FAMILIES[family].levels)
    assert {problem(family, seed).level for seed in range(60)} == set(range(1, last + 1))
    assert {problem(family, seed).level for seed in (900_000, 900_001, 950_000, 950_001)} == {last}
    assert problem(family, 950_000, level=1).level == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_level_is_longer(family):
    def length(level):
        return sum(len(block.text) for seed in range(40) for block in problem(family, seed, level).blocks)

    lengths = [length(level) for level in range(1, len(FAMILIES[family].levels) + 1)]
    assert lengths == sorted(lengths) and lengths[-1] > 2 * lengths[0]


def test_an_iterator_gives_its_splits_problems_and_held_out_contents_once():
    assert [made.seed for made in islice(problems("coin_flip", "train", start=5), 3)] == [5, 6, 7]
    contents = [FAMILIES["coin_flip"].content(made.question) for made in islice(problems("coin_flip", "eval", level=1), 300)]
    assert len(set(contents)) == 300
    assert {made.split for made in islice(problems("gcd_lcm", "dev"), 5)} == {"dev"}


def test_seeds_own_their_splits():
    owners = [split_of(seed) for seed in (0, 899_999, 900_000, 949_999, 950_000, 999_999)]
    assert owners == ["train", "train", "dev", "dev", "eval", "eval"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cooking", 1), "no family"),
        (("gcd_lcm", -1), "no split"),
        (("gcd_lcm", 1_000_000), "no split"),
        (("gcd_lcm", 1, 0), "no level"),
        (("gcd_lcm", 1, 5), "no level"),
    ],
)
def test_what_cannot_be_made_is_refused_with_a_hint(arguments, message):
    with pytest.raises(InvalidInput, match=message) as refused:
        problem(*arguments)
    assert refused.value.hint


def test_an_unknown_split_is_refused():
    with pytest.raises(InvalidInput, match="no split test"):
        next(problems("gcd_lcm", "test"))
