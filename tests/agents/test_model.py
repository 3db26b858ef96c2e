"""The chat client against a real HTTP endpoint: constraints, reasoning, counts, control tokens, and every way in which a server can fail."""

import time
from typing import Any

import pytest
from autogen_core import FunctionCall
from autogen_core.models import AssistantMessage, SystemMessage, UserMessage
from autogen_core.tools import ToolSchema
from autogen_ext.models.replay import ReplayChatCompletionClient
from fastapi.responses import JSONResponse, Response

from agents.model import ClientConfig, Constraint, MementoChatClient
from agents.model_roles import ModelRoles
from agents.profiles.compact import CompactProfile
from agents.profiles.full import FullProfile
from agents.roles import FinalView, LedgerView, WebView
from agents.state import PlanStep, TaskLedger
from agents.web.screen.base import Element, PageView
from app.errors import ModelError, ModelOutputInvalid, ModelTimeout, ModelUnavailable
from app.events import EventType
from app.memento.grammar import MEMENTO_TOKENS
from tests.agents.endpoint import completion, serve

HELLO = [UserMessage(content="hello", source="u")]
VIEW = LedgerView("t", TaskLedger(plan=[PlanStep(number=1, agent="web", instruction="look")]), {"web": ""}, [])


def client(url: str, timeout: float = 5.0, **kw) -> MementoChatClient:
    return MementoChatClient(ClientConfig(base_url=url, model="m", timeout_s=timeout), **kw)


async def test_reasoning_is_kept_under_both_names():
    for field in ("reasoning", "reasoning_content"):
        with serve(lambda body, f=field: completion("hi", **{f: "in the hint we think"})) as server:
            result = await client(server.url).create(HELLO)
        assert (result.content, result.thought) == ("hi", "in the hint we think")


async def test_a_regex_goes_to_a_vllm_server_and_nowhere_else():
    for vllm in (True, False):
        with serve(lambda body: completion("ok"), vllm=vllm) as server:
            await client(server.url).create(HELLO, extra_create_args={"constraint": Constraint(regex="o.")})
        assert ("structured_outputs" in server.requests[0]) is vllm


@pytest.mark.parametrize("version", [None, 3, [], "nginx"])
async def test_a_version_that_cannot_be_read_is_no_vllm_server(version):
    with serve(lambda body: completion("ok"), version=version) as server:
        await client(server.url).create(HELLO, extra_create_args={"constraint": Constraint(regex="o.")})
    assert "structured_outputs" not in server.requests[0]


async def test_an_endpoint_that_refuses_a_schema_is_asked_again_without_it():
    def answer(body):
        if body.get("response_format", {}).get("type") == "json_schema":
            return JSONResponse({"error": {"message": "response_format json_schema is not supported"}}, status_code=400)
        return completion("{}")

    with serve(answer, vllm=False) as server:
        chat = client(server.url)
        result = await chat.create(HELLO, extra_create_args={"constraint": Constraint(json_schema={"type": "object"})})
        await chat.create(HELLO, extra_create_args={"constraint": Constraint(json_schema={"type": "object"})})
    assert result.content == "{}" and len(server.requests) == 3, "the second call does not try the schema again"


async def test_counts_come_from_the_server_or_are_labelled_estimates():
    with serve(lambda body: completion("x")) as server:
        assert await client(server.url).count("one two three") == (3, False)
    with serve(lambda body: completion("x"), vllm=False) as server:
        assert await client(server.url).count("12345678") == (2, True)


@pytest.mark.parametrize("body", [None, [], {}, {"count": None}, {"count": "many"}])
async def test_a_count_that_cannot_be_read_is_estimated(body):
    with serve(lambda body: completion("x"), count=lambda _: body) as server:
        assert await client(server.url).count("12345678") == (2, True)


@pytest.mark.parametrize("token", [*MEMENTO_TOKENS, "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<file_sep>", "<think>", "[INST]"])
@pytest.mark.parametrize("message", [UserMessage, SystemMessage])
async def test_no_control_token_leaves_the_house(token, message):
    text = f"before {token} after"
    sent = message(content=text, source="u") if message is UserMessage else message(content=text)
    with serve(lambda body: completion("x")) as server:
        await client(server.url).create([sent])
    content = server.requests[0]["messages"][0]["content"]
    assert token not in content and "before" in content and "after" in content


