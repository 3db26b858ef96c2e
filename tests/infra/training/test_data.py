import json
from collections import Counter
from dataclasses import replace

import pytest

from app.errors import InvalidInput
from infra.training import data
from infra.training.config import DataConfig, EvaluationConfig, Seeds, TracesConfig
from infra.training.data import load_data, shards
from infra.training.examples import write_shard
from tests.infra.training.samples import conversation, examples

ALL = EvaluationConfig(dev=None, eval=None)


class Worlds:
    """Stands for the worlds' oracle: three examples a seed. `asked` keeps what was generated."""

    def __init__(self):
        self.asked = []

    def __call__(self, split, seeds, workers):
        self.asked.append((split, seeds.start, seeds.stop))
        yield from examples(3 * len(seeds), seeds.start)


def _load(tmp_path, config, worlds=None):
    return load_data(config, ALL, tmp_path, lambda _: None, worlds)


def test_examples_are_made_once_and_kept_in_parts(tmp_path):
    worlds = Worlds()
    for _ in range(2):
        paths = shards("train", Seeds(start=10, stop=120), 1, tmp_path, lambda _: None, worlds)
    assert worlds.asked == [("train", 10, 60), ("train", 60, 110), ("train", 110, 120)]
    assert len(paths) == 3 and all(path.is_file() for path in paths)


def test_another_source_makes_them_anew(tmp_path, monkeypatch):
    worlds = Worlds()
    shards("train", Seeds(start=0, stop=5), 1, tmp_path, lambda _: None, worlds)
    monkeypatch.setattr(data, "fingerprint", lambda: "other")
    shards("train", Seeds(start=0, stop=5), 1, tmp_path, lambda _: None, worlds)
    assert len(worlds.asked) == 2


def test_comments_and_docstrings_are_no_other_source():
    one, same, other = 'def f(x):\n    """Doc."""\n    return x  # why\n', "def f(x):\n    return x\n", "def f(x):\n    return x + 1\n"
    assert data._meaning(one) == data._meaning(same) != data._meaning(other)


def test_a_generation_that_fails_leaves_no_part(tmp_path):
    def broken(split, seeds, workers):
        yield from examples(2)
        raise InvalidInput("the oracle is lost")

    with pytest.raises(InvalidInput, match="lost"):
        shards("train", Seeds(start=0, stop=5), 1, tmp_path, lambda _: None, broken)
    assert not list(tmp_path.glob("*.jsonl.gz"))


def test_no_learned_decision_is_measured(tmp_path):
    write_shard(tmp_path / "train.jsonl.gz", examples(30))
    write_shard(tmp_path / "dev.jsonl.gz", examples(30, first_seed=8))  # two seeds of it are trained on
    write_shard(tmp_path / "eval.jsonl.gz", examples(9, first_seed=16))  # two seeds of it are in dev
    files = {split: [tmp_path / f"{split}.jsonl.gz"] for split in ("train", "dev", "eval")}
    found = _load(tmp_path, DataConfig(files=files))
    digests = [{e.digest for e in part} for part in (found.train, found.dev, found.eval)]
    assert not (digests[0] & digests[1] or digests[0] & digests[2] or digests[1] & digests[2])
    assert (len(found.train), len(found.dev), len(found.eval), found.shared) == (30, 18, 9, 12)


def test_the_hashes_are_of_the_examples_that_count(tmp_path):
    config = DataConfig(train=Seeds(start=0, stop=5), dev=Seeds(start=50, stop=52), eval=Seeds(start=60, stop=62))
    first, again = (_load(tmp_path / name, config, Worlds()) for name in ("a", "b"))
    more = _load(tmp_path / "a", config.model_copy(update={"train": Seeds(start=0, stop=6)}), Worlds())
    assert first.hashes == again.hashes
    assert first.hashes["all"] != more.hashes["all"] and first.hashes["dev"] == more.hashes["dev"]


def test_a_missing_file_is_named(tmp_path):
    files = {split: [tmp_path / "no.jsonl"] for split in ("train", "dev", "eval")}
    with pytest.raises(InvalidInput, match="no file of examples"):
        _load(tmp_path, DataConfig(files=files))


