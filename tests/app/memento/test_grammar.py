"""Control-token literals never survive, other text always does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.memento.grammar import MEMENTO_TOKENS, neutralise


@pytest.mark.parametrize(
    "token", [*MEMENTO_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "</think>", "[/INST]", "<s>"]
)
def test_a_token_becomes_harmless_and_readable(token):
    out = neutralise(f"a{token}b")
    assert token not in out and out[0] == "a" and out[-1] == "b" and token.strip("<>[]|/") in out


def test_halves_cannot_be_joined_by_taking_the_middle_out():
    out = neutralise("<|im_<|block_end|>end|> <|<|x|>|>")
    assert "<|im_end|>" not in out and "<|" not in out.replace("<|im_", "")


@given(st.text())
def test_it_is_idempotent(text):
    assert neutralise(neutralise(text)) == neutralise(text)


@given(st.text(alphabet=st.characters(blacklist_characters="<>[]|")))
def test_text_without_brackets_is_unchanged(text):
    assert neutralise(text) == text
