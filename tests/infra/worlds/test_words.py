"""Words and wordings: open lists, and nothing of a held-out split ever in training."""

import random
import re
from itertools import combinations

import pytest

from infra.worlds.base import SPLITS
from infra.worlds.wording import compose, lines
from infra.worlds.words import portion, words

VARIANTS = {
    "lookup_price": "xnf",
    "lookup_pair": "xyf",
    "lookup_status": "tvcf",
    "lookup_client": "tvcf",
    "ticket_note": "f",
    "order_text": "nxl",
    "order_note": "f",
    "summary_table": "wcf",
}
CLOSED = (
    "prefixes",
    "suffixes",
    "ticket_titles",
    "note_titles",
    "note_severities",
    "note_types",
    "order_wishes",
    "order_limits",
    "statuses",
)


def test_no_word_is_in_two_splits():
    pools = [set(words(s).nouns) | set(words(s).adjectives) for s in SPLITS]
    assert all(not a & b for a, b in combinations(pools, 2))


def test_every_split_has_words_enough():
    assert [len(words(s).nouns) > n for s, n in (("train", 4000), ("dev", 300), ("eval", 700))] == [True] * 3
    assert [len(words(s).adjectives) > n for s, n in (("train", 500), ("dev", 40), ("eval", 90))] == [True] * 3


def test_no_tasteless_word_and_no_word_of_the_pages():
    every = {w for s in SPLITS for w in (*words(s).nouns, *words(s).adjectives)}
    assert not every & {"murder", "slave", "genocide", "misogyny", "panties", "open", "minor", "bug", "price", "cart", "severity"}


@pytest.mark.parametrize("name", [*VARIANTS, *CLOSED, "which_status", "which_type", "which_severity"])
def test_the_splits_of_a_list_are_disjoint_and_complete(name):
    parts = [set(lines(name, s)) for s in SPLITS]
    assert all(parts) and all(not a & b for a, b in combinations(parts, 2))
    assert len(parts[0]) > len(parts[2]) >= 1


def test_portion_takes_every_item_once():
    items = [f"item {n}" for n in range(100)]
    assert sorted(item for s in SPLITS for item in portion(items, s)) == sorted(items)
    assert [len(portion(items, s)) for s in SPLITS] == [78, 7, 15]


@pytest.mark.parametrize("name", VARIANTS)
def test_there_are_many_cores_and_each_has_exactly_its_slots(name):
    cores = [core for s in SPLITS for core in lines(name, s)]
    assert len(cores) >= 33 and len(lines(name, "train")) >= 25 and len(lines("prefixes", "train")) >= 10
    for core in cores:
        assert set(re.findall(r"\{(\w)\}", core)) == set(VARIANTS[name]), core
        assert core.count("[") == core.count("]") and core.rstrip("]").endswith((".", "?")), core


@pytest.mark.parametrize("name", VARIANTS)
def test_a_composed_text_holds_its_slots_verbatim_and_starts_like_a_sentence(name):
    rng = random.Random(1)
    slots = {slot: f"{slot}-Slot.txt" for slot in VARIANTS[name]}
    texts = {compose(name, "train", rng, **slots) for _ in range(200)}
    assert len(texts) > 120
    for text in texts:
        assert all(value in text for value in slots.values()) and not re.search(r"[\[\]{}|]|  ", text), text
        assert text[0].isupper() or text[0].isdigit() or text.startswith(tuple(slots.values())), text
