"""Plays a task with the oracle through the real orchestrator, files, coder and sandbox; the browser is httpx over the same pages.

Every completion goes through the compact profile: it must match the server's constraint and parse to a typed value, as the model's would.
"""

import csv
import io
import random
import re
import secrets
from typing import Any

import httpx
from lxml import html as lxml_html

from agents.coder.agent import CoderMember
from agents.coder.executor import ExecutorMember
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.member import Answer, Observation
from agents.orchestrator import Orchestrator
from agents.profiles.compact import CompactProfile
from agents.roles import WebChoice, WebView
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.sandbox import Sandbox
from agents.state import Outcome, TeamState
from agents.web.screen.base import PageView
from agents.web.screen.static import read_html
from app.schemas import Action, Effect, Policy
from infra.worlds import tracker
from infra.worlds.instance import WorldInstance
from infra.worlds.oracle import Oracle


class OracleRoles:
    """Roles answered by the oracle, held to the same line grammar as the model. `calls` keeps (role, prompt, completion).

    With `slips`, that share of browser steps is a click on any link instead: the oracle must find its way back.
    """

    def __init__(self, oracle: Oracle, slips: float = 0.0) -> None:
        self.oracle = oracle
        self.slips = slips
        self.random = random.Random(oracle.task.seed)
        self.profile = CompactProfile()
        self.calls: list[tuple[str, str, str]] = []

    async def ask(self, role: str, view: Any) -> Any:
        text = self.oracle.decide(role, view)
        links = [e for e in view.page.elements if e.kind == "link"] if role == "web" and view.page else []
        if links and self.random.random() < self.slips:
            text = f"click {self.random.choice(links).label}"
        prompt = self.profile.prompt(role, view)
        assert prompt.constraint.regex is None or re.fullmatch(prompt.constraint.regex, text), f"{role}: {text!r} breaks the constraint"
        self.calls.append((role, prompt.messages[-1]["content"], text))
        return self.profile.parse(role, text, view)

    def drain(self) -> list[Any]:
        return []