def test_traces_stand_beside_the_worlds_decisions_and_know_their_split(tmp_path):
    few = TracesConfig(
        families=("chain_sum",),
        train=Seeds(start=0, stop=4),
        dev=Seeds(start=900_000, stop=900_002),
        eval=Seeds(start=950_000, stop=950_003),
    )
    config = DataConfig(train=Seeds(start=0, stop=2), dev=Seeds(start=9_000, stop=9_001), eval=Seeds(start=10_000, stop=10_001), traces=few)
    found = _load(tmp_path, config, Worlds())
    for part, traces in ((found.train, 4), (found.dev, 2), (found.eval, 3)):
        own = [example for example in part if example.role == "reasoning"]
        assert len(own) == traces and len(part) > traces
        assert all(example.thought and example.completion.startswith("answer: ") for example in own)
        assert {example.kind.rpartition(".")[0] for example in own} == {"reasoning.chain_sum"}
    with pytest.raises(InvalidInput, match="conundrum"):
        _load(tmp_path, config.model_copy(update={"traces": few.model_copy(update={"families": ("conundrum",)})}), Worlds())
    with pytest.raises(InvalidInput, match="not of the eval split"):
        _load(tmp_path, config.model_copy(update={"traces": few.model_copy(update={"eval": Seeds(start=5, stop=6)})}), Worlds())


def test_a_family_that_is_learned_already_takes_a_part_of_the_training_seeds_only(tmp_path):
    families = {"families": ("chain_sum", "coin_flip"), "parts": {"chain_sum": 0.5}}
    seeds = {"train": Seeds(start=10, stop=14), "dev": Seeds(start=900_000, stop=900_003), "eval": Seeds(start=950_000, stop=950_003)}
    found = _load(tmp_path, DataConfig(train=Seeds(start=0, stop=2), traces=TracesConfig(**families, **seeds)), Worlds())
    counts = [Counter(e.kind.split(".")[1] for e in part if e.role == "reasoning") for part in (found.train, found.dev, found.eval)]
    assert counts == [{"chain_sum": 2, "coin_flip": 4}, {"chain_sum": 3, "coin_flip": 3}, {"chain_sum": 3, "coin_flip": 3}]


def test_records_with_mementos_are_learned_as_they_were_built(tmp_path):
    record = {"id": "1", "problem": "2 + 2?", "blocks": [{"text": "2 and 2", "memento": "4"}], "answer": "It is 4.", "source": "maths"}
    path = tmp_path / "mementos.jsonl"
    path.write_text(json.dumps(record) + "\n")
    config = DataConfig(train=Seeds(start=0, stop=1), dev=Seeds(start=9_000, stop=9_001), eval=Seeds(start=10_000, stop=10_001))
    with_files = config.model_copy(update={"traces": TracesConfig(files={"train": [path]})})
    [own] = [example for example in _load(tmp_path, with_files, Worlds()).train if example.role == "reasoning"]
    assert (own.kind, own.thought, own.completion) == ("reasoning.maths", [["2 and 2", "4"]], "It is 4.")
    path.write_text(json.dumps({"problem": "2 + 2?", "thought": "four", "answer": "4"}) + "\n")
    with pytest.raises(InvalidInput, match=r"Record 1 of .* has no blocks"):
        _load(tmp_path, with_files, Worlds())


def test_whole_runs_are_learned_only_where_a_recipe_wants_them(tmp_path):
    for split, seed in (("train", 0), ("dev", 1), ("eval", 2)):
        run = replace(conversation(), seed=seed, completion=f"done {seed}")
        write_shard(tmp_path / f"{split}.jsonl.gz", [*examples(6, first_seed=10 * seed), run])
    config = DataConfig(files={split: [tmp_path / f"{split}.jsonl.gz"] for split in ("train", "dev", "eval")})
    assert not any(example.conversation for example in _load(tmp_path, config).train)
    found = _load(tmp_path, config.model_copy(update={"streams": 0.5}))
    assert [sum(example.conversation for example in part) for part in (found.train, found.dev, found.eval)] == [1, 1, 1]
