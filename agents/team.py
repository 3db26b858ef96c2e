"""The team: an AutoGen Team through its public interface, built from a config, that takes one turn at a time over JSON state.

`open_team` builds the house team for a run; `MementoTeam` also takes any members and any ChatCompletionClient.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autogen_agentchat.base import ChatAgent, TaskResult, Team
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage, BaseTextChatMessage, TextMessage
from autogen_core import CancellationToken, Component, ComponentModel
from autogen_core.models import ChatCompletionClient
from pydantic import BaseModel, Field

from agents.coder.agent import CoderMember
from agents.coder.executor import ExecutorMember
from agents.context import Context, TokenCounter
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.foreign import ForeignMember, load_text_only, text_only
from agents.journal import ArtifactSink, Journal, MemoryJournal
from agents.member import Member
from agents.model import MementoChatClient, estimate_tokens
from agents.model_roles import ModelRoles
from agents.orchestrator import Limits, Orchestrator
from agents.profiles import incremental
from agents.profiles.base import Profile
from agents.profiles.compact import CompactProfile
from agents.profiles.full import FullProfile
from agents.roles import Roles
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.sandbox import choose
from agents.state import Decision, Inbox, TeamState, TurnResult
from agents.stream import Stream
from agents.web.agent import WebMember
from app.config import Settings, get_settings
from app.errors import InvalidInput, SetupError
from app.events import EventType, NewEvent
from app.policies.base import PolicyFile
from app.schemas import Policy, Site, TaskCreate
from app.vault import Vault

PROFILES: dict[str, type[CompactProfile] | type[FullProfile]] = {"compact": CompactProfile, "full": FullProfile}


class TeamConfig(BaseModel):
    """A team as data: AutoGen's component form. Foreign members join as text only; our own are named."""

    model: ComponentModel
    profile: str = "full"
    members: list[str] = Field(default_factory=lambda: ["web", "files", "coder"])
    foreign: list[ComponentModel] = Field(default_factory=list)
    sites: list[Site] = Field(default_factory=list)
    workspace: str = "workspace"
    policy: Policy | PolicyFile = Policy.ASK_WRITES
    max_stalls: int = 3
    max_replans: int = 2
    max_turns: int = 200


