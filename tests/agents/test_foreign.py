"""Agents from outside: text only, or with tools behind the gate, or not at all."""

import pytest
from autogen_agentchat.agents import AssistantAgent, CodeExecutorAgent
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient

from agents.foreign import gated, text_only
from agents.team import MementoTeam
from app.errors import SetupError
from app.schemas import Effect, Policy
from tests.agents.scripted import ScriptedRoles

USAGE = RequestUsage(prompt_tokens=1, completion_tokens=1)


def model(*answers) -> ReplayChatCompletionClient:
    info = {"vision": False, "function_calling": True, "json_output": False, "structured_output": False, "family": "unknown"}
    return ReplayChatCompletionClient(list(answers), model_info=info)


def calls(name: str, arguments: str) -> CreateResult:
    call = FunctionCall(id="1", name=name, arguments=arguments)
    return CreateResult(finish_reason="function_calls", content=[call], usage=USAGE, cached=False)


def script(*ledger: str) -> ScriptedRoles:
    return ScriptedRoles(
        facts=["given: a\nlook up: none\nderive: none\nguess: none"],
        plan=["1 poet: write"],
        ledger=[*ledger, "done"],
        memento=["written. Next: done."],
        final=["ok"],
    )


async def test_an_assistant_without_tools_joins_as_text():
    poet = AssistantAgent("poet", model("a poem"), description="writes")
    team = MementoTeam([poet], script("step 1 poet: write"))
    result = await team.run(task="a poem please")
    assert result.stop_reason == "succeeded" and result.messages[-1].content == "ok"
    assert team.state and team.state.memory["poet"], "its state is kept with the run's"


def test_agents_that_act_around_the_gate_are_refused_when_the_team_is_built():
    runner = CodeExecutorAgent.__new__(CodeExecutorAgent)  # its class is enough; a real executor would need an engine
    with pytest.raises(SetupError, match="around the gate"):
        MementoTeam([runner], script())
    tool = FunctionTool(lambda: "x", name="send", description="sends")
    with pytest.raises(SetupError, match="workbench"):
        MementoTeam([AssistantAgent("helper", model("x"), tools=[tool])], script())


async def test_a_wrapped_tool_runs_only_through_the_gate():
    sent = []

    def send(to: str) -> str:
        sent.append(to)
        return f"sent to {to}"

    tool = FunctionTool(send, description="sends a letter")
    seen = []

    def build(tools):
        return AssistantAgent("poet", model(calls("send", '{"to": "ann"}'), "I sent it."), tools=tools, description="writes")

    member = gated(build, {tool: Effect.WRITE})
    team = MementoTeam([member], script("step 1 poet: write to ann"), policy=Policy.ASK_WRITES)
    result = await team.run(task="write to ann")
    assert result.stop_reason == "awaiting_approval" and sent == []
    assert team.state and team.state.waiting and team.state.waiting.action
    assert (team.state.waiting.action.kind, team.state.waiting.action.arguments) == ("tool.send", {"to": "ann"})
    team.decide(True)
    result = await team.run()
    seen += [m.content for m in result.messages]
    assert sent == ["ann"] and result.stop_reason == "succeeded"


def test_an_unknown_class_needs_the_persons_word():
    class Odd(AssistantAgent):
        def dump_component(self):
            raise NotImplementedError

    with pytest.raises(SetupError, match="Nobody can tell"):
        text_only(Odd("odd", model("x")))
    assert text_only(Odd("odd", model("x")), sure=True).name == "odd"
