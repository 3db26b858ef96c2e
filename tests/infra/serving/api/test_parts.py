"""Parts of a stream of ids: what is block, memento, answer and stray text, in one piece or token by token."""

import pytest
from keepsake_vllm.api.parts import Parts, Vocabulary, read_parts

from tests.infra.serving.api.streams import BE, BS, EOS, IDS, SE, SS, THINK, UNTHINK, Bytes, blank, block, ids

VOCABULARY = Vocabulary(IDS, blank)
THINKING = Vocabulary(IDS, blank, (THINK, UNTHINK))


def parts(stream, vocabulary=VOCABULARY, prompt=None):
    return [(part.kind.value, part.index, part.text) for part in read_parts(stream, vocabulary, Bytes, prompt)]


def test_pairs_and_the_answer_are_told_apart():
    stream = [*block("one", "1"), *ids("\n"), *block("two", "2"), *ids("\n\nSo 3"), EOS]
    assert parts(stream) == [
        ("block", 0, "one"),
        ("memento", 0, "1"),
        ("block", 1, "two"),
        ("memento", 1, "2"),
        ("answer", 0, "So 3"),
    ]


def test_tokens_are_counted_without_delimiters_and_the_end():
    counts = [part.tokens for part in read_parts([*block("one", "1"), *ids("yes"), EOS], VOCABULARY, Bytes)]
    assert counts == [3, 1, 3]


@pytest.mark.parametrize("text", ["\n\n Hello", "  ", "plain", "<|block_start|>x<|block_end|>"])
def test_a_stream_without_blocks_is_all_answer(text):
    assert parts(ids(text)) == [("answer", 0, text)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ([BS, *ids("a"), BS, *ids("b"), BE, SS, *ids("m"), SE], [("block", 0, "a"), ("block", 1, "b"), ("memento", 1, "m")]),
        ([BE, *ids("a")], [("answer", 0, "a")]),
        ([SE, SS, *ids("a")], [("answer", 0, "a")]),
        ([BS, *ids("a"), SS, *ids("m"), SE, *ids("x")], [("block", 0, "a"), ("memento", 0, "m"), ("answer", 0, "x")]),
        ([BS, *ids("a"), BE, SS, *ids("m"), SS, *ids("n"), SE], [("block", 0, "a"), ("memento", 0, "mn")]),
        ([BS, *ids("a"), EOS], [("block", 0, "a")]),
        ([BS, *ids("a"), BE, *ids("gap"), SS, *ids("m")], [("block", 0, "a"), ("text", 0, "gap"), ("memento", 0, "m")]),
        ([*block("a", "m"), SE, *ids("x")], [("block", 0, "a"), ("memento", 0, "m"), ("answer", 0, "x")]),
        ([*ids("x"), *block("a", "m"), *ids("y")], [("answer", 0, "x"), ("block", 0, "a"), ("memento", 0, "m"), ("answer", 1, "y")]),
        ([], []),
    ],
)
def test_malformed_streams_are_read_as_the_engine_reads_them(stream, expected):
    assert parts(stream) == expected


def test_thinking_ends_where_the_model_says():
    stream = [THINK, *ids("hm"), *block("a", "m"), *ids("so"), UNTHINK, *ids("x")]
    assert parts(stream, THINKING) == [("text", 0, "hm"), ("block", 0, "a"), ("memento", 0, "m"), ("text", 1, "so"), ("answer", 0, "x")]


def test_a_prompt_may_open_thinking():
    stream = [*ids("hm"), UNTHINK, *ids("x")]
    assert parts(stream, THINKING, [1, THINK, *ids("\n")]) == [("text", 0, "hm"), ("answer", 0, "x")]
    assert parts(ids("x"), THINKING, [1, THINK, UNTHINK, *ids("\n")]) == [("answer", 0, "x")]


def test_characters_of_several_bytes_are_never_torn():
    stream = [*block("naïve 雪", "☃"), *ids("🙂")]
    whole = Parts(VOCABULARY, Bytes)
    events = [event for token in stream for event in whole.feed([token])]
    assert "".join(event["text"] for event in events if event["type"] == "delta") == "naïve 雪☃🙂"
    assert not [event for event in events if "�" in event.get("text", "")]


def test_an_unfinished_character_ends_with_its_part():
    assert parts([BS, *ids("雪")[:2], BE, SS, *ids("m"), SE]) == [("block", 0, "�"), ("memento", 0, "m")]


def test_a_stream_tells_the_same_however_it_is_cut():
    stream = [*ids(" "), *block("one", "1"), *ids("\n"), *block("two", "2"), *ids("end"), EOS]
    for size in (1, 2, 3, 5, len(stream)):
        reading, events = Parts(VOCABULARY, Bytes), []
        for at in range(0, len(stream), size):
            events += reading.feed(stream[at : at + size])
        events += reading.finish()
        assert [event for event in events if event["type"] == "memento"] == [
            {"type": "memento", "index": 0, "text": "1", "tokens": 1},
            {"type": "memento", "index": 1, "text": "2", "tokens": 1},
        ]
        assert [event["index"] for event in events if event["type"] == "block_open"] == [0, 1]
        assert "".join(event["text"] for event in events if event.get("part") == "answer") == "end"
