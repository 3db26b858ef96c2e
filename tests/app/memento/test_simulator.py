"""Memory counted by the simulator is what the one rule leaves visible; pages are what a schedule cannot do without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.memento.grammar import TokenIds
from app.memento.simulator import Stream, pages, usage
from app.memento.visibility import Policy, evict_after, visible

IDS = TokenIds(7, 8, 9, 10)
STREAMS = st.lists(st.sampled_from([7, 8, 9, 10, 11, 12]), max_size=60)
POLICIES = st.builds(Policy, keep_delimiters=st.booleans(), keep_last_n=st.integers(0, 2), summary_end_sees_block=st.booleans())


def block(size: int, memento: int) -> list[int]:
    """A block and its memento, delimiters included in the sizes."""
    return [7, *[11] * (size - 2), 8, 9, *[12] * (memento - 2), 10]


def decode(prompt: int, length: int, name: str = "a") -> list[dict[str, tuple[int, int]]]:
    """The prompt in one step, then a token a step; the last token is sampled and never computed."""
    return [{name: (0, prompt)}, *({name: (at, 1)} for at in range(prompt, length - 1))]


def test_plain_text_grows_to_its_length():
    found = usage(Stream([11] * 10), IDS, Policy())
    assert (found.peak, found.area, found.compactions, found.evicted) == (10, 55, 0, 0)


def test_a_finished_block_leaves_before_the_token_behind_its_memento():
    tokens = [11] * 5 + block(20, 6) + [11]
    assert usage(Stream(tokens), IDS, Policy()).peak == 31
    assert usage(Stream(tokens), IDS, Policy(summary_end_sees_block=False)).peak == 30
    assert usage(Stream(tokens), IDS, Policy()).evicted == 20
    assert usage(Stream(tokens[:-1]), IDS, Policy()).compactions == 0, "no query follows that could do without"


def test_restart_holds_the_block_until_the_memento_is_known():
    tokens = [11] * 5 + block(20, 6) + [11] * 3
    assert usage(Stream(tokens), IDS, Policy(restart=True)).peak == 30
    assert usage(Stream(tokens, prompt=len(tokens)), IDS, Policy(restart=True)).peak == 25


@given(STREAMS, POLICIES)
def test_memory_is_the_number_of_visible_keys(tokens, policy):
    after = evict_after(tokens, IDS, policy)
    rows = [sum(visible(query, key, after) for key in range(len(tokens))) for query in range(len(tokens))]
    found = usage(Stream(tokens), IDS, policy)
    assert (found.peak, found.area) == (max(rows, default=0), sum(rows))


@given(STREAMS.filter(bool), POLICIES, st.integers(1, 8))
def test_pages_of_one_request_that_decodes(tokens, policy, page):
    after = evict_after(tokens, IDS, policy)
    rows = [sum(visible(query, key, after) for key in range(len(tokens))) for query in range(len(tokens) - 1)]
    schedule = [{"a": (at, 1)} for at in range(len(tokens) - 1)]
    assert pages(schedule, {"a": Stream(tokens, 1)}, IDS, policy, page) == [-(-row // page) for row in rows]


@pytest.mark.parametrize("prompt", [1, 30])
def test_a_block_in_the_prompt_and_a_generated_one_leave_alike(prompt):
    tokens = [11] * 4 + block(20, 6) + [11] * 8
    schedule = [{"a": (0, 30)}] if prompt == 30 else decode(1, 31)
    schedule += [{"a": (at, 1)} for at in range(30, len(tokens) - 1)]
    in_use = pages(schedule, {"a": Stream(tokens, prompt)}, IDS, Policy(), 4)
    assert max(in_use[:-7]) == 8, "30 tokens before the block goes"
    assert in_use[-7:] == [3, 3, 4, 4, 4, 4, 5], "11 to 17 tokens behind it"


def test_a_request_that_waits_keeps_its_pages_and_a_preempted_one_does_not():
    stream = {"a": Stream([11] * 20, 8), "b": Stream([11] * 20, 4)}
    waits = [{"a": (0, 8)}, {"b": (0, 4)}, {"a": (8, 1), "b": (4, 1)}]
    preempted = [{"a": (0, 8)}, {"b": (0, 4)}, {"a": (0, 9), "b": (4, 1)}]
    assert pages(waits, stream, IDS, Policy(), 4) == [2, 3, 5]
    assert pages(preempted, stream, IDS, Policy(), 4) == [2, 1, 5]


def test_a_request_that_has_ended_holds_nothing():
    stream = {"a": Stream([11] * 9, 8), "b": Stream([11] * 9, 4)}
    assert pages([{"a": (0, 8)}, {"b": (0, 4)}, {"c": (0, 100)}], stream, IDS, Policy(), 4) == [2, 1, 0]


def test_restart_computes_the_memento_twice_and_only_then_lets_the_block_go():
    tokens = [11] * 4 + block(20, 4) + [11] * 4  # the block ends at 24, its memento at 27
    schedule = [*decode(4, 28), {"a": (24, 4)}, {"a": (28, 1)}]
    assert pages(schedule, {"a": Stream(tokens, 4)}, IDS, Policy(restart=True), 1)[-3:] == [27, 8, 9]
