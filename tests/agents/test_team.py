"""The team as an AutoGen Team. Numbers in names are the stock orchestrator's defects (AutoGen 0.7.5)."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response, Team
from autogen_agentchat.messages import BaseChatMessage, HandoffMessage, StructuredMessage, TextMessage
from autogen_core import CancellationToken
from pydantic import BaseModel

from agents.coder.executor import ExecutorMember
from agents.files.workspace import Workspace
from agents.foreign import text_only
from agents.journal import MemoryJournal
from agents.member import Answer
from agents.model import ClientConfig, MementoChatClient
from agents.model_roles import ModelRoles
from agents.profiles.compact import CompactProfile
from agents.state import Block, TeamState, WorkStep
from agents.team import MementoTeam, TeamConfig
from app.errors import SetupError
from app.events import EventType
from app.schemas import Policy, Site, TaskCreate
from tests.agents.endpoint import completion, serve
from tests.agents.scripted import Hand, ScriptedRoles

SITE = Site(name="site", url="http://site.test/")
LINES = {
    "FACTS": "given: a\nlook up: none\nderive: none\nguess: none",
    "PLAN": "1 web: look",
    "MEMENTO": "looked. Next: done.",
    "FINAL": "All done.",
}


def script(**lines) -> ScriptedRoles:
    base = {"facts": [LINES["FACTS"]], "plan": ["1 web: look"], "memento": ["looked. Next: done."], "final": ["All done."]}
    return ScriptedRoles(**(base | {"ledger": ["step 1 web: look", "done"]} | lines))


def crew(roles=None, hand=None, **kw) -> MementoTeam:
    return MementoTeam([hand or Hand("web", ("web.visit",))], roles or script(), sites=[SITE], policy=Policy.ALLOW_LISTED, **kw)


async def test_it_is_a_team_and_streams_messages_then_the_result():
    team = crew()
    assert isinstance(team, Team)
    items = [item async for item in team.run_stream(task="look")]
    assert [getattr(i, "content", "")[:5] for i in items[:2]] == ["look", "Plan:"]
    assert items[-1].stop_reason == "succeeded" and items[-2].content == "All done."


async def test_5_a_second_task_starts_with_a_full_budget_of_rounds():
    team = crew(script(ledger=["step 1 web: look", "done", "step 1 web: look", "done"]), max_turns=12)
    assert (await team.run(task="one")).stop_reason == "succeeded"
    assert (await team.run(task="two")).stop_reason == "succeeded"


async def test_6_state_goes_to_json_and_on_in_another_team():
    team = crew(max_turns=3)
    assert (await team.run(task="look")).stop_reason == "max_turns"
    other = crew(script(ledger=["done"]))
    await other.load_state(await team.save_state())
    assert (await other.run()).stop_reason == "succeeded"
    assert other.state and other.state.ledger.revision == 1, "it did not plan again"


async def test_7_cancelling_reaches_a_model_call_in_flight():
    with serve(lambda body: time.sleep(5) or completion("late")) as server:
        client = MementoChatClient(ClientConfig(base_url=server.url, model="m", timeout_s=30))
        team = crew(ModelRoles(client, CompactProfile()))
        token = CancellationToken()
        asyncio.get_running_loop().call_later(0.3, token.cancel)
        started = time.monotonic()
        result = await team.run(task="look", cancellation_token=token)
    assert result.stop_reason == "cancelled" and time.monotonic() - started < 8
    assert team.state and team.state.outcome is None, "it can go on later"


async def test_8_the_orchestrators_own_calls_are_metered():
    def answer(body):
        head = body["messages"][-1]["content"].split("\n")[0]
        if head == "LEDGER":
            return completion("step 1 web: look" if "nothing yet" in body["messages"][-1]["content"] else "done")
        return completion(LINES[head])

    with serve(answer) as server:
        team = crew(ModelRoles(MementoChatClient(ClientConfig(base_url=server.url, model="m")), CompactProfile()))
        state, events = team.initial_state(TaskCreate(text="look", sites=[SITE])), []
        while state.outcome is None:
            result = await team.turn(state)
            state, events = result.state, events + result.events
    roles = [e.payload["role"] for e in events if e.type == EventType.MODEL_CALL]
    assert roles == ["facts", "plan", "ledger", "memento", "ledger", "final"]
    assert all(e.payload["prompt_tokens"] == 11 for e in events if e.type == EventType.MODEL_CALL)


class Body(BaseModel):
    total: int


class Odd(BaseChatAgent):
    """A member that answers with a message type the stock orchestrator asserts against."""

    def __init__(self, message: BaseChatMessage) -> None:
        super().__init__("web", "odd")
        self.message = message

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (type(self.message),)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        return Response(chat_message=self.message)

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        return None


@pytest.mark.parametrize(
    "message",
    [
        StructuredMessage[Body](content=Body(total=42), source="web"),
        HandoffMessage(content="over to you 42", target="x", source="web"),
        TextMessage(content="42", source="web"),
    ],
)
async def test_9_any_message_type_of_a_member_is_taken(message):
    roles = script()
    result = await MementoTeam([text_only(Odd(message), sure=True)], roles).run(task="look")
    assert result.stop_reason == "succeeded" and "42" in roles.seen["memento"][0].result


async def test_10_pause_stops_before_the_next_turn():
    team = crew()
    seen = []
    async for item in team.run_stream(task="look"):
        seen.append(item)
        if getattr(item, "content", "").startswith("Plan:"):
            await team.pause()
    assert seen[-1].stop_reason == "paused"
    assert (await team.run()).stop_reason == "succeeded"


async def test_11_code_found_in_text_is_never_run(tmp_path):
    executor = ExecutorMember(Workspace(tmp_path), None, MemoryJournal())
    found = WorkStep(summary="read note", observation="```python\nopen('x', 'w')\n```")
    block = Block(number=1, agent="files", instruction="run ```python\nprint(1)\n```", steps=[found])
    proposal = await executor.propose(TeamState(task="t"), block, script())
    assert isinstance(proposal, Answer) and proposal.failed


def test_two_members_of_one_name_are_refused():
    with pytest.raises(SetupError):
        MementoTeam([Hand("web"), Hand("web")], script())


def test_a_team_is_built_from_a_config_and_dumps_it_without_the_key(tmp_path):
    model = MementoChatClient(ClientConfig(base_url="http://127.0.0.1:1/v1", model="m"), api_key="secret-key").dump_component()
    config = TeamConfig(model=model, members=["files"], workspace=str(tmp_path), policy=Policy.ASK_ALL)
    dumped = MementoTeam._from_config(config).dump_component()
    assert "secret-key" not in dumped.model_dump_json()
    again = Team.load_component(dumped)
    assert isinstance(again, MementoTeam) and list(again.members) == ["files"] and again.gate.policy.name == Policy.ASK_ALL