class StaticWeb:
    """A browser member without a browser: GET and POST by httpx, pages read by agents.web.screen.static."""

    name = "web"
    description = "Uses the task's sites."

    def __init__(self, world: WorldInstance) -> None:
        self.world = world
        cookies = {c["name"]: c["value"] for c in tracker.profile()["cookies"]}
        self.client = httpx.AsyncClient(cookies=cookies, follow_redirects=True, verify=False)
        self.page: PageView | None = None
        self.nodes: dict[int, Any] = {}  # element id -> node of the parsed page
        self.typed: dict[int, tuple[str, str]] = {}  # element id -> (form name, value)

    async def propose(self, state: TeamState, block: Any, roles: Any) -> Action | Answer:
        names = [s.name for s in self.world.sites]
        choice: WebChoice = await roles.ask("web", WebView(block.instruction, names, [s.summary for s in block.steps], self.page))
        if choice.verb == "answer":
            return Answer(choice.text)
        element = self.page.element(choice.element) if self.page and choice.element else None
        target, effect = self.page.url if self.page else "", Effect.READ
        if choice.verb == "visit":
            target = next(s.url for s in self.world.sites if s.name == choice.text)
        elif choice.verb == "save_table":
            target, effect = choice.text, Effect.WRITE
        elif element and element.href:
            target = element.href
        elif element and element.submits:
            target = f"{element.form_method.upper()} {element.form_action}"
            effect = Effect.WRITE if element.form_method == "post" else Effect.READ
        summary = f"{choice.verb.replace('_', ' ')} {f'{element.kind} {element.name}' if element else choice.text}"
        summary += f": {choice.text}" if choice.verb in {"type", "select"} else ""
        arguments = {"element": choice.element, "text": choice.text}
        return Action(
            id=secrets.token_hex(8),
            agent="web",
            kind=f"web.{choice.verb}",
            effect=effect,
            target=target,
            arguments=arguments,
            summary=summary,
        )

    async def perform(self, state: TeamState, block: Any, action: Action, permit: Any) -> Observation:
        permit.check(action)
        verb, number, text = action.kind.removeprefix("web."), action.arguments["element"], action.arguments["text"]
        if verb == "visit":
            self._show(await self.client.get(action.target))
        elif verb == "save_table":
            assert self.page is not None
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows(self.page.table)
            Workspace(self.world.workspace).write(action.target, buffer.getvalue(), permit, action)
            return Observation("saved")
        elif verb in {"type", "select"}:
            self._fill(number, text)
        elif action.target.startswith(("GET ", "POST ")):
            method, _, url = action.target.partition(" ")
            fields = self._fields(number)
            headers = {"Referer": self.page.url} if self.page else {}
            if method == "GET":
                self._show(await self.client.get(url, params=fields, headers=headers))
            else:
                self._show(await self.client.post(url, data=fields, headers=headers))
        else:
            self._show(await self.client.get(action.target))
        return Observation(self.page.title if self.page else "")

    async def look_again(self, state: TeamState, action: Action) -> str:
        return "seen"

    async def close(self) -> None:
        await self.client.aclose()

    def _show(self, response: httpx.Response) -> None:
        self.page, self.typed = read_html(response.text, str(response.url), response.status_code), {}
        root = lxml_html.document_fromstring(response.text or "<p>")
        for kinds, nodes in ((("box", "select"), _fields(root)), (("button",), _buttons(root))):
            ids = [e.id for e in self.page.elements if e.kind in kinds]
            assert len(ids) == len(nodes), f"{self.page.title}: {ids} are not {nodes}"
            self.nodes |= dict(zip(ids, nodes, strict=True))

    def _fill(self, number: int, text: str) -> None:
        assert self.page is not None
        element, node = self.page.element(number), self.nodes[number]
        assert element is not None
        value = text
        if node.tag == "select":
            value = next(o.get("value", o.text) for o in node.iter("option") if o.text == text)
        self.typed[number] = (node.get("name"), value)
        filled = [e.model_copy(update={"value": text}) if e.id == number else e for e in self.page.elements]
        self.page = self.page.model_copy(update={"elements": filled})

    def _fields(self, number: int) -> dict[str, str]:
        button = self.nodes[number]
        form = next(button.iterancestors("form"))
        fields = {}
        for node in form.iter("input", "textarea", "select"):
            if node.get("type") != "submit":
                fields[node.get("name")] = node.get("value") or ""
        fields |= {name: value for n, (name, value) in self.typed.items() if form in self.nodes[n].iterancestors()}
        return fields | ({button.get("name"): button.get("value", "")} if button.get("name") else {})


def _fields(root: Any) -> list[Any]:
    return [n for n in root.iter("input", "textarea", "select") if n.get("type") not in ("hidden", "submit")]


def _buttons(root: Any) -> list[Any]:
    return [n for n in root.iter("button", "input") if n.tag == "button" or n.get("type") == "submit"]


async def rehearse(world: WorldInstance, sandbox: Sandbox, slips: float = 0.0, max_turns: int = 200) -> tuple[Outcome, OracleRoles]:
    """Run the oracle's team to its end and return how it ended and every role call."""
    roles = OracleRoles(Oracle(world.task), slips)
    space, keeper, web = Workspace(world.workspace), MemoryJournal(), StaticWeb(world)
    members = [web, FilesMember(space, keeper), CoderMember(space), ExecutorMember(space, sandbox, keeper)]
    gate = Gate(Policy.ALLOW_LISTED, Grants.of_task(world.sites, set()))
    team = Orchestrator(roles, {m.name: m for m in members}, gate, keeper, _count)
    state = TeamState(task=world.task.text, sites=world.sites)
    try:
        for _ in range(max_turns):
            state = (await team.turn(state)).state
            if state.outcome:
                return state.outcome, roles
    finally:
        await web.close()
    raise AssertionError(f"no end after {max_turns} turns: {[m.text for m in state.mementos]}")


async def _count(text: str) -> tuple[int, bool]:
    return len(text) // 4, True
