"""A conversation of an AutoGen agent with the real server: the agent drops what the model thought, and the next turn goes on from it."""

import re
from typing import Any

import httpx
import pytest
from autogen_agentchat.agents import AssistantAgent

from agents.completion import MementoResult
from agents.model import ClientConfig, MementoChatClient
from app.memento.thought import PartKind
from infra.serving_process import start, stop, wait_ready
from tests.infra.serving_environment import base_weights, own_server_settings

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]
PAGE = 32  # tokens of a cache page (keepsake_vllm.launch)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base_weights()
    settings = own_server_settings(tmp_path_factory.mktemp("home"))
    handle = start(settings, "base")
    try:
        wait_ready(handle, timeout_s=600)
        yield handle
    finally:
        stop(settings, "base")


class Brief(MementoChatClient):
    """Bounds every answer, and keeps what came back."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(config)
        self.results: list[MementoResult] = []

    async def create(self, messages: Any, **more: Any) -> MementoResult:
        more["extra_create_args"] = {"temperature": 0.0, "max_tokens": 40}
        self.results.append(await super().create(messages, **more))
        return self.results[-1]


def cached(server) -> float:
    """Prompt tokens that the server has so far taken from its cache."""
    text = httpx.get(server.url.removesuffix("/v1") + "/metrics", timeout=30, trust_env=False).text
    return sum(float(value) for value in re.findall(r"^vllm:prefix_cache_hits_total\{[^}]*\} (\S+)$", text, re.MULTILINE))


async def talk(server, sessions: bool) -> tuple[list[MementoResult], float]:
    """Two turns; what came back, and the tokens of the second prompt that were cached."""
    config = ClientConfig(base_url=server.url, model=server.name, timeout_s=240, sessions=sessions, thinking_blocks=2)
    client = Brief(config)
    agent = AssistantAgent("helper", client, system_message="You answer in one short sentence.")
    await agent.run(task="What is the capital of France?")
    before = cached(server)
    await agent.run(task="And what is it famous for?")
    await client.close()
    return client.results, cached(server) - before


async def test_the_second_turn_holds_the_first_ones_blocks_and_finds_them_cached(server):
    (first, second), hits = await talk(server, sessions=True)
    blocks = [part for part in first.parts if part.type is PartKind.BLOCK]
    assert len(blocks) >= 2 and all(part.evicted for part in blocks) and first.kv and first.kv.compactions >= 2
    said = first.usage.prompt_tokens + first.usage.completion_tokens
    assert second.usage.prompt_tokens > said, "all of turn 1 and the new question, blocks included"
    assert hits >= said - PAGE, "computed are the new tokens and what did not fill a page"
    assert second.kv and second.kv.peak_kv_tokens < second.usage.prompt_tokens + second.usage.completion_tokens - 100, "less what was freed"


async def test_without_sessions_the_second_turn_has_lost_them(server):
    (first, second), hits = await talk(server, sessions=False)
    thought = sum(part.tokens for part in first.parts if part.type is not PartKind.ANSWER)
    assert second.usage.prompt_tokens < first.usage.prompt_tokens + first.usage.completion_tokens - thought + 2 * PAGE
    assert hits <= first.usage.prompt_tokens
