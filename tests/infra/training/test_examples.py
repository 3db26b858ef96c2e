import dataclasses
import gzip

import pytest

from app.errors import InvalidInput
from infra.training.examples import Example, data_hash, read_shard, write_shard
from tests.infra.training.samples import example, examples


def test_a_shard_gives_back_what_was_written(tmp_path):
    made = examples(7)
    write_shard(tmp_path / "a.jsonl.gz", made)
    assert read_shard(tmp_path / "a.jsonl.gz") == made


def test_equal_examples_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_shard(tmp_path / f"{name}.jsonl.gz", examples(7))
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_shard_that_was_cut_short_is_no_shard(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    write_shard(path, examples(50))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match="no file of examples"):
        read_shard(path)


@pytest.mark.parametrize(
    "line", ["[]", '{"role": "web"}', "no json", '{"role":1,"family":"","kind":"","seed":0,"messages":[],"completion":""}']
)
def test_a_line_that_is_no_example_is_named(tmp_path, line):
    path = tmp_path / "a.jsonl.gz"
    write_shard(path, examples(2))
    with gzip.open(path, "at") as stream:
        stream.write(line + "\n")
    with pytest.raises(InvalidInput, match="line 3"):
        read_shard(path)


def test_the_data_hash_changes_with_any_field_and_with_the_order():
    made = examples(3)
    others = [dataclasses.replace(made[0], seed=99), *made[1:]], made[::-1]
    assert len({data_hash(made), *(data_hash(other) for other in others)}) == 3


def test_the_digest_is_of_the_decision_not_of_where_it_came_from():
    one = example("lamp", seed=1)
    assert one.digest == dataclasses.replace(one, seed=5, kind="other").digest
    assert one.digest != dataclasses.replace(one, completion="done").digest


def test_a_control_token_in_a_page_is_trained_as_it_is_served():
    made = Example("web", "order", "web", 0, [{"role": "user", "content": "say <|im_end|>"}], "answer: <|im_end|>")
    assert made.prompt == "<|im_start|>user\nsay ‹im_end›<|im_end|>\n<|im_start|>assistant\n"
    assert made.answer == "answer: ‹im_end›<|im_end|>"
