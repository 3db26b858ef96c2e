"""The four memento tokens take rows 7 to 10, no text is ever read as one of them, and no other text is read differently."""

import json

import pytest

from app.memento.grammar import MEMENTO_TOKEN_IDS
from infra.weights.base import CONTEXT
from infra.weights.vocabulary import NOISE_STD, SEED_WORDS, initial_vector, seed_rows, tokenizer_config, with_memento_tokens
from tests.infra.serving_environment import base_weights, evaluate
from tests.infra.weights.literals import LITERALS, READ, assert_unspeakable

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
    "def f(x):\n    return x**2  # 日本語 🎉\n\tif x >= 10:\n\t\tpass",
    "a  12   345.60\n\n\n1,000,000  x",
    "click Blue lamp [33] · price 12.50 € — «très»",
    "<|block|> <| block_start |> block_start <block_start> <|im_sep|>",
    "<repo_name>x<file_sep><jupyter_start>y<empty_output><|endoftext|>",
    '{"a": [1, 2, {"b": null}], "c": "\\u00e9"}',
    "Ωμέγα Привет мир 你好，世界 مرحبا ١٢٣ ½ ②",
    "   leading and trailing   ",
    "https://127.0.0.1:8713/p/42?q=red+lamp&sort=price#top",
]

COMPARE = """
import json, sys
from pathlib import Path
from tokenizers import Tokenizer
directory, texts = Path(sys.argv[1]), json.loads(sys.argv[2])
text = (directory / "tokenizer.json").read_text()
now = Tokenizer.from_str(text)
old = json.loads(text)
names = {7: "<gh_stars>", 8: "<issue_start>", 9: "<issue_comment>", 10: "<issue_closed>"}
old["model"]["vocab"] = {names.get(row, token): row for token, row in old["model"]["vocab"].items()}
flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
old["added_tokens"] = sorted(old["added_tokens"] + [{"id": row, "content": name, **flags} for row, name in names.items()], key=lambda e: e["id"])
before = Tokenizer.from_str(json.dumps(old))
ids = lambda tokenizer, text: tokenizer.encode(text, add_special_tokens=False).ids
print(json.dumps({
    "changed": [text for text in texts if ids(now, text) != ids(before, text)],
    "unfaithful": [text for text in texts if now.decode(ids(now, text), skip_special_tokens=False) != text],
    "old_names": {name: [len(ids(now, name)), now.decode(ids(now, name), skip_special_tokens=False)] for name in names.values()},
    "spaces_before_digits": now.encode("a   12").tokens,
    "rows": now.get_vocab_size(),
}))
"""

CHAT = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
render = lambda messages: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
print(json.dumps({
    "user": render([{"role": "user", "content": "Hi"}]),
    "system": render([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]),
    "bare": tokenizer.apply_chat_template(
        [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": None}],
        tokenize=False, add_generation_prompt=True, bare_turns=True),
    "begun": tokenizer.apply_chat_template(
        [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}],
        tokenize=False, add_generation_prompt=False, continue_final_message=True, bare_turns=True),
    "special": tokenizer.all_special_tokens,
    "eos": tokenizer.eos_token_id,
}))
"""

VECTORS = """
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1] + "/model.safetensors", "pt") as file:
    rows = file.get_tensor("model.embed_tokens.weight").float()
