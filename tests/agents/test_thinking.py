"""Thinking in blocks: what is asked of the server, what comes back typed, and the events that the team makes of it."""

import asyncio
from typing import Any

import pytest
from autogen_core.models import UserMessage
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from agents.model import ClientConfig, MementoChatClient
from agents.model_roles import ModelRoles
from agents.profiles.compact import CompactProfile
from agents.roles import FinalView, LedgerView
from agents.state import PlanStep, TaskLedger
from agents.thinking import BLOCK_TOKENS, MEMENTO_TOKENS, Thinking
from app.config import Settings
from app.events import EventType
from app.memento.thought import Part, PartKind
from tests.agents.endpoint import completion, serve

HELLO = [UserMessage(content="hello", source="u")]
VIEW = LedgerView("t", TaskLedger(plan=[PlanStep(number=1, agent="web", instruction="look")]), {"web": ""}, [])
PARTS = [
    {"type": "block", "index": 0, "text": "The plan says web first.", "tokens": 7, "evicted": 9},
    {"type": "memento", "index": 0, "text": "web first", "tokens": 2},
    {"type": "answer", "index": 0, "text": "step 1 web: look", "tokens": 6},
]
KV = {"peak_kv_tokens": 31, "kv_auc": 700, "evicted_tokens": 9, "compactions": 1, "computed_tokens": 20}


def thinking(text: str, parts: Any = PARTS, **usage: int) -> dict[str, Any]:
    """An answer of our server to a model that thought."""
    answer = completion(text, reasoning="<|block_start|>…", memento={"parts": parts})
    answer["usage"] |= {"completion_tokens": 30, **KV, **usage}
    return answer


def client(url: str, blocks: int = 2) -> MementoChatClient:
    return MementoChatClient(ClientConfig(base_url=url, model="m", timeout_s=5.0, sessions=False, thinking_blocks=blocks))


async def test_the_grammar_is_asked_for_and_the_answer_keeps_its_room():
    with serve(lambda body: thinking("ok")) as server:
        await client(server.url).create(HELLO, extra_create_args={"max_tokens": 40})
    [body] = server.requests
    assert body["vllm_xargs"] == {
        "memento_grammar": 1,
        "memento_min_blocks": 2,
        "memento_max_blocks": 2,
        "memento_max_block_tokens": BLOCK_TOKENS,
        "memento_max_memento_tokens": MEMENTO_TOKENS,
    }
    assert body["max_tokens"] == 40 + 2 * (BLOCK_TOKENS + MEMENTO_TOKENS + 4)


@pytest.mark.parametrize("limit", [{}, {"max_tokens": None}, {"max_completion_tokens": 10}])
async def test_only_a_limit_that_is_there_is_raised(limit: dict[str, Any]):
    with serve(lambda body: thinking("ok")) as server:
        await client(server.url, 1).create(HELLO, extra_create_args=limit)
    [body] = server.requests
    assert body.get("max_tokens") is None
    assert body.get("max_completion_tokens") in (None, 10 + Thinking(1).room)


async def test_a_callers_own_choices_win():
    own = {"extra_body": {"vllm_xargs": {"memento_max_block_tokens": 8, "other": 1}}}
    with serve(lambda body: thinking("ok")) as server:
        await client(server.url).create(HELLO, extra_create_args=own)
    assert server.requests[0]["vllm_xargs"] == Thinking(2).xargs | {"memento_max_block_tokens": 8, "other": 1}


async def test_nothing_is_asked_for_by_default():
    with serve(lambda body: thinking("ok")) as server:
        await client(server.url, 0).create(HELLO, extra_create_args={"max_tokens": 40})
    assert set(server.requests[0]) == {"model", "messages", "max_tokens"}


async def test_parts_and_figures_come_back_typed_and_the_thought_stays_text():
    with serve(lambda body: thinking("ok")) as server:
        result = await client(server.url).create(HELLO)
    assert result.parts[0] == Part(type=PartKind.BLOCK, index=0, text="The plan says web first.", tokens=7, evicted=9)
    assert [part.type for part in result.parts] == ["block", "memento", "answer"]
    assert result.kv and result.kv.model_dump() == KV
    assert result.thought == "<|block_start|>…"


