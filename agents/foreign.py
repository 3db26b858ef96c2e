"""Agents from outside: any AutoGen ChatAgent joins as text only, or with its tools wrapped by the gate. What cannot be gated is refused.

A wrapped tool never runs when the agent calls it. The call becomes a canonical action of the run, the gate judges it, a turn of its own
carries it out, and the result reaches the agent as its next message; so approvals, intents and resumption work as for our own members.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from autogen_agentchat.base import ChatAgent, Response
from autogen_agentchat.messages import BaseTextChatMessage, TextMessage
from autogen_core import CancellationToken
from autogen_core.tools import BaseTool
from pydantic import BaseModel

from agents.member import Answer, Observation
from agents.roles import Roles
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from app.errors import SetupError, ToolError
from app.schemas import Action, Effect

UNTRUSTED = "untrusted:tool"
# Stock agents that act by themselves, around any gate: a browser, files, programs.
_ACTING = {
    "MultimodalWebSurfer",
    "FileSurfer",
    "VideoSurfer",
    "CodeExecutorAgent",
    "OpenAIAgent",
    "OpenAIAssistantAgent",
    "SocietyOfMindAgent",
}
_EFFECT_FIELDS = ("tools", "workbench", "handoffs", "code_executor", "team")


class Handed(BaseModel):
    """What a wrapped tool tells its agent for now."""

    text: str = "The call was handed to the gate. Its result follows in the next message."


class GatedTool(BaseTool[BaseModel, Handed]):
    """Stands in for a tool: takes the agent's call down instead of running it."""

    def __init__(self, tool: BaseTool[Any, Any], effect: Effect, take: Callable[[str, dict[str, Any]], None]) -> None:
        super().__init__(tool.args_type(), Handed, tool.name, tool.description)
        self.tool = tool
        self.effect = effect
        self._take = take

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> Handed:  # noqa: ARG002
        self._take(self.tool.name, args.model_dump(mode="json"))
        return Handed()

    def return_value_as_string(self, value: Any) -> str:
        return value.text if isinstance(value, Handed) else str(value)


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
        async for item in self.agent.on_messages_stream([TextMessage(content=text, source="orchestrator")], CancellationToken()):
            if isinstance(item, Response):
                message = item.chat_message
                answer = message.content if isinstance(message, BaseTextChatMessage) else message.to_text()
        return answer


def text_only(agent: ChatAgent, *, sure: bool = False) -> ForeignMember:
    """A member that can only speak. Raises SetupError when the agent acts by itself, or may (`sure` is the person's word for unknown classes)."""
    kind = type(agent).__name__
    if kind in _ACTING:
        raise SetupError(f"{kind} acts by itself, around the gate.", hint="Use Keepsake's own web, files and coder members instead.")
    try:
        config = agent.dump_component().config  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):
        config = None
    if config is None and not sure:
        raise SetupError(
            f"Nobody can tell what {kind} `{agent.name}` does.", hint="Pass sure=True if it only speaks, or wrap its tools with gated()."
        )
    acting = [field for field in _EFFECT_FIELDS if _acts(config, field)]
    if acting:
        raise SetupError(
            f"`{agent.name}` has {', '.join(acting)} that would run around the gate.", hint="Build it with gated() and its tools."
        )
    return ForeignMember(agent, {})


def gated(build: Callable[[Sequence[BaseTool[Any, Any]]], ChatAgent], tools: dict[BaseTool[Any, Any], Effect]) -> ForeignMember:
    """A member whose tools pass the gate. `build` gets the wrapped tools and makes the agent; `tools` says what each does to the world."""
    member: ForeignMember
    wrapped = {t.name: GatedTool(t, effect, lambda name, arguments: member.calls.append((name, arguments))) for t, effect in tools.items()}
    agent = build(list(wrapped.values()))
    member = ForeignMember(agent, wrapped)
    try:
        config = agent.dump_component().config  # type: ignore[attr-defined]
    except (AttributeError, NotImplementedError):
        config = {}
    own = {t.get("config", {}).get("name", "?") for t in _tools(config)} - set(wrapped)
    if own:
        raise SetupError(f"`{agent.name}` kept tools of its own: {', '.join(sorted(own))}.", hint="Use only the tools handed in.")
    return member


def _tools(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Tools in an agent's config, also those inside a static workbench (where AssistantAgent puts them)."""
    benches = config.get("workbench") or []
    inside = [
        t for bench in (benches if isinstance(benches, list) else [benches]) for t in _plain(bench).get("config", {}).get("tools", [])
    ]
    return [_plain(t) for t in [*(config.get("tools") or []), *inside]]


def _acts(config: dict[str, Any] | None, field: str) -> bool:
    """Whether a field of an agent's config means effects; a static workbench without tools does not."""
    if not config or not config.get(field):
        return False
    if field != "workbench":
        return True
    benches = config[field] if isinstance(config[field], list) else [config[field]]
    static = all("StaticWorkbench" in (p := _plain(b)["provider"]) or "StaticStreamWorkbench" in p for b in benches)
    return not static or bool(_tools(config))


def _plain(component: Any) -> dict[str, Any]:
    return component if isinstance(component, dict) else component.model_dump()
