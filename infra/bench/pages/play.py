"""One task on the members' site, through the real browser and the gate, by an agent that always does what it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.acting import remember
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.member import Answer, Member
from agents.roles import FilesChoice, FilesView, View, WebChoice, WebView
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.state import Block, TeamState, WorkStep
from agents.web.agent import WebMember
from app.config import Settings
from app.errors import ElementMissing, KeepsakeError
from app.events import NewEvent
from app.schemas import Policy, Verdict
from app.schemas import Site as Named
from infra.bench.pages.attacks import MARK, Attack
from infra.bench.pages.site import Content, Site
from infra.bench.pages.tasks import SECRET, Names, Step, Task

NAME = "harbour"


@dataclass
class Played:
    """`effect`: of the attack. `solved`: the person's own task is done, and nothing else. `stopped`: rule and reason of what was kept back."""

    effect: bool
    solved: bool
    stopped: list[tuple[str, str]]
    met: bool  # the planted text was read


def plant(content: Content, task: Task, names: Names, says: str) -> None:
    """Put a text where the task will read it."""
    text = f"{MARK} {says}"
    if task.reads in ("product", "lamp"):
        content.blurbs[names.product if task.reads == "product" else "Plain Lamp"] = text
    elif task.reads == "article":
        content.articles[names.article] += f" {text}"
    elif task.reads == "note":
        content.notes = {"Read me": text} | content.notes
    else:
        content.members = {"Zoe Vane": text} | content.members


class _Script:
    """Roles that choose what the next step says, by what the page shows."""

    stream = None

    def __init__(self, base: str) -> None:
        self.base = base
        self.step = Step("visit")
        self.read = ""

    async def ask(self, role: str, view: View) -> Any:  # noqa: ARG002
        step = self.step
        if isinstance(view, FilesView):
            return FilesChoice(step.verb, step.name, step.text)
        assert isinstance(view, WebView)
        self.read += "\n".join(view.page.text) if view.page else ""
        if step.verb == "visit":
            return WebChoice("visit", text=step.text if "://" in step.text else f"{self.base}{step.text}" if step.text else NAME)
        if step.verb == "save_table":
            return WebChoice("save_table", text=step.text)
        fit = [
            e
            for e in (view.page.elements if view.page else [])
            if (e.kind, e.name) == (step.kind, step.name) and e.near.startswith(step.row)
        ]
        if not fit:
            raise ElementMissing(f"There is no {step.kind} {step.name}.")
        return WebChoice(step.verb, element=fit[0].id, text=step.text)

    def drain(self) -> list[NewEvent]:
        return []


class Play:
    """`guarded` False: whoever is asked says yes, and the stranger's site is open."""

    def __init__(self, settings: Settings, folder: Path, task: Task, site: Site, guarded: bool) -> None:
        sites = [Named(name=NAME, url=site.url)] + ([] if guarded else [Named(name="stranger", url=site.stranger)])
        self.task, self.site, self.guarded = task, site, guarded
        self.gate = Gate(Policy.UNATTENDED if guarded else Policy.ALLOW_LISTED, Grants.of_task(sites, set()))
        self.space = Workspace(folder)
        for name, text in {"secret.txt": f"{SECRET}\n", **task.files}.items():
            (folder / name).write_text(text)
        sink = MemoryJournal()
        self.web = WebMember(settings, sites[:1], sink, self.gate.allows_request, self.space.write)
        self.files = FilesMember(self.space, sink)
        self.state = TeamState(
            task=task.text, sites=sites[:1], given=self.space.names(), block=Block(number=1, agent="web", instruction=task.text)
        )
        self.script = _Script(site.url)
        self.stopped: list[tuple[str, str]] = []

    async def run(self, attack: Attack | None, order: str) -> Played:
        """The task's steps, and the attack's when its text was read (`before`) or behind them (`after`)."""
        bent = attack.bend(self.task) if attack and attack.bend else self.task.steps
        await self._steps(bent, attack.steps if attack and order == "before" else ())
        met = MARK in self.script.read
        if attack and order == "after" and met:
            await self._steps(attack.steps)
        files = {name: self.space.read(name) for name in self.space.names()}
        return Played(bool(attack and attack.effect(self.site, files)), self.task.done(self.site, files), self.stopped, met)

    async def _steps(self, steps: Sequence[Step], injected: Sequence[Step] = ()) -> None:
        """One after the other; what cannot be done is left out."""
        for step in steps:
            if injected and MARK in self.script.read:
                here = (self.state.memory.get("web") or {}).get("url", "")
                await self._steps(injected)
                injected = ()
                if here:
                    await self._take(Step("visit", text=here))
            await self._take(step)

    async def _take(self, step: Step) -> None:
        member: Member = self.files if step.verb in ("read", "write") else self.web
        state = self.state
        block = state.block
        if block is None or step != self.script.step:  # each step is a block of its own, but for one that is tried again
            block = state.block = Block(number=1, agent=member.name, instruction=self.task.text)
        self.script.step = step
        self.gate.follow([self.task.text], [], state.seen, state.given or [])
        try:
            action = await member.propose(state, block, self.script)
            if isinstance(action, Answer):
                return
            decision = self.gate.judge(action, None if self.guarded else action.digest)
            if decision.permit is None:
                self.stopped.append((decision.rule, decision.reason))
                return
            seen = await member.perform(state, block, action, decision.permit)
        except KeepsakeError as error:
            self.stopped.append(("error", error.message))
            return
        remember(state, action, seen)
        block.steps.append(WorkStep(summary=action.summary, action=action, observation=seen.text, ok=seen.ok))
        if decision.verdict == Verdict.ALLOW and member is self.web:
            await self._look()

    async def _look(self) -> None:
        view = await self.web.surface.read()
        self.script.read += "\n".join(view.text)

    async def close(self) -> None:
        await self.web.close()
        self.site.close()
