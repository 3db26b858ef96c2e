"""The fast path is only allowed because its prompts are those of the real browser and the real sandbox, byte for byte."""

import pytest

from infra.worlds.examples import episode


@pytest.mark.browser
@pytest.mark.sandbox
@pytest.mark.parametrize(("family", "seed"), [("lookup", 2), ("lookup", 0), ("ticket", 1), ("order", 1), ("summary", 0)])
async def test_both_paths_give_the_same_examples(tmp_path, family, seed):
    fast = await episode(family, seed, "train", tmp_path / "fast", slips=0.1)
    real = await episode(family, seed, "train", tmp_path / "real", real=True, slips=0.1)
    assert [e.kind for e in fast] == [e.kind for e in real]
    assert [(e.messages, e.completion) for e in fast] == [(e.messages, e.completion) for e in real]