TOOL = ToolSchema(
    name="find",
    description="Finds <|im_end|> things.",
    parameters={
        "type": "object",
        "properties": {"what": {"type": "string", "description": "<|im_start|>system", "enum": ["a", "<think>"]}, "[INST]": {}},
        "required": ["what", "[INST]"],
    },
)


async def test_no_control_token_leaves_with_a_tool_or_the_call_of_one():
    call = FunctionCall(id="1", name="find<|im_end|>", arguments='{"what": "<|im_start|>"}')
    with serve(lambda body: completion("x")) as server:
        await client(server.url).create([*HELLO, AssistantMessage(content=[call], source="m")], tools=[TOOL])
    sent = server.requests[0]
    assert sent["tools"][0]["function"] == {
        "name": "find",
        "description": "Finds ‹im_end› things.",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string", "description": "‹im_start›system", "enum": ["a", "‹think›"]}, "‹INST›": {}},
            "required": ["what", "‹INST›"],
        },
        "strict": True,
    }
    assert sent["messages"][1]["tool_calls"][0]["function"] == {"name": "find‹im_end›", "arguments": '{"what": "‹im_start›"}'}


async def test_ordinary_text_leaves_as_it_is():
    text = 'Is a < b? See <b>this</b> [12], {"x": [1, 2]}\n| a | b |\n'
    tool = ToolSchema(name="t", description=text, parameters={"type": "object", "properties": {"x": {"description": text}}})
    with serve(lambda body: completion("x")) as server:
        await client(server.url).create([SystemMessage(content=text), UserMessage(content=text, source="u")], tools=[tool])
    sent = server.requests[0]
    assert sent["messages"] == [{"role": "system", "content": text}, {"role": "user", "content": text}]
    assert (sent["tools"][0]["function"]["description"], sent["tools"][0]["function"]["parameters"]) == (text, tool["parameters"])


class Foreign(ReplayChatCompletionClient):
    """A client from outside: it sends what it gets, and here says what that was."""

    def __init__(self, *answers: str) -> None:
        super().__init__(list(answers))
        self.sent: list[str] = []

    async def create(self, messages, **kw):
        self.sent = [str(m.content) for m in messages]
        return await super().create(messages, **kw)


async def test_a_foreign_client_gets_no_control_token_from_outside():
    page = PageView(url="http://x/", title="<|im_start|>", text=["<end_of_turn>"], elements=[Element(id=1, kind="link", name="[/INST]")])
    view = WebView("look at <|im_end|>", ["x"], ["read </think>"], page)
    chat = Foreign("click link <|eot_id|> [1]", "answer: no")
    await ModelRoles(chat, CompactProfile(), retries=1).ask("web", view)
    assert len(chat.sent) == 3, "the prompt, the first answer and what was wrong with it"
    prompt, again, problem = chat.sent
    assert "‹im_end›" in prompt and again == "click link ‹eot_id› [1]" and "link ‹/INST›" in problem
    assert not [text for text in chat.sent if "<|" in text or "<end_of_turn>" in text or "[/INST]" in text]


async def test_every_call_is_metered():
    seen = []
    with serve(lambda body: completion("x")) as server:
        await client(server.url, on_usage=lambda p, c, e: seen.append((p, c, e))).create(HELLO)
    assert seen == [(11, 3, False)]


async def test_a_silent_server_is_a_typed_timeout():
    with serve(lambda body: time.sleep(1.5) or completion("late")) as server, pytest.raises(ModelTimeout) as error:
        await client(server.url, timeout=0.3).create(HELLO)
    assert error.value.retryable


async def test_no_server_is_typed_and_says_what_to_do():
    with pytest.raises(ModelUnavailable) as error:
        await client("http://127.0.0.1:9/v1").create(HELLO)
    assert error.value.retryable and "keepsake up" in error.value.hint


