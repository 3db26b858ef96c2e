"""The rule who may see whom, on streams small enough to check by eye."""

import random

import pytest

from app.memento.grammar import Phase, Reader, TokenIds
from app.memento.visibility import NEVER, Evictions, Policy, evict_after, resident, visible

IDS = TokenIds(7, 8, 9, 10)
# index             0  1  2  3  4  5  6  7   8  9 10 11 12 13  14  15
STREAM = [20, 7, 21, 22, 8, 9, 23, 10, 24, 7, 25, 8, 9, 26, 10, 27]


def evicted(tokens: list[int], **policy) -> dict[int, int]:
    return {key: after for key, after in enumerate(evict_after(tokens, IDS, Policy(**policy))) if after != NEVER}


def test_a_block_with_its_delimiters_is_gone_for_what_follows_its_memento():
    assert evicted(STREAM) == {1: 8, 2: 8, 3: 8, 4: 8, 9: 15, 10: 15, 11: 15}


def test_the_closing_token_still_sees_the_block_and_its_successor_does_not():
    after = evict_after(STREAM, IDS, Policy())
    assert visible(7, 2, after)
    assert not visible(8, 2, after)


def test_a_blind_summary_end_evicts_one_token_earlier():
    assert evicted(STREAM, summary_end_sees_block=False)[2] == 7


def test_kept_delimiters_stay():
    assert evicted(STREAM, keep_delimiters=True) == {2: 8, 3: 8, 10: 15}


def test_the_newest_blocks_stay_until_as_many_more_are_finished():
    assert evicted(STREAM, keep_last_n=1) == {1: 15, 2: 15, 3: 15, 4: 15}
    assert evicted(STREAM, keep_last_n=2) == {}


def test_restart_hides_the_block_from_the_memento_itself():
    assert evicted(STREAM, restart=True) == {1: 5, 2: 5, 3: 5, 4: 5, 9: 12, 10: 12, 11: 12}


def test_nothing_sees_the_future():
    after = evict_after(STREAM, IDS, Policy())
    assert not visible(0, 1, after)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([7, 20, 7, 21, 8, 9, 22, 10, 23], {2: 8, 3: 8, 4: 8}),  # a second start begins the block anew
        ([8, 20, 9, 21, 10, 22], {}),  # ends without a start are text
        ([7, 20, 9, 21, 10, 22], {0: 5, 1: 5}),  # a missing block_end is implied
        ([7, 20, 8, 21, 9, 22, 10, 23], {0: 7, 1: 7, 2: 7}),  # text between block and memento stays
        ([7, 8, 9, 10, 9, 20, 10, 21], {0: 4, 1: 4}),  # the second memento has no block
        ([7, 20, 8, 9, 9, 8, 10, 21], {0: 7, 1: 7, 2: 7}),  # delimiters out of place are text
        ([7, 20, 8, 9, 21], {}),  # the text ends inside a memento
        ([7, 20, 8, 9, 7, 21, 8, 9, 10, 22], {4: 9, 5: 9, 6: 9}),  # a start inside a memento drops what was open
    ],
)
def test_malformed_streams_evict_only_what_a_memento_closes(tokens, expected):
    assert evicted(tokens) == expected


def test_a_block_without_an_end_has_one_delimiter_to_keep():
    assert evicted([7, 20, 21, 9, 22, 10, 23], keep_delimiters=True) == {1: 6, 2: 6}


def test_an_empty_block_with_kept_delimiters_evicts_nothing():
    assert evicted([7, 8, 9, 10, 20], keep_delimiters=True) == {}


def test_reading_in_pieces_gives_what_reading_at_once_gives():
    rng = random.Random(3)
    for _ in range(200):
        tokens = rng.choices([7, 8, 9, 10, 20, 21], k=60)
        policy = Policy(keep_last_n=rng.randint(0, 2), keep_delimiters=rng.random() < 0.5, restart=rng.random() < 0.3)
        whole, pieces = Evictions(IDS, policy), Evictions(IDS, policy)
        whole.read(tokens)
        for length in sorted(rng.sample(range(61), 9)):
            pieces.read(tokens[:length])
        pieces.read(tokens)
        assert pieces.found == whole.found
        assert all(a.end <= b.start and a.boundary < b.boundary for a, b in zip(whole.found, whole.found[1:], strict=False))


def test_resident_counts_what_is_still_there():
    reading = Evictions(IDS, Policy())
    reading.read(STREAM)
    assert [resident(reading.found, length) for length in (7, 8, 15, 16)] == [7, 4, 8, 9]


def test_the_reader_knows_where_it_stands():
    reader = Reader(IDS)
    phases = []
    for token in STREAM[:9]:
        reader.push(token)
        phases.append(reader.phase)
    assert phases == [Phase.TEXT, *[Phase.BLOCK] * 3, Phase.GAP, *[Phase.MEMENTO] * 2, Phase.TEXT, Phase.TEXT]


def test_four_different_ids_are_needed():
    with pytest.raises(ValueError, match="four different ids"):
        TokenIds(7, 7, 9, 10)


def test_a_negative_number_of_kept_blocks_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        Policy(keep_last_n=-1)
