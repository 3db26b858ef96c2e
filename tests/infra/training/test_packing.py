import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.training.packing import Encoded, families, lay_out, plan_steps

tokens = st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple)
batches = st.lists(st.builds(Encoded, tokens, tokens), min_size=1, max_size=12)


def _pool(n: int, seed: int = 0) -> list[Encoded]:
    draw = random.Random(seed)
    begin = [tuple(draw.randrange(50) for _ in range(20)) for _ in range(n // 4 + 1)]
    pool = [Encoded(begin[i // 4] + tuple(draw.randrange(50) for _ in range(draw.randrange(1, 15))), (i % 50, 99)) for i in range(n)]
    draw.shuffle(pool)
    return pool


@given(batches)
@settings(max_examples=100, deadline=None)
def test_following_a_path_reads_the_example(examples):
    layout = lay_out(examples)
    order = sorted(range(len(examples)), key=lambda i: examples[i].ids[:-1])
    for owner, path, fresh in zip(order, layout.paths, layout.fresh, strict=True):
        assert tuple(layout.ids[place] for place in path) == examples[owner].ids[:-1]
        assert [layout.positions[place] for place in path] == list(range(len(path)))
        assert path[-fresh:] == list(range(path[-1] - fresh + 1, path[-1] + 1))


@given(batches)
@settings(max_examples=100, deadline=None)
def test_every_answer_token_is_predicted_once_from_the_place_before_it(examples):
    layout = lay_out(examples)
    path_of = dict(zip(sorted(range(len(examples)), key=lambda i: examples[i].ids[:-1]), layout.paths, strict=True))
    places = list(zip(layout.owners, layout.offsets, strict=True))
    assert sorted(places) == [(owner, offset) for owner, e in enumerate(examples) for offset in range(len(e.answer))]
    for (owner, offset), at, target in zip(places, layout.target_at, layout.targets, strict=True):
        assert target == examples[owner].answer[offset]
        assert at == path_of[owner][len(examples[owner].prompt) + offset - 1]


@given(batches)
@settings(max_examples=100, deadline=None)
def test_no_beginning_is_computed_twice(examples):
    different = {e.ids[:n] for e in examples for n in range(1, len(e.ids))}
    repeated = len(examples) - len({e.ids[:-1] for e in examples})  # an equal example still computes its last token
    assert len(lay_out(examples).ids) <= len(different) + repeated
    assert len(lay_out(examples, share=False).ids) == sum(len(e) - 1 for e in examples)


def test_steps_hold_every_example_as_often_as_asked_and_no_more_than_fit():
    pool = _pool(200)
    order = [*range(200), *range(0, 200, 3)]
    steps = plan_steps(order, pool, capacity=300, siblings=4, seed=0)
    assert Counter(i for step in steps for i in step) == Counter(order)
    assert all(sum(len(pool[i]) for i in step) <= 300 for step in steps)


def test_steps_are_nearly_full():
    pool = _pool(2000)
    steps = plan_steps(range(2000), pool, capacity=600, siblings=4, seed=0)
    assert sum(map(len, pool)) / (600 * len(steps)) > 0.85


def test_examples_that_begin_alike_share_a_step():
    pool = _pool(400)
    together = plan_steps(range(400), pool, 1000, siblings=4, seed=0)
    alone = plan_steps(range(400), pool, 1000, siblings=1, seed=0)
    computed = [sum(len(lay_out([pool[i] for i in step]).ids) for step in steps) for steps in (together, alone)]
    assert computed[0] < 0.75 * computed[1]


def test_a_family_has_no_more_than_so_many_members():
    groups = families(range(100), _pool(100), capacity=10_000, siblings=3)
    assert max(map(len, groups)) == 3
    assert sorted(i for group in groups for i in group) == list(range(100))


def test_copies_of_an_example_do_not_meet_in_a_family():
    pool = _pool(60)
    steps = plan_steps([*range(60), *range(60)], pool, capacity=60, siblings=8, seed=0)
    assert all(len(step) == len(set(step)) for step in steps)


def test_steps_depend_on_the_seed_and_on_nothing_else():
    pool = _pool(100)
    first, again, other = (plan_steps(range(100), pool, 300, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
