"""A conversation through the chat client: its handle goes on where it is taken, is dropped where it is refused, and reaches nobody else."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import AssistantMessage, FunctionExecutionResult, FunctionExecutionResultMessage, LLMMessage, UserMessage
from autogen_core.tools import ToolSchema
from fastapi.responses import JSONResponse

from agents.model import ClientConfig, Constraint, MementoChatClient
from agents.sessions import NEW, Sessions, can_follow
from app.config import Settings
from app.errors import ModelError
from tests.agents.endpoint import completion, serve

HELLO: list[LLMMessage] = [UserMessage(content="hello", source="u")]
TOOL = ToolSchema(name="find", description="Finds.", parameters={"type": "object", "properties": {}})


def client(url: str, **more: Any) -> MementoChatClient:
    return MementoChatClient(ClientConfig(base_url=url, model="m", timeout_s=5.0, **more))


def later(answer: str, *more: str) -> list[LLMMessage]:
    """The conversation after `answer` to HELLO."""
    turns: list[LLMMessage] = [*HELLO, AssistantMessage(content=answer, source="a")]
    return [*turns, *(UserMessage(content=text, source="u") for text in more or ("and now?",))]


def following(text: str = "hi", **message: Any) -> Callable[[dict[str, Any]], Any]:
    """A server of ours: every answer brings a handle of its own."""
    given = iter(range(100))
    return lambda body: completion(text, **message) | ({"memento_session": f"handle-{next(given)}"} if "memento_session" in body else {})


def refusal(status: int, code: str, param: str = "memento_session") -> JSONResponse:
    return JSONResponse({"error": {"message": f"no: {code}", "type": "invalid_request_error", "param": param, "code": code}}, status)


def sent(server: Any) -> list[str | None]:
    return [body.get("memento_session") for body in server.requests]


async def test_a_turn_goes_on_from_the_last_one_and_anything_else_is_new():
    with serve(following()) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        await chat.create(later("hi"))
        await chat.create(later("hi", "a branch"))
        await chat.create(later("something that was not said"))
        await chat.create([UserMessage(content="another", source="u"), *later("hi")[1:]])
    assert sent(server) == ["new", "handle-0", "handle-0", "new", "new"]


async def test_an_agent_that_drops_the_reasoning_still_goes_on_from_it():
    with serve(following("  Done. \n", reasoning="long thoughts")) as server:
        agent = AssistantAgent("helper", client(server.url))
        await agent.run(task="first")
        await agent.run(task="second")
        await agent.run(task="third")
    assert sent(server) == ["new", "handle-0", "handle-1"]
    assert not [m for body in server.requests for m in body["messages"] if "long thoughts" in str(m)]


CALL = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
RESULT = FunctionExecutionResult(content="found", name="find", call_id="1", is_error=False)


async def test_a_tool_call_is_an_answer_too():
    with serve(following("", tool_calls=[CALL], finish="tool_calls")) as server:
        chat = client(server.url)
        result = await chat.create(HELLO, tools=[TOOL])
        assert isinstance(result.content, list) and isinstance(result.content[0], FunctionCall)
        back = [*HELLO, AssistantMessage(content=result.content, source="a"), FunctionExecutionResultMessage(content=[RESULT])]
        await chat.create(back, tools=[TOOL])
        await chat.create(back)
    assert sent(server) == ["new", "handle-0", "new"], "with other tools it is another conversation to the server"


async def test_words_beside_a_call_are_not_sent_back_so_the_turn_is_not_gone_on_from():
    with serve(following("I look.", tool_calls=[CALL], finish="tool_calls")) as server:
        chat = client(server.url)
        result = await chat.create(HELLO, tools=[TOOL])
        back = [*HELLO, AssistantMessage(content=result.content, source="a"), FunctionExecutionResultMessage(content=[RESULT])]
        await chat.create(back, tools=[TOOL])
    assert sent(server) == ["new", "new"]


@pytest.mark.parametrize(
    "refused",
    [
        refusal(404, "memento_session_not_found"),
        refusal(409, "memento_session_conflict"),
        refusal(400, "BadRequestError", "input_tokens"),  # with its blocks the conversation is longer than the context
    ],
)
async def test_a_refused_handle_is_forgotten_and_the_turn_asked_afresh_once(refused: JSONResponse):
    answer = following()
    with serve(lambda body: refused if body["memento_session"] == "handle-0" else answer(body)) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        result = await chat.create(later("hi"))
        await chat.create([*later("hi"), AssistantMessage(content="hi", source="a"), UserMessage(content="more", source="u")])
        await chat.create(later("hi", "a branch"))
    assert result.content == "hi"
    assert sent(server) == ["new", "handle-0", "new", "handle-1", "new"]


async def test_a_server_that_refuses_everything_is_asked_twice_at_most():
    answers = iter([completion("hi") | {"memento_session": "h"}])
    with serve(lambda body: next(answers, refusal(404, "memento_session_not_found"))) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        with pytest.raises(ModelError):
            await chat.create(later("hi"))
    assert sent(server) == ["new", "h", "new"]


async def test_a_model_that_is_not_there_is_no_matter_of_the_session():
    answers = iter([completion("hi") | {"memento_session": "h"}])
    with serve(lambda body: next(answers, refusal(404, "model_not_found", "model"))) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        with pytest.raises(ModelError, match="404"):
            await chat.create(later("hi"))
    assert sent(server) == ["new", "h"]


async def test_sessions_are_given_up_where_no_handle_comes_back():
    with serve(lambda body: completion("hi")) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        await chat.create(later("hi"))
    assert sent(server) == ["new", None]


async def test_an_answer_that_broke_off_says_nothing_about_the_server():
    answers = iter([completion("h", finish="abort"), completion("hi") | {"memento_session": "h"}])
    with serve(lambda body: next(answers)) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        await chat.create(HELLO)
    assert sent(server) == ["new", "new"]


async def test_sessions_are_given_up_where_the_model_has_none():
    with serve(lambda body: refusal(400, "invalid_value") if "memento_session" in body else completion("hi")) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        await chat.create(later("hi"))
    assert sent(server) == ["new", None, None]


async def test_other_endpoints_hear_of_nothing():
    with serve(lambda body: completion("hi"), vllm=False) as server:
        chat = client(server.url, thinking_blocks=2)
        await chat.create(HELLO, extra_create_args={"max_tokens": 7})
        await chat.create(later("hi"), extra_create_args={"max_tokens": 7})
    assert [set(body) for body in server.requests] == [{"model", "messages", "max_tokens"}] * 2
    assert [body["max_tokens"] for body in server.requests] == [7, 7]


async def test_other_endpoints_keep_their_schemas():
    schema = {"constraint": Constraint(json_schema={"type": "object"})}
    with serve(lambda body: completion("{}"), vllm=False) as server:
        await client(server.url).create(HELLO, extra_create_args=schema)
    assert server.requests[0]["response_format"]["type"] == "json_schema", "no vLLM server is not one without schemas"


async def test_the_teams_own_client_keeps_no_session(tmp_path):
    with serve(following()) as server:
        settings = Settings(home=tmp_path, model_url=server.url, model_name="m", _env_file=None)  # type: ignore[call-arg]
        await MementoChatClient.from_settings(settings).create(HELLO)
    assert sent(server) == [None]


@pytest.mark.parametrize("extra", [{"n": 2}, {"extra_body": {"use_beam_search": True}}, {"extra_body": {"memento_session": "own"}}])
async def test_what_the_server_would_not_follow_is_left_as_the_caller_asked(extra: dict[str, Any]):
    with serve(lambda body: completion("hi")) as server:
        await client(server.url).create(HELLO, extra_create_args=extra)
    assert server.requests[0].get("memento_session") == extra.get("extra_body", {}).get("memento_session")


async def test_a_callers_own_handle_is_the_callers_business():
    with serve(lambda body: refusal(404, "memento_session_not_found")) as server, pytest.raises(ModelError):
        await client(server.url).create(HELLO, extra_create_args={"extra_body": {"memento_session": "own"}})
    assert sent(server) == ["own"]


async def test_handles_reach_no_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    answer = following()
    refused = refusal(409, "memento_session_conflict")
    with serve(lambda body: refused if body["memento_session"] == "handle-1" else answer(body)) as server:
        chat = client(server.url)
        await chat.create(HELLO)
        await chat.create(later("hi"))
        await chat.create([*later("hi"), AssistantMessage(content="hi", source="a"), UserMessage(content="more", source="u")])
        dumped = chat.dump_component().model_dump_json()
    assert "handle-0" in sent(server) and "handle-1" in sent(server)
    assert caplog.text and "handle-" not in caplog.text and "handle-" not in dumped


# The store


def request(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"model": "m", "messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)], **more}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def test_the_longest_known_conversation_is_gone_on_from():
    sessions = Sessions()
    sessions.keep(request("a"), said("b"), "one")
    sessions.keep(request("a", "b", "c"), said("d"), "two")
    assert sessions.find(request("a", "b", "c", "d", "e")) == "two"
    assert sessions.find(request("a", "b", "c", "x", "e")) == "one"
    assert sessions.find(request("a", "b", "c", "d", "e", model="other")) == NEW


def test_the_least_recently_used_conversation_is_forgotten_first():
    sessions = Sessions(limit=2)
    sessions.keep(request("a"), said("1"), "a")
    sessions.keep(request("b"), said("1"), "b")
    assert sessions.find(request("a", "1", "on")) == "a"
    sessions.keep(request("c"), said("1"), "c")
    assert [sessions.find(request(name, "1", "on")) for name in "abc"] == ["a", NEW, "c"]


def test_forgetting_takes_all_turns_of_the_conversation_and_no_other():
    sessions = Sessions()
    sessions.keep(request("a"), said("b"), "one")
    sessions.keep(request("a", "b", "c"), said("d"), "two")
    sessions.keep(request("x"), said("y"), "other")
    sessions.forget(request("a", "b", "c", "d", "e"))
    assert sessions.find(request("a", "b", "c", "d", "e")) == NEW
    assert sessions.find(request("x", "y", "z")) == "other"


def test_one_answer_to_text_can_be_followed():
    assert can_follow(request("a")) and can_follow(request("a", n=1))
    assert not can_follow(request("a", n=2)) and not can_follow(request("a", extra_body={"echo": True}))
