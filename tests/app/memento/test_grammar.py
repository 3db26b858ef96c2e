"""Control-token literals never survive, other text always does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.memento.grammar import MEMENTO_TOKENS, neutralise

SMOLLM2 = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<file_sep>"]
LLAMA = ["<s>", "</s>", "<unk>", "<pad>", "<<SYS>>", "<</SYS>>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>"]
GEMMA = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<start_function_call>", "<end_function_response>"]
GEMMA_4 = ["<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>"]
DEEPSEEK = ["<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜tool▁calls▁begin｜>", "｜DSML｜"]
MISTRAL = ["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]"]
MISTRAL += ["[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[/TOOL_CONTENT]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]"]
TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tools>"]
TOKENS = [*MEMENTO_TOKENS, *SMOLLM2, *LLAMA, *GEMMA, *GEMMA_4, *DEEPSEEK, *MISTRAL, *TAGS]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_becomes_harmless_and_readable(token):
    out = neutralise(f"a{token}b")
    assert token not in out and out[0] == "a" and out[-1] == "b" and token.strip("<>[]|/｜") in out


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d, or a <b> c",
        "if a<b: c = d[1] >> 2 | e << 3",
        "<b>bold</b> <i>x</i> <span> <img> <a href=x> <br/> <table>",
        "click link Home [1], box Search [12]: tea",
        "[x] done, [INSTALL], [Inst], [IMG], [TODO], [ARG]",
        "f <| g <| h, <|>, |a|b|, <turn>, ｜ wide ｜ bars ｜",
        "<<EOF>> <<system>> << SYS >>",
    ],
)
def test_ordinary_text_is_untouched(text):
    assert neutralise(text) == text


def test_halves_cannot_be_joined_by_taking_the_middle_out():
    out = neutralise("<|im_<|block_end|>end|> <|<|x|>|>")
    assert "<|im_end|>" not in out and "<|" not in out.replace("<|im_", "")


# Pieces that make tokens, nested and overlapping ones included: random text alone hardly ever does.
PIECES = st.lists(st.sampled_from(["<", ">", "|", "｜", "[", "]", "/", "s", "SYS", "INST", "turn", "DSML", "im_end", *TOKENS])).map("".join)


@given(st.text() | PIECES)
def test_a_second_time_changes_nothing(text):
    assert neutralise(neutralise(text)) == neutralise(text)


@given(PIECES)
def test_no_token_is_left_however_they_are_put_together(text):
    assert not [token for token in TOKENS if token in neutralise(text)]


@given(st.text(alphabet=st.characters(blacklist_characters="<>[]|｜")))
def test_text_without_brackets_is_unchanged(text):
    assert neutralise(text) == text
