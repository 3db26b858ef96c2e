"""Agents from outside: any AutoGen ChatAgent joins as text only, or with its tools wrapped by the gate. What cannot be gated is refused.

A wrapped tool never runs when the agent calls it. The call becomes a canonical action of the run, the gate judges it, a turn of its own
carries it out, and the result reaches the agent as its next message; so approvals, intents and resumption work as for our own members.
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent, MessageFilterAgent, SocietyOfMindAgent, UserProxyAgent
from autogen_agentchat.base import ChatAgent, Response, Team
from autogen_agentchat.messages import BaseTextChatMessage, TextMessage
from autogen_agentchat.teams import GraphFlow, MagenticOneGroupChat, RoundRobinGroupChat, SelectorGroupChat, Swarm
from autogen_core import CancellationToken, ComponentModel, ComponentToConfig
from autogen_core.code_executor import CodeExecutor
from autogen_core.memory import ListMemory, Memory
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import BaseTool, StaticStreamWorkbench, StaticWorkbench, Workbench
from autogen_ext.agents.magentic_one import MagenticOneCoderAgent
from pydantic import BaseModel

from agents.member import Answer, Observation
from agents.roles import Roles
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from app.errors import SetupError, ToolError
from app.memento.grammar import neutralise
from app.schemas import Action, Effect

UNTRUSTED = "untrusted:tool"
# Stock agents that act by themselves, around any gate: a browser, files, programs, tools on a server. By name, so that none is imported.
_ACTING = {
    "MultimodalWebSurfer",
    "FileSurfer",
    "VideoSurfer",
    "CodeExecutorAgent",
    "OpenAIAgent",
    "OpenAIAssistantAgent",
    "AzureAIAgent",
}
# Stock classes known to do nothing but speak, once all that they hold is looked at. A subclass is not known.
_SPEAKING = {
    AssistantAgent,
    MagenticOneCoderAgent,
    MessageFilterAgent,
    SocietyOfMindAgent,
    UserProxyAgent,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
    MagenticOneGroupChat,
    GraphFlow,
    ListMemory,
}
_BENCHES = {StaticWorkbench, StaticStreamWorkbench}  # hold a fixed list of tools, which is looked at
_EFFECT_FIELDS = ("tools", "workbench", "handoffs", "code_executor")


class Handed(BaseModel):
    """What a wrapped tool tells its agent for now."""

    text: str = "The call was handed to the gate. Its result follows in the next message."


class GatedToolConfig(BaseModel):
    """What a dumped agent shows of a wrapped tool. `seal` tells it from any other tool, whatever that calls itself."""

    name: str
    effect: Effect
    seal: str


class GatedTool(BaseTool[BaseModel, Handed]):
    """Stands in for a tool: takes the agent's call down instead of running it.

    It can be dumped, so that its agent's config can be read, but not loaded: only `gated` binds it to a member.
    """

    component_provider_override = "agents.foreign.GatedTool"

    def __init__(self, tool: BaseTool[Any, Any], effect: Effect, take: Callable[[str, dict[str, Any]], None]) -> None:
        super().__init__(tool.args_type(), Handed, tool.name, tool.description)
        self.tool = tool
        self.effect = effect
        self.seal = secrets.token_hex(8)
        self._take = take

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> Handed:  # noqa: ARG002
        self._take(self.tool.name, args.model_dump(mode="json"))
        return Handed()

    def return_value_as_string(self, value: Any) -> str:
        return value.text if isinstance(value, Handed) else str(value)

    def _to_config(self) -> GatedToolConfig:
        return GatedToolConfig(name=self.name, effect=self.effect, seal=self.seal)


class ForeignMember:
    """See agents.member.Member. Build it with `text_only` or `gated`."""

    def __init__(self, agent: ChatAgent, tools: dict[str, GatedTool]) -> None:
        self.agent = agent
        self.name = agent.name
        self.description = agent.description
        self.tools = tools
        self.calls: list[tuple[str, dict[str, Any]]] = []

    @property
    def effects(self) -> dict[str, Effect]:
        """Effect of each wrapped tool, for the gate."""
        return {name: tool.effect for name, tool in self.tools.items()}

    @property
    def schemas(self) -> list[Mapping[str, Any]]:
        """What each wrapped tool takes, for the gate."""
        return [tool.schema for tool in self.tools.values()]

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer:  # noqa: ARG002
        queue: list[list[Any]] = block.scratch.setdefault("calls", [])
        if not queue:
            if not block.steps:
                await self._restore(state)
            self.calls.clear()
            text = await self._speak(self._message(block))
            state.memory[self.name] = dict(await self.agent.save_state())
            queue.extend([name, arguments] for name, arguments in self.calls)
            if not queue:
                return Answer(text)
        name, arguments = queue.pop(0)
        return Action(
            id=f"act_{secrets.token_hex(12)}",
            agent=self.name,
            kind=f"tool.{name}",
            effect=self.tools[name].effect,
            target=name,
            arguments=arguments,
            summary=f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"[:200],
        )

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:  # noqa: ARG002
        permit.check(action)
        tool = self.tools[action.target].tool
        try:
            result = await tool.run_json(action.arguments, CancellationToken())
        except Exception as error:  # the boundary: a foreign tool may raise anything
            raise ToolError(f"{action.target} failed: {type(error).__name__}: {str(error)[:200]}") from error
        return Observation(tool.return_value_as_string(result)[:4000], labels=[UNTRUSTED])

    async def look_again(self, state: TeamState, action: Action) -> str:  # noqa: ARG002
        return f"Nothing can be seen of {action.summary} from here."

    async def close(self) -> None:
        await self.agent.close()

    def _message(self, block: Block) -> str:
        """The instruction at first, then the results of the calls since the last answer."""
        if not block.steps:
            return block.instruction
        fresh = block.steps[block.scratch.get("told", 0) :]
        block.scratch["told"] = len(block.steps)
        return "\n".join(f"Result of {s.summary}: {s.observation}" for s in fresh)

    async def _restore(self, state: TeamState) -> None:
        if self.name in state.memory:
            await self.agent.load_state(state.memory[self.name])

    async def _speak(self, text: str) -> str:
        """One turn of the agent, its stream consumed to the end (leaving early breaks AutoGen's generators)."""
        answer = ""
        message = TextMessage(content=neutralise(text), source="orchestrator")  # its model client is not ours
        async for item in self.agent.on_messages_stream([message], CancellationToken()):
            if isinstance(item, Response):
                said = item.chat_message
                answer = said.content if isinstance(said, BaseTextChatMessage) else said.to_text()
        return answer


def text_only(agent: ChatAgent, *, sure: bool = False) -> ForeignMember:
    """A member that can only speak.

    `sure` is the person's word for what cannot be seen: that a class Keepsake does not know (any but AutoGen's own speaking agents, teams
    and list memory, subclasses included), or one whose config cannot be read, does nothing but speak. It excuses nothing that can be seen.

    Raises SetupError when the agent, or anything it holds, acts by itself or has tools, handoffs or executors; and, unless `sure`, when
    nobody can tell.
    """
    _check(agent, (), sure=sure, readable=not sure)
    return ForeignMember(agent, {})


def load_text_only(config: ComponentModel) -> ForeignMember:
    """`text_only` for an agent as AutoGen's component form. Looked at before it is loaded: loading a FunctionTool runs the source in it.

    Raises SetupError as `text_only`, and for a component that cannot be loaded.
    """
    name = str(config.config.get("name", config.provider))
    _refuse(name, [way for component in _components(config.model_dump()) for way in (*_shown(component, set()), *_source(component))])
    try:
        agent: ChatAgent = ChatAgent.load_component(config)  # type: ignore[attr-defined]
    except Exception as error:  # the boundary: a foreign class may raise anything
        raise SetupError(
            f"`{name}` cannot be loaded: {type(error).__name__}: {str(error)[:200]}", hint="See AutoGen's component form."
        ) from error
    return text_only(agent)


def gated(
    build: Callable[[Sequence[BaseTool[Any, Any]]], ChatAgent], tools: dict[BaseTool[Any, Any], Effect], *, sure: bool = False
) -> ForeignMember:
    """A member whose tools pass the gate. `build` gets the wrapped tools and makes the agent; `tools` says what each does to the world.

    `sure` is the person's word that an agent of a class Keepsake does not know acts through the tools handed in and in no other way.

    Raises SetupError when the agent has any tool but those, whatever its name, and else as `text_only`; a config must always be readable.
    """
    member: ForeignMember
    wrapped = {t.name: GatedTool(t, effect, lambda name, arguments: member.calls.append((name, arguments))) for t, effect in tools.items()}
    if len(wrapped) < len(tools):
        raise SetupError("Two of the tools have the same name.", hint="Rename one of them.")
    agent = build(list(wrapped.values()))
    _check(agent, wrapped.values(), sure=sure, readable=True)
    member = ForeignMember(agent, wrapped)
    return member


def _check(agent: ChatAgent, wrapped: Collection[GatedTool], *, sure: bool, readable: bool) -> None:
    """Raises SetupError unless the agent acts through `wrapped` alone, by what it holds and by what its config shows.

    Both are looked at. The objects are the truth, but an unknown class may hide them; a config is what the class says of itself, and a
    subclass says that it is its parent.
    """
    parts = _parts(agent, wrapped)
    for part in parts:
        if _ACTING & {c.__name__ for c in type(part).__mro__}:
            raise SetupError(
                f"{type(part).__name__} acts by itself, around the gate.", hint="Use Keepsake's own web, files and coder members instead."
            )
    _refuse(agent.name, [_named(part) for part in parts if _acts(part)])
    unknown = [type(part).__name__ for part in parts if isinstance(part, ChatAgent | Team | Memory) and type(part) not in _SPEAKING]
    if unknown and not sure:
        raise SetupError(
            f"Nobody can tell what {', '.join(unknown)} of `{agent.name}` does.",
            hint="Pass sure=True if you know that it does nothing of its own, or wrap its tools with gated().",
        )
    seals = {tool.seal for tool in wrapped}
    _refuse(agent.name, [field for component in _components(_dumped(agent, readable)) for field in _shown(component, seals)])


def _refuse(name: str, acting: list[str]) -> None:
    if acting:
        raise SetupError(
            f"`{name}` has {', '.join(sorted(set(acting)))} that would run around the gate.",
            hint="Build it with gated() and use only the tools handed in.",
        )


def _parts(agent: ChatAgent, wrapped: Collection[GatedTool]) -> list[Any]:
    """The components that an agent holds, itself first, however deep in fields, lists and each other.

    Left out are `wrapped` with the tools inside, and model clients: they answer, and some keep the tools of past calls.
    """
    parts: list[Any] = []
    seen = {id(tool) for tool in wrapped}
    queue: list[Any] = [agent]
    while queue:
        thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping):
            queue.extend(thing.values())
        elif isinstance(thing, list | tuple | set | frozenset):
            queue.extend(thing)
        elif isinstance(thing, ComponentToConfig) and not isinstance(thing, ChatCompletionClient):
            parts.append(thing)
            queue.extend(getattr(thing, "__dict__", {}).values())
    return parts


