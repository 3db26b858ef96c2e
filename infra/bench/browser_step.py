"""Seconds of one browser step on a local page: look, decide (at once), act, wait for the page, look again, screenshot."""

import tempfile
import time
from pathlib import Path

from agents.journal import MemoryJournal
from agents.member import Answer
from agents.roles import View, WebChoice, WebView
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.state import Block, TeamState
from agents.web.agent import WebMember
from app.events import NewEvent
from app.schemas import Policy
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, median
from infra.worlds.families import make_task
from infra.worlds.instance import WorldInstance

STEPS = 30


class Wanderer:
    """Roles that follow the page's links in turn, so that every step loads a page."""

    stream = None

    def __init__(self) -> None:
        self.turn = 0

    async def ask(self, role: str, view: View) -> WebChoice:  # noqa: ARG002
        assert isinstance(view, WebView)
        self.turn += 1
        links = [e for e in view.page.elements if e.kind == "link"] if view.page else []
        return WebChoice("click", element=links[self.turn % len(links)].id) if links else WebChoice("visit", text="shop")

    def drain(self) -> list[NewEvent]:
        return []


async def browser_step(context: BenchContext) -> Figure:
    """Median over 30 steps in the example shop, in real Chromium."""
    advance = context.track("browser steps", STEPS)
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="keepsake-bench-") as folder:
        async with WorldInstance(make_task("order", 9_000, "dev"), Path(folder)) as world:
            settings = context.settings.model_copy(update={"home": Path(folder)})
            gate = Gate(Policy.ALLOW_LISTED, Grants.of_task(world.sites, settings.own_ports))
            web = WebMember(settings, world.sites, MemoryJournal(), gate.allows_request, lambda *_: None)
            state, roles = TeamState(task="look around", sites=world.sites), Wanderer()
            try:
                for number in range(STEPS + 1):
                    block = Block(number=number + 1, agent="web", instruction="look around")
                    started = time.perf_counter()
                    action = await web.propose(state, block, roles)
                    assert not isinstance(action, Answer), action
                    permit = gate.judge(action).permit
                    assert permit is not None, f"the gate does not let {action.summary} pass"
                    await web.perform(state, block, action, permit)
                    if number:  # the first step starts the browser
                        seconds.append(time.perf_counter() - started)
                        advance()
            finally:
                await web.close()
    return median(seconds)
