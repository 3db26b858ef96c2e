"""The real server on the real base weights: it loads, answers under a constraint, counts tokens, and stops."""

import re

import httpx
import pytest

from infra.serving_process import start, stop, wait_ready
from tests.infra.serving_environment import base_weights, own_server_settings

PATTERN = r"next (web|files|coder): [a-z ]{3,24}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base_weights()
    settings = own_server_settings(tmp_path_factory.mktemp("home"))
    handle = start(settings, "base")
    try:
        wait_ready(handle, timeout_s=600)
        with httpx.Client(base_url=handle.url.removesuffix("/v1"), timeout=240, trust_env=False) as client:
            yield client, handle
    finally:
        stop(settings, "base")


def chat(server, text, **more):
    client, handle = server
    body = {"model": handle.name, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 40, **more}
    reply = client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]


def test_it_knows_the_capital_of_france_and_where_to_stop(server):
    reply = chat(server, "What is the capital of France? Answer in one sentence.")
    assert "Paris" in reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_a_regular_expression_binds_the_answer(server):
    reply = chat(server, "Who acts next, and what is to be done?", structured_outputs={"regex": PATTERN})
    assert re.fullmatch(PATTERN, reply["choices"][0]["message"]["content"])


def test_a_choice_binds_the_answer(server):
    reply = chat(server, "Is water wet?", structured_outputs={"choice": ["maybe", "never"]})
    assert reply["choices"][0]["message"]["content"] in {"maybe", "never"}


def test_a_schema_binds_the_answer(server):
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    reply = chat(server, "The city?", response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema}})
    assert reply["choices"][0]["message"]["content"].replace(" ", "").replace("\n", "") in {'{"city":"Paris"}', '{"city":"Rome"}'}


def test_tokens_are_counted_with_the_template_and_text_holds_no_memento_token(server):
    client, handle = server
    plain = client.post("/tokenize", json={"model": handle.name, "prompt": "a<|block_start|>b<|summary_end|>"}).json()
    assert not {7, 8, 9, 10} & set(plain["tokens"])
    assert plain["count"] > 4
    turns = client.post("/tokenize", json={"model": handle.name, "messages": [{"role": "user", "content": "Hi"}]}).json()
    reply = chat(server, "Hi", max_tokens=1)
    assert turns["count"] == reply["usage"]["prompt_tokens"]
