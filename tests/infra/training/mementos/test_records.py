"""Traces are read whatever their fields are called, byte for byte; what cannot be read says what to do."""

import gzip
import json

import pytest

from app.errors import InvalidInput
from infra.training.mementos.records import MAX_LINE_BYTES, Dropped, Reason, Unusable, open_dataset, read_trace
from tests.infra.training.mementos.teachers import thought_of, trace, write_traces

RESPONSE = "<think>\r\n a\n\tb \x00</think>\n\nIt is 4. "
SPELLED = [
    {"problem": "P", "response": RESPONSE},
    {"question": "P", "trace": RESPONSE},
    {"prompt": "P", "response": RESPONSE.removeprefix("<think>")},  # the template wrote the tag into the prompt
    {"problem": "P", "thought": "\r\n a\n\tb \x00", "answer": "\n\nIt is 4. "},
    {"problem": "P", "reasoning": "\r\n a\n\tb \x00", "response": "\n\nIt is 4. "},
    {"conversations": [{"from": "human", "value": "P"}, {"from": "gpt", "value": RESPONSE}]},
    {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "P"}, {"role": "assistant", "content": RESPONSE}]},
    {"problem": "P", "blocks": [{"text": "\r\n a\n", "memento": "m"}, {"text": "\tb \x00", "memento": "n"}], "answer": "\n\nIt is 4. "},
]


@pytest.mark.parametrize("values", SPELLED, ids=lambda values: " ".join(values))
def test_a_trace_is_found_under_many_names_and_kept_byte_for_byte(values):
    found = read_trace(values)
    assert (found.problem, found.thought, found.answer) == ("P", "\r\n a\n\tb \x00", "\n\nIt is 4. ")


def test_the_key_is_of_the_content_and_the_id_given_or_the_key():
    one, named, other = (read_trace({**SPELLED[0], **more}) for more in ({}, {"id": 7}, {"problem": "Q"}))
    assert one.key == named.key != other.key
    assert (one.id, named.id) == (one.key[:16], "7")


@pytest.mark.parametrize(
    ("values", "reason", "words"),
    [
        ({"response": RESPONSE}, Reason.INCOMPLETE, "no problem .*question"),
        ({"problem": "P"}, Reason.INCOMPLETE, "no response and no answer"),
        ({"problem": "P", "response": "no thought"}, Reason.INCOMPLETE, "no </think>"),
        ({"problem": "P", "response": "<think> \n</think>x"}, Reason.INCOMPLETE, "thought is empty"),
        ({"problem": ["P"], "response": RESPONSE}, Reason.INCOMPLETE, "problem is a JSON list"),
        ({"problem": "P", "response": "<think>\ud800</think>x"}, Reason.UNREADABLE, r"U\+D800.*thought"),
        ({"problem": "P", "blocks": [{"text": "a"}], "answer": "x"}, Reason.INCOMPLETE, "a text and a memento"),
        ({"problem": "P", "blocks": [{"text": "", "memento": "m"}], "answer": "x"}, Reason.INCOMPLETE, "no text"),
    ],
)
def test_what_is_missing_is_named(values, reason, words):
    with pytest.raises(Dropped, match=words) as dropped:
        read_trace(values)
    assert dropped.value.reason is reason


def test_an_answer_may_be_a_number():
    assert read_trace({"problem": "P", "thought": "T", "answer": 204}).answer == "204"


def test_other_names_are_taken_from_the_caller(tmp_path):
    path = write_traces(tmp_path / "a.jsonl", [{"query": "P", "text": RESPONSE}])
    [found] = open_dataset([path], {"problem": "query", "response": "text"})
    assert found.problem == "P"


def test_bad_lines_are_dropped_and_the_others_read(tmp_path):
    good = [json.dumps(trace(i)).encode() for i in range(3)]
    bad = [b'{"problem": "caf\xe9"}', b"{no json", b"[1]", b"[" * 100_000, b'{"problem": 1}', b"x" * (MAX_LINE_BYTES + 10)]
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join([good[0], b"", *bad, good[1], good[2]]))
    found = list(open_dataset([path]))
    dropped = [item for item in found if isinstance(item, Unusable)]
    assert [item.id for item in found if not isinstance(item, Unusable)] == ["t0", "t1", "t2"]
    said = [item.message for item in dropped]
    for words, message in zip(
        ("iconv", "one JSON object", "not an object", "JSON", "no problem|no response", "split or shorten"), said, strict=True
    ):
        assert any(word in message for word in words.split("|")), message
    assert dropped[0].where == "mixed.jsonl, line 3" and len({item.key for item in dropped}) == len(dropped)


def test_a_compressed_file_gives_the_same(tmp_path):
    plain = write_traces(tmp_path / "a.jsonl", [trace(i) for i in range(3)])
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [item.key for item in open_dataset([plain])] == [item.key for item in open_dataset([packed])]
    assert [item.thought for item in open_dataset([plain])] == [thought_of(trace(i)) for i in range(3)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file"),
        (b"", "empty"),
        (b"\n\n", "empty"),
        (json.dumps(trace(1)).encode("utf-16"), "UTF-16"),
        (b"PAR1xxxx", "no file of JSON lines"),
        (gzip.compress(b"{}"), "no file of JSON lines"),
        (b'{"a": 1}\n{"b": 2}\n', "None of the first 2 lines .* no problem"),
        (b"id,problem\n1,P\n", "None of the first 2 lines"),
    ],
)
def test_a_file_of_another_kind_is_refused_before_it_is_read(tmp_path, content, words):
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words) as error:
        open_dataset([path])
    assert error.value.hint


def test_a_damaged_archive_says_so(tmp_path):
    whole = gzip.compress(b"".join(json.dumps(trace(i, sentences=200)).encode() + b"\n" for i in range(100)))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    traces = open_dataset([path])
    with pytest.raises(InvalidInput, match="damaged after line") as error:
        list(traces)
    assert "same command" in error.value.hint
