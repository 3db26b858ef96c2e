"""No text of a request keeps a memento literal."""

import pytest
from keepsake_vllm.api.untrusted import Literals

from app.memento.grammar import MEMENTO_TOKENS

LITERALS = Literals(MEMENTO_TOKENS)


@pytest.mark.parametrize("token", MEMENTO_TOKENS)
def test_a_literal_stays_readable_but_is_no_token(token):
    clean = LITERALS.neutralise(f"see {token}!")
    assert token not in clean
    assert token.strip("<|>") in clean


def test_halves_that_join_when_a_literal_is_taken_out_are_caught():
    clean = LITERALS.neutralise("<|block_<|block_end|>start|>" * 3)
    assert not LITERALS.found(clean)
    assert LITERALS.neutralise(clean) == clean


def test_every_string_of_a_body_is_reached_keys_too():
    body = {
        "messages": [{"content": [{"type": "text", "text": "<|block_end|>"}]}],
        "tools": {"<|summary_start|>": ["<|summary_end|>", 1, None]},
    }
    clean, changed = LITERALS.neutralise_all(body)
    assert changed
    assert not LITERALS.found(repr(clean))
    assert clean["tools"]["‹summary_start›"][1:] == [1, None]


def test_a_clean_body_is_left_alone():
    body = {"a": ["<|im_end|>", {"b": 1.5}], "prompt": [7, 8, 9, 10]}
    assert LITERALS.neutralise_all(body) == (body, False)


def test_a_deep_body_is_no_danger():
    body = value = []
    for _ in range(100_000):
        value.append([])
        value = value[0]
    value.append("<|block_end|>")
    assert LITERALS.neutralise_all(body)[1]


def test_a_token_without_brackets_is_broken_up():
    literals = Literals(["BLOCK"])
    assert literals.neutralise("a BLOCK") == "a ‹B·L·O·C·K›"


def test_no_tokens_no_change():
    assert Literals([]).neutralise("anything") == "anything"
