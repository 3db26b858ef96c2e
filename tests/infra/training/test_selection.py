from collections import Counter

from infra.training.selection import balance, blend, counts, distinct, sample
from tests.infra.training.samples import example, examples


def _kinds(**wanted: int):
    """So many different examples of each kind; the step number is the kind."""
    return [example(f"{name}{i}", step=int(name[1:])) for name, n in wanted.items() for i in range(n)]


def test_repeats_and_what_another_part_has_are_dropped():
    made = examples(10)
    found = distinct([*made, made[0], made[3]], {made[1].digest})
    assert found.examples == [made[0], *made[2:]]
    assert (found.repeated, found.left_out) == (2, 1)


def test_a_decision_of_many_runs_comes_as_the_root_of_as_many_copies():
    made = examples(3)
    found = distinct([*[made[0]] * 300, *[made[1]] * 3, made[2]], weigh=True)
    assert Counter(e.digest for e in found.examples) == {made[0].digest: 17, made[1].digest: 1, made[2].digest: 1}


def test_each_kind_is_cut_to_the_ceiling_and_brought_up_to_the_floor():
    seen = counts(balance(_kinds(s1=50, s2=12, s3=20), floor=20, ceiling=30, copies=3, seed=0))
    assert seen == {"ledger.step 1": 30, "ledger.step 2": 20, "ledger.step 3": 20}


def test_a_kind_too_rare_for_the_floor_is_shown_only_so_many_times():
    balanced = balance(_kinds(s1=50, s2=4), floor=40, ceiling=60, copies=3, seed=0)
    repeats = Counter(e.digest for e in balanced if e.kind == "ledger.step 2")
    assert set(repeats.values()) == {3}


def test_repeats_are_spread_evenly():
    balanced = balance(_kinds(s1=50, s2=4), floor=7, ceiling=60, copies=3, seed=0)
    repeats = Counter(e.digest for e in balanced if e.kind == "ledger.step 2")
    assert sorted(repeats.values()) == [1, 2, 2, 2]


def test_the_first_part_of_the_order_has_the_mixture_of_the_whole():
    balanced = balance(_kinds(s1=400, s2=100), floor=0, ceiling=1000, copies=1, seed=3)
    rare = sum(e.kind == "ledger.step 2" for e in balanced[:100])
    assert 17 <= rare <= 23


def test_the_order_depends_on_the_seed_and_on_nothing_else():
    made = _kinds(s1=20, s2=20)
    first, again, other = (balance(made, 0, 100, 1, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(e.digest for e in other) == sorted(e.digest for e in made)


def test_a_smaller_sample_is_part_of_a_larger_one():
    made = examples(40)
    assert set(map(id, sample(made, 5, 0))) < set(map(id, sample(made, 20, 0)))
    assert sample(made, 100, 0) != made and len(sample(made, None, 0)) == 40


def test_a_blend_keeps_its_share_from_beginning_to_end_and_ends_with_the_shorter_part():
    one, other = examples(40), examples(200, 1_000)
    mixed = list(blend(one, other, 0.25, lambda e: 3 if e in one else 2))
    assert [e for e in mixed if e in one] == one
    for end in range(8, len(mixed)):
        of_one = sum(3 for e in mixed[:end] if e in one)
        assert abs(of_one / (of_one + sum(2 for e in mixed[:end] if e in other)) - 0.25) < 0.15
    assert len(mixed) < 240 and list(blend(one, [], 0.5, lambda _: 1)) == one[:1]