@pytest.mark.parametrize("memento", ["text", 3, {}, {"parts": None}, {"parts": ["x"]}, {"parts": [{"type": "song", "index": 0}]}])
async def test_a_field_of_that_name_that_is_not_ours_spoils_no_answer(memento: Any):
    answer = completion("hi", memento=memento) | {"memento_session": 7}
    answer["usage"] |= {"peak_kv_tokens": "many"}
    with serve(lambda body: answer) as server:
        result = await client(server.url, 0).create(HELLO)
    assert (result.content, result.parts, result.kv) == ("hi", [], None)


async def test_a_server_without_the_plugin_is_asked_once_and_the_run_is_told_once():
    with serve(lambda body: completion("step 1 web: look")) as server:
        roles = ModelRoles(client(server.url), CompactProfile())
        await roles.ask("ledger", VIEW)
        await roles.ask("ledger", VIEW)
    assert ["vllm_xargs" in body for body in server.requests] == [True, False]
    warnings = [event.payload["message"] for event in roles.drain() if event.type == EventType.WARNING]
    assert len(warnings) == 1 and "KEEPSAKE_MODEL_THINKING_BLOCKS" in warnings[0]


async def test_a_server_that_knows_no_such_arguments_is_asked_again_without_them():
    refused = JSONResponse({"error": {"message": "unknown", "param": "vllm_xargs.memento_min_blocks", "code": "invalid_value"}}, 400)
    with serve(lambda body: refused if "vllm_xargs" in body else completion("ok")) as server:
        chat = client(server.url)
        result = await chat.create(HELLO, extra_create_args={"max_tokens": 40})
    assert result.content == "ok" and not chat.thinks
    assert server.requests[1]["max_tokens"] == 40


async def test_a_thought_in_blocks_is_an_event_of_its_own():
    with serve(lambda body: thinking("step 1 web: look")) as server:
        roles = ModelRoles(client(server.url), CompactProfile())
        await roles.ask("ledger", VIEW)
    call, thought = roles.drain()
    assert (call.type, thought.type) == (EventType.MODEL_CALL, EventType.THOUGHT)
    assert thought.payload == {"block": None, "role": "ledger", "parts": PARTS, **KV, "full_kv_tokens": 40}


async def test_reasoning_without_blocks_stays_text():
    parts = [{"type": "text", "index": 0, "text": "hm", "tokens": 1}, PARTS[2]]
    with serve(lambda body: thinking("step 1 web: look", parts)) as server:
        roles = ModelRoles(client(server.url), CompactProfile())
        await roles.ask("ledger", VIEW)
    assert [event.type for event in roles.drain()] == [EventType.MODEL_CALL, EventType.BLOCK_TEXT]


async def test_a_thought_that_was_cut_off_is_told_too():
    cut = thinking("", PARTS[:1])
    cut["choices"][0]["finish_reason"] = "length"
    answers = iter([cut, thinking("Done.")])
    with serve(lambda body: next(answers)) as server:
        roles = ModelRoles(client(server.url), CompactProfile())
        await roles.ask("final", FinalView("t", []))
    kinds = [event.type for event in roles.drain()]
    assert kinds == [EventType.MODEL_CALL, EventType.THOUGHT, EventType.MODEL_RETRY, EventType.MODEL_CALL, EventType.THOUGHT]


@pytest.mark.parametrize("blocks", [-1, 9])
def test_the_setting_has_bounds(blocks: int, tmp_path):
    with pytest.raises(ValidationError):
        Settings(home=tmp_path, model_thinking_blocks=blocks, _env_file=None)  # type: ignore[call-arg]


async def test_calls_at_the_same_time_agree_on_what_the_server_has():
    with serve(lambda body: completion("ok")) as server:
        chat = MementoChatClient(ClientConfig(base_url=server.url, model="m", thinking_blocks=1))
        results = await asyncio.gather(*(chat.create(HELLO) for _ in range(8)))
        await chat.create(HELLO)
    assert [result.content for result in results] == ["ok"] * 8
    assert set(server.requests[-1]) == {"model", "messages"}
