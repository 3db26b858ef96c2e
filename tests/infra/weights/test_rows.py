"""Where the four tokens go in somebody else's vocabulary."""

import pytest

from app.errors import InvalidInput
from app.memento.grammar import MEMENTO_TOKENS
from infra.weights.rows import Rows, free_rows, known_rows, require_bpe, require_free, token_ids, tokenizer_settings, with_plain_tokens


def tokenizer(added=(), words=10, kind="BPE"):
    entries = [{"id": words + n, "content": name, "special": True} for n, name in enumerate(added)]
    return {"model": {"type": kind, "vocab": {f"w{n}": n for n in range(words)}, "merges": []}, "added_tokens": entries}


LLAMA3 = [f"<|reserved_special_token_{n}|>" for n in range(8)]
PHI4 = [f"<|dummy_{n}|>" for n in range(4)]
PHI3 = [f"<|placeholder{n}|>" for n in range(1, 7)]


@pytest.mark.parametrize("names", [LLAMA3, PHI4, PHI3])
def test_reserved_tokens_come_first(names):
    assert free_rows(tokenizer(["<s>", *names]), 100, [], []) == Rows((11, 12, 13, 14))


def test_a_reserved_token_that_something_speaks_of_is_not_taken():
    found = free_rows(tokenizer(LLAMA3), 100, ["{{ '<|reserved_special_token_1|>' }}"], [12])
    assert found.ids == (10, 13, 14, 15)


def test_then_the_embeddings_past_the_end_and_then_new_rows():
    assert free_rows(tokenizer(["<|im_start|>"]), 64, [], []).ids == (11, 12, 13, 14)
    assert free_rows(tokenizer(["<|im_start|>"]), 11, [], []).ids == (11, 12, 13, 14)
    assert free_rows(tokenizer(["<|im_start|>"]), 13, [], []).ids == (13, 14, 15, 16)
    assert Rows((13, 14, 15, 16)).embeddings(13) == 17


def test_what_the_model_has_already_is_kept():
    assert known_rows(tokenizer(MEMENTO_TOKENS)) == Rows((10, 11, 12, 13), known=True)
    assert known_rows(tokenizer()) is None
    with pytest.raises(InvalidInput, match="not all four"):
        known_rows(tokenizer(MEMENTO_TOKENS[:2]))


def test_an_adapters_rows_must_be_free_here():
    assert require_free(tokenizer(LLAMA3), Rows((12, 13, 14, 40))).ids == (12, 13, 14, 40)
    with pytest.raises(InvalidInput, match="this model has `w9`"):
        require_free(tokenizer(LLAMA3), Rows((9, 10, 11, 12)))


def test_plain_tokens_leave_every_other_id_as_it_was():
    """The library numbers an added token that is not in the vocabulary by the vocabulary's size, which four more entries change."""
    before = tokenizer(["<s>", *LLAMA3, "</s>"])
    after = with_plain_tokens(before, Rows((11, 12, 13, 14)))
    assert {name: row for name, row in token_ids(after).items() if name not in MEMENTO_TOKENS} == {
        name: row for name, row in token_ids(before).items() if row not in (11, 12, 13, 14)
    }
    assert [entry["id"] for entry in after["added_tokens"]] == [10, 15, 16, 17, 18, 19]
    assert all(after["model"]["vocab"][entry["content"]] == entry["id"] for entry in after["added_tokens"])
    assert [after["model"]["vocab"][token] for token in MEMENTO_TOKENS] == [11, 12, 13, 14]


def test_another_kind_of_tokenizer_is_refused():
    require_bpe(tokenizer())
    with pytest.raises(InvalidInput, match="Unigram"):
        require_bpe(tokenizer(kind="Unigram"))


def test_the_settings_name_none_of_the_four_and_bring_no_code():
    config = {
        "auto_map": {"AutoTokenizer": ["x.Y", None]},
        "tokenizer_class": "LlamaTokenizer",
        "additional_special_tokens": ["<|block_start|>", {"content": "<|block_end|>"}, "<|im_end|>"],
        "added_tokens_decoder": {"7": {"content": "<|block_start|>"}},
        "eos_token": {"content": "<|im_end|>"},
    }
    kept = tokenizer_settings(config, {"pad_token": "<pad>"}, set(MEMENTO_TOKENS))
    assert kept == {
        "pad_token": "<pad>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": ["<|im_end|>"],
        "eos_token": {"content": "<|im_end|>"},
    }