def _acts(part: Any) -> bool:
    """Whether a held component is a way to act. Handoffs count: AutoGen makes a tool of each, and whom they name is not in this team."""
    return isinstance(part, BaseTool | CodeExecutor) or (isinstance(part, Workbench) and type(part) not in _BENCHES)


def _named(part: Any) -> str:
    return f"tool {part.name}" if isinstance(part, BaseTool) else type(part).__name__


def _dumped(agent: ChatAgent, readable: bool) -> Any:
    """The agent's config as plain data. Raises SetupError when it cannot be read and has to be."""
    try:
        return agent.dump_component().model_dump()
    except Exception as error:  # the boundary: a foreign dump may raise anything
        if not readable:
            return None
        raise SetupError(
            f"Nobody can tell what `{agent.name}` does: its config cannot be read ({type(error).__name__}: {str(error)[:120]}).",
            hint="Its model client, tools and memory must be AutoGen components that can be dumped; text_only also takes sure=True.",
        ) from error


def _components(data: Any) -> Iterator[dict[str, Any]]:
    """The dumped components inside plain data, the outermost first."""
    if isinstance(data, Mapping):
        if "provider" in data and isinstance(data.get("config"), Mapping):
            yield dict(data)
        data = list(data.values())
    if isinstance(data, list | tuple):
        for item in data:
            yield from _components(item)


def _shown(component: Mapping[str, Any], seals: set[str]) -> list[str]:
    """Ways to act that a dumped component shows: an acting class, or a field with more than wrapped tools and the benches that hold them."""
    kind = str(component["provider"]).rpartition(".")[2]
    shown = [kind] if kind in _ACTING else []
    for field in _EFFECT_FIELDS:
        value = component["config"].get(field)
        held = value if isinstance(value, list) else [value] if value else []
        if not all(_harmless(item, seals) for item in held):
            shown.append(field)
    return shown


def _source(component: Mapping[str, Any]) -> list[str]:
    """Code and tools in a config, wherever they stand."""
    kind = str(component["provider"]).rpartition(".")[2]
    return [kind] if "source_code" in component["config"] or component.get("component_type") in ("tool", "code_executor") else []


def _harmless(dumped: Any, seals: set[str]) -> bool:
    """Whether this is a wrapped tool of this member, or a bench whose tools `_components` comes to by themselves."""
    if not isinstance(dumped, Mapping) or not isinstance(dumped.get("config"), Mapping):
        return False
    return str(dumped["config"].get("seal")) in seals or dumped.get("provider") in [b.component_provider_override for b in _BENCHES]
