"""The reasoning parser inside vLLM's own parser, with delimiters that are control tokens and with delimiters that are plain ones."""

import pytest

from tests.infra.serving.api.weights import with_control_tokens
from tests.infra.serving_environment import base_weights, evaluate

pytestmark = [pytest.mark.model, pytest.mark.slow]

PROGRAM = """
import json, random, sys
from types import SimpleNamespace
from tokenizers.decoders import DecodeStream
from vllm.parser import ParserManager
from vllm.tokenizers import get_tokenizer
from keepsake_vllm.api import reasoning

reasoning.install()
tokenizer = get_tokenizer(sys.argv[1])
parser = ParserManager.get_parser(reasoning_parser_name="memento", tokenizer=tokenizer)

def ids(text):
    return tokenizer.encode(text, add_special_tokens=False)

def pair(block, memento):
    return [7, *ids(block), 8, 9, *ids(memento), 10]

STREAMS = {
    "pairs": [*pair("naïve 雪🙂", "snow"), *ids("\\n"), *pair("two", "2"), *ids("\\nIt is 4."), 2],
    "plain": [*ids("\\n\\nHello 🙂 there"), 2],
    "open": [7, *ids("and so")],
    "late": [*ids("Yes. "), *pair("hm", "h"), *ids("No.")],
    "stray": [8, 10, *ids("x")],
    "empty": [2],
}

def request(skip):
    return SimpleNamespace(include_reasoning=True, skip_special_tokens=skip, tool_choice="none", tools=None)

def texts(tokens, skip):
    stream = DecodeStream(ids=[1], skip_special_tokens=skip)
    return [stream.step(tokenizer._tokenizer, token) or "" if token != 2 else "" for token in tokens]

random.seed(1)
found = {}
for name, tokens in STREAMS.items():
    for skip in (True, False):
        pieces = texts(tokens, skip)
        whole = parser(tokenizer)
        whole.set_prompt_token_ids([1])
        answers = {whole.parse("".join(pieces), request(skip), model_output_token_ids=tokens)[:2]}
        for cut in range(6):
            growing, reasoned, content, at, lag = parser(tokenizer), "", "", 0, ""
            while at < len(tokens):
                step = random.randint(1, 4) if cut else 1
                text, last = lag + "".join(pieces[at : at + step]), at + step >= len(tokens)
                keep = 0 if last else random.randint(0, 3)  # vLLM holds text back that may begin a stop string
                text, lag = (text[:-keep], text[-keep:]) if keep else (text, "")
                delta = growing.parse_delta(text, tokens[at : at + step], request(skip), [1], finished=last)
                reasoned += (delta.reasoning or "") if delta else ""
                content += (delta.content or "") if delta else ""
                at += step
            answers.add((reasoned or None, content or (None if reasoned else "")))
        found[f"{name} {skip}"] = sorted(map(list, answers), key=repr)
print(json.dumps(found))
"""

PAIRS = "<|block_start|>{}<|block_end|><|summary_start|>{}<|summary_end|>"
EXPECTED = {
    "pairs": [PAIRS.format("naïve 雪🙂", "snow") + "\n" + PAIRS.format("two", "2") + "\n", "It is 4."],
    "plain": [None, "\n\nHello 🙂 there"],
    "open": ["<|block_start|>and so", None],
    "late": [PAIRS.format("hm", "h"), "Yes. No."],
    "stray": [None, "x"],
    "empty": [None, ""],
}


@pytest.mark.parametrize("control", [True, False], ids=["control tokens", "plain tokens"])
def test_streams_are_cut_where_the_ids_say_however_they_arrive(tmp_path, control):
    model = with_control_tokens(base_weights(), tmp_path / "model") if control else base_weights()
    found = evaluate(PROGRAM, model)
    assert found == {f"{name} {skip}": [expected] for name, expected in EXPECTED.items() for skip in (True, False)}