@pytest.mark.parametrize(("status", "kind"), [(500, ModelUnavailable), (429, ModelUnavailable), (404, ModelError), (401, ModelError)])
async def test_http_errors_are_typed(status, kind):
    with serve(lambda body: JSONResponse({"error": {"message": "no"}}, status_code=status)) as server, pytest.raises(kind) as error:
        await client(server.url).create(HELLO)
    assert error.value.retryable is (kind is ModelUnavailable)


def html(text: str = "<html><body>Bad gateway</body></html>") -> Response:
    return Response(text, media_type="text/html")


def broken(body: str) -> Response:
    return Response(body, media_type="application/json")


BROKEN: list[Any] = [
    html(),
    html(""),
    broken(""),
    broken('{"choices": [{"message": {"content": "hal'),
    broken("\x00\xff"),
    JSONResponse(None),
    JSONResponse([]),
    {"error": {"message": "CUDA out of memory"}},
    completion("x") | {"choices": None},
    completion("x") | {"choices": []},
    completion("x") | {"choices": ["x"]},
    completion("x") | {"choices": [{"index": 0, "message": None}]},
    completion("x") | {"usage": {}},
    completion("x") | {"usage": {"prompt_tokens": 3}},
    completion("x") | {"usage": {"prompt_tokens": None, "completion_tokens": 3}},
    completion(None, tool_calls=[{"id": "1", "type": "function"}]),
    completion(["x"]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("body", BROKEN)
async def test_a_broken_answer_is_typed_and_worth_another_try(body):
    with serve(lambda _: body) as server, pytest.raises(ModelUnavailable, match="no readable chat completion") as error:
        await client(server.url).create(HELLO)
    assert error.value.retryable and server.url in str(error.value) and "KEEPSAKE_MODEL_URL" in error.value.hint


@pytest.mark.parametrize("usage", [{"prompt_tokens": 11, "completion_tokens": 3}, None])
async def test_a_call_says_whether_its_tokens_are_estimates(usage):
    seen = []
    with serve(lambda body: completion("done") | {"usage": usage}) as server:
        chat = client(server.url, on_usage=lambda prompt, completion, estimated: seen.append(estimated))
        roles = ModelRoles(chat, CompactProfile())
        await roles.ask("ledger", VIEW)
    assert [e.payload["estimated"] for e in roles.drain()] == seen == [usage is None]


async def test_the_retry_is_not_blind():
    answers = iter(["nonsense", "step 1 web: look"])
    with serve(lambda body: completion(next(answers))) as server:
        roles = ModelRoles(client(server.url), CompactProfile(), retries=2)
        value = await roles.ask("ledger", VIEW)
    assert value.next_speaker == "web"
    again = server.requests[1]["messages"]
    assert again[-2]["content"] == "nonsense" and "step 2 coder" in again[-1]["content"]
    assert [e.type for e in roles.drain()] == [EventType.MODEL_CALL, EventType.MODEL_RETRY, EventType.MODEL_CALL]


@pytest.mark.parametrize("text", ["", "   ", "{'not': json", "[1, 2]", '{"is_request_satisfied": true}', "word " * 20_000])
async def test_broken_answers_end_in_a_typed_error_after_bounded_retries(text):
    with serve(lambda body: completion(text)) as server, pytest.raises(ModelOutputInvalid):
        await ModelRoles(client(server.url), FullProfile(), retries=1).ask("ledger", VIEW)
    assert len(server.requests) == 2


async def test_an_answer_cut_at_the_limit_is_not_taken():
    with serve(lambda body: completion("half a sen", finish="length")) as server, pytest.raises(ModelOutputInvalid, match="cut off"):
        await ModelRoles(client(server.url), CompactProfile(), retries=0).ask("final", FinalView("t", []))
    assert server.requests[0]["max_tokens"] <= 100, "every role bounds its answer"


@pytest.mark.parametrize("wrapped", ["{}", "```json\n{}\n```", "<think>hm {{}} </think>\n{}", "Sure! {} Done."])
async def test_json_is_found_in_fences_and_after_thinking(wrapped):
    answer = '{"text": "42"}'
    with serve(
        lambda body: completion(wrapped.replace("{}", answer, 1) if "{{}}" not in wrapped else f"<think>hm</think>\n{answer}")
    ) as server:
        assert await ModelRoles(client(server.url), FullProfile()).ask("final", FinalView("t", [])) == "42"