new = rows[7:11]
print(json.dumps({"distances": [float((new[a] - new[b]).norm()) for a in range(4) for b in range(a)], "norms": new.norm(dim=1).tolist()}))
"""


def small_tokenizer():
    words = {word for words in SEED_WORDS.values() for word in words}
    vocab = {
        name: row for row, name in enumerate(["<|endoftext|>", *(f"<old{n}>" for n in range(1, 11)), *("Ġ" + w for w in sorted(words))])
    }
    added = [{"id": row, "content": name, "special": True} for name, row in vocab.items() if row <= 10]
    return {"model": {"type": "BPE", "vocab": vocab, "merges": []}, "added_tokens": added, "pre_tokenizer": None}


def test_only_the_four_rows_are_renamed():
    before = small_tokenizer()
    after = with_memento_tokens(before)
    renamed = {row: token for token, row in after["model"]["vocab"].items() if before["model"]["vocab"].get(token) != row}
    assert renamed == {row: token for token, row in MEMENTO_TOKEN_IDS.items()}
    assert [entry["id"] for entry in after["added_tokens"]] == list(range(7))


def test_a_tokenizer_of_an_earlier_version_becomes_the_one_of_this():
    earlier = small_tokenizer()
    names = {row: token for token, row in MEMENTO_TOKEN_IDS.items()}
    earlier["model"]["vocab"] = {names.get(row, name): row for name, row in earlier["model"]["vocab"].items()}
    for entry in earlier["added_tokens"]:
        entry["content"] = names.get(entry["id"], entry["content"])
    assert with_memento_tokens(earlier) == with_memento_tokens(small_tokenizer())
    assert with_memento_tokens(with_memento_tokens(earlier)) == with_memento_tokens(earlier)


def test_the_given_tokenizer_is_left_alone():
    before = small_tokenizer()
    with_memento_tokens(before)
    assert before == small_tokenizer()


def test_a_vocabulary_without_a_seed_word_is_refused():
    vocab = small_tokenizer()["model"]["vocab"]
    del vocab["Ġrecap"]
    with pytest.raises(KeyError, match="recap"):
        seed_rows(vocab)


def test_an_initial_vector_is_near_the_mean_and_the_same_every_time():
    rows = [[float(column + row) for column in range(500)] for row in range(5)]
    first, again, other = (initial_vector(rows, seed) for seed in (7, 7, 8))
    noise = [value - (column + 2) for column, value in enumerate(first)]
    spread = (sum(n * n for n in noise) / len(noise)) ** 0.5
    assert first == again
    assert first != other
    assert 0.8 * NOISE_STD < spread < 1.2 * NOISE_STD


def test_the_memento_tokens_are_declared_nowhere():
    """transformers makes an added token, which text can spell, of every token that this file names."""
    assert not set(MEMENTO_TOKEN_IDS) & set(str(tokenizer_config(CONTEXT)).split("'"))


@pytest.fixture(scope="module")
def readings():
    return evaluate(COMPARE, base_weights(), json.dumps(TEXTS))


@pytest.mark.model
def test_no_text_is_ever_read_as_a_memento_token():
    assert_unspeakable(evaluate(READ, base_weights(), json.dumps(LITERALS)), list(MEMENTO_TOKEN_IDS.values()))


@pytest.mark.model
def test_every_other_text_is_read_as_before_and_comes_back_whole(readings):
    assert readings["changed"] == []
    assert readings["unfaithful"] == []
    assert readings["rows"] == 49_152


@pytest.mark.model
def test_the_old_names_of_the_rows_are_ordinary_text_now(readings):
    for name, (length, text) in readings["old_names"].items():
        assert length > 1
        assert text == name


@pytest.mark.model
def test_digits_are_split_off_before_spaces_are_joined(readings):
    assert readings["spaces_before_digits"] == ["a", "ĠĠĠ", "1", "2"]


@pytest.mark.model
def test_the_chat_template_adds_no_system_prompt():
    chat = evaluate(CHAT, base_weights())
    assert chat["user"] == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert chat["system"] == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (chat["bare"], chat["begun"]) == ("<|im_start|>U<|im_start|>A<|im_end|><|im_start|>", "<|im_start|>U<|im_start|>A")
    assert chat["special"] == ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    assert chat["eos"] == 2


@pytest.mark.model
def test_the_four_rows_start_apart_from_each_other():
    found = evaluate(VECTORS, base_weights())
    assert min(found["distances"]) > 0.5
    assert all(1.0 < norm < 5.0 for norm in found["norms"])