class MementoTeam(Team, Component[TeamConfig]):
    """Magentic-One's orchestration with mementos. One `turn` at a time, or `run` / `run_stream` to the next wait or the end."""

    component_type = "team"
    component_config_schema = TeamConfig
    component_provider_override = "agents.team.MementoTeam"

    def __init__(
        self,
        members: Sequence[Member | ChatAgent],
        roles: Roles,
        *,
        sites: Sequence[Site] = (),
        policy: str | PolicyFile = Policy.ASK_WRITES,
        gate: Gate | None = None,
        journal: Journal | None = None,
        count: TokenCounter | None = None,
        limits: Limits | None = None,
        max_turns: int = 200,
        name: str = "keepsake",
        context: Context = "text",
        config: TeamConfig | None = None,
    ) -> None:
        """Raises SetupError for a member whose effects cannot be gated, or two members of one name."""
        joined = [text_only(m) if isinstance(m, ChatAgent) else m for m in members]
        self.members = {m.name: m for m in joined}
        if len(self.members) < len(joined) or not joined:
            raise SetupError("A team needs members with different names.", hint="Rename one of them.")
        foreign = [m for m in joined if isinstance(m, ForeignMember)]
        self.gate = gate or Gate(policy, Grants.of_task(list(sites), get_settings().own_ports))
        self.gate.take_tools({t: e for m in foreign for t, e in m.effects.items()}, [schema for m in foreign for schema in m.schemas])
        self.sites = list(sites)
        self.roles = roles
        self.orchestrator = Orchestrator(roles, self.members, self.gate, journal or MemoryJournal(), count or _estimate, limits)
        self.max_turns = max_turns
        self.context: Context = context
        self.state: TeamState | None = None
        self._name = name
        self._config = config
        self._paused = False
        self._inbox = Inbox()

    # One turn: what the durable engine uses

    def initial_state(self, task: TaskCreate) -> TeamState:
        """The state before the first turn."""
        stream = Stream() if self.context == "stream" else None
        return TeamState(task=task.text, sites=task.sites, review_plan=task.review_plan, stream=stream)

    async def turn(self, state: TeamState, inbox: Inbox | None = None) -> TurnResult:
        """See Orchestrator.turn."""
        return await self.orchestrator.turn(state, inbox)

    async def close(self) -> None:
        """Close the browser, the sandbox and what else members hold."""
        for member in self.members.values():
            await member.close()

    # AutoGen's Team

    @property
    def name(self) -> str:
        return self._name

    @property
    def description(self) -> str:
        return "Plans a task, works it off with its members, checks every effect, and reasons from mementos."

    async def run(
        self,
        *,
        task: str | BaseChatMessage | Sequence[BaseChatMessage] | None = None,
        cancellation_token: CancellationToken | None = None,
        output_task_messages: bool = True,
    ) -> TaskResult:
        result = TaskResult(messages=[])
        async for item in self.run_stream(task=task, cancellation_token=cancellation_token, output_task_messages=output_task_messages):
            if isinstance(item, TaskResult):
                result = item
        return result

    async def run_stream(
        self,
        *,
        task: str | BaseChatMessage | Sequence[BaseChatMessage] | None = None,
        cancellation_token: CancellationToken | None = None,
        output_task_messages: bool = True,
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | TaskResult, None]:
        """Messages as they happen, then the TaskResult. Ends early with a stop reason `awaiting_…` when a person is needed: call `decide` or
        pass the answer as the next task, and run on with task=None. A new task while one is open is a steer."""
        text = _task_text(task)
        messages: list[BaseAgentEvent | BaseChatMessage] = []
        if text is not None and (self.state is None or self.state.outcome is not None):
            self.state = self.initial_state(TaskCreate(text=text, sites=self.sites))
            if output_task_messages:
                messages.append(TextMessage(content=text, source="user"))
                yield messages[-1]
        elif text is not None:
            self._inbox.messages.append(text)
        if self.state is None:
            raise InvalidInput("There is no task to go on with.", hint="Pass task=… first.")
        self._paused = False
        reason = ""
        for _ in range(self.max_turns):
            if cancellation_token is not None and cancellation_token.is_cancelled():
                reason = "cancelled"
            elif self._paused:
                reason = "paused"
            if reason:
                break
            inbox, self._inbox = self._inbox, Inbox()
            work = asyncio.ensure_future(self.turn(self.state, inbox))
            if cancellation_token is not None:
                cancellation_token.link_future(work)  # reaches a model call in flight at once
            try:
                result = await work
            except asyncio.CancelledError:
                if cancellation_token is None or not cancellation_token.is_cancelled():
                    raise
                reason = "cancelled"
                break
            self.state = result.state
            for event in result.events:
                message = _as_message(event)
                if message is not None:
                    messages.append(message)
                    yield message
            reason = _stop_reason(self.state)
            if reason:
                break
        if self.state.outcome is not None:
            messages.append(TextMessage(content=_outcome_text(self.state), source=self.name))
            yield messages[-1]
        yield TaskResult(messages=messages, stop_reason=reason or "max_turns")

    def decide(self, approved: bool, explanation: str = "") -> None:
        """A person's decision on what the team waits for; taken by the next run."""
        if self.state is None or self.state.waiting is None:
            raise InvalidInput("The team waits for nothing.", hint="Run it first.")
        self._inbox.decisions.append(Decision(waiting_id=self.state.waiting.id, approved=approved, explanation=explanation))

    async def reset(self) -> None:
        self.state = None
        self._inbox = Inbox()
        for member in self.members.values():
            if isinstance(member, ForeignMember):
                await member.agent.on_reset(CancellationToken())

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False

    async def save_state(self) -> Mapping[str, Any]:
        return self.state.model_dump(mode="json") if self.state else {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self.state = TeamState.model_validate(state) if state else None

    def _to_config(self) -> TeamConfig:
        if self._config is None:
            raise SetupError("This team was not built from a config.", hint="Build it with MementoTeam.load_component.")
        return self._config

    @classmethod
    def _from_config(cls, config: TeamConfig) -> "MementoTeam":
        if config.profile not in PROFILES:
            raise SetupError(f"There is no profile `{config.profile}`.", hint=f"Known: {', '.join(PROFILES)}.")
        client = ChatCompletionClient.load_component(config.model)
        settings, keeper = get_settings(), MemoryJournal()
        gate = Gate(config.policy, Grants.of_task(config.sites, settings.own_ports))
        own = house_members(settings, config.sites, Path(config.workspace), gate, keeper, config.members)
        return cls(
            [*own, *map(load_text_only, config.foreign)],
            ModelRoles(client, PROFILES[config.profile](), settings.model_retries),
            sites=config.sites,
            gate=gate,
            journal=keeper,
            count=_counter(client),
            limits=Limits(max_stalls=config.max_stalls, max_replans=config.max_replans),
            max_turns=config.max_turns,
            config=config,
        )


def house_members(
    settings: Settings,
    sites: list[Site],
    workspace: Path,
    gate: Gate,
    artifacts: ArtifactSink,
    names: Sequence[str] = ("web", "files", "coder"),
) -> list[Member]:
    """Our own members by name; the executor comes with the coder. Raises SandboxUnavailable when no sandbox runs here."""
    space = Workspace(workspace)
    members: list[Member] = []
    for name in names:
        if name == "web":
            members.append(WebMember(settings, sites, artifacts, gate.allows_request, space.write, vault=gate.vault))
        elif name == "files":
            members.append(FilesMember(space, artifacts))
        elif name == "coder":
            members += [CoderMember(space), ExecutorMember(space, choose(settings), artifacts)]
        else:
            raise SetupError(f"There is no member `{name}` in the house.", hint="Known: web, files, coder.")
    return members


def open_team(
    settings: Settings,
    *,
    task: TaskCreate,
    workspace: Path,
    journal: Journal,
    artifacts: ArtifactSink,
    client: ChatCompletionClient | None = None,
    profile: Profile | None = None,
) -> MementoTeam:
    """The house team for one run. The caller closes it."""
    client = client or MementoChatClient.from_settings(settings)
    profile = profile or PROFILES[settings.effective_profile]()
    vault = Vault.read(settings.secrets_path, {site.name: site.url for site in task.sites})
    gate = Gate(task.policy, Grants.of_task(task.sites, settings.own_ports), vault=vault)
    return MementoTeam(
        house_members(settings, task.sites, workspace, gate, artifacts),
        ModelRoles(client, profile, settings.model_retries),
        sites=task.sites,
        gate=gate,
        journal=journal,
        count=_counter(client),
        limits=Limits(settings.max_stalls, settings.max_replans),
        context=settings.model_context if isinstance(client, MementoChatClient) and profile.name in incremental.PROFILES else "text",
    )


def _counter(client: ChatCompletionClient) -> TokenCounter:
    return client.count if isinstance(client, MementoChatClient) else _estimate


async def _estimate(text: str) -> tuple[int, bool]:
    return estimate_tokens(text), True


def _task_text(task: str | BaseChatMessage | Sequence[BaseChatMessage] | None) -> str | None:
    if task is None or isinstance(task, str):
        return task
    parts = [task] if isinstance(task, BaseChatMessage) else list(task)
    return "\n".join(m.content if isinstance(m, BaseTextChatMessage) else m.to_text() for m in parts)


def _as_message(event: NewEvent) -> BaseChatMessage | None:
    p = event.payload
    if event.type == EventType.TASK_LEDGER:
        steps = "\n".join(f"{s['number']} {s['agent']}: {s['instruction']}" for s in p["plan"])
        return TextMessage(content=f"Plan:\n{steps}", source="orchestrator")
    if event.type == EventType.PROGRESS_LEDGER and p["next_speaker"]:
        return TextMessage(content=f"{p['next_speaker']}: {p['instruction']}", source="orchestrator")
    if event.type == EventType.MEMENTO:
        return TextMessage(content=p["text"], source=event.agent or "orchestrator")
    if event.type in {EventType.APPROVAL_REQUESTED, EventType.INPUT_REQUESTED}:
        return TextMessage(content=p.get("question") or p["reason"], source="orchestrator")
    return None


def _stop_reason(state: TeamState) -> str:
    if state.outcome is not None:
        return state.outcome.status
    if state.waiting is not None:
        return "awaiting_input" if state.waiting.kind == "input" else "awaiting_approval"
    return ""


def _outcome_text(state: TeamState) -> str:
    outcome = state.outcome
    assert outcome is not None
    return outcome.answer or (outcome.refusal or {}).get("reason") or (outcome.error or {}).get("message") or outcome.status
