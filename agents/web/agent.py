"""The web member: looks at a page, decides one thing at a time, does it with the gate's permit, says where it is now."""

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from agents.files.workspace import media_type
from agents.journal import ArtifactSink
from agents.member import Answer, Observation
from agents.roles import Roles, WebChoice, WebView
from agents.safety.grants import Reach
from agents.safety.permit import Permit
from agents.safety.seen import TEXT, Seen, short
from agents.state import Block, TeamState, WorkStep
from agents.web.actions import Deed, as_csv, as_write, sending, to_action
from agents.web.browser import Browser
from agents.web.screen.base import PageView
from agents.web.screen.excerpt import excerpt
from agents.web.screen.words import shorten
from agents.web.surface import BLANK, WITHHELD, Allowed, Memory, Surface
from app.config import Settings
from app.errors import ElementMissing, InvalidInput
from app.schemas import Action, Effect, Site
from app.vault import Vault

UNTRUSTED = "untrusted:web"
MAX_ACTIONS = 15  # of one block
MAX_REPEATS = 3  # the same action on an unchanged page
_MEMORY = "web"  # key in TeamState.memory and Block.scratch
_WISHES = "web_withheld"  # key in Block.scratch: what was tried as reading and would have written

_WIDE = {"max_text": 80, "max_elements": 80, "max_tokens": 2500}  # excerpt for a large model; the compact default is excerpt's own

WriteFile = Callable[[str, str | bytes, Permit, Action], Awaitable[Any] | Any]


class WebMember:
    """See agents.member.Member. `write_file(path, content, permit, action)` puts what is saved into the workspace under its rules."""

    name = "web"
    description = (
        "Opens the task's sites in a browser: reads pages, follows links, fills in forms, saves tables as CSV and files behind links."
    )

    def __init__(
        self,
        settings: Settings,
        sites: list[Site],
        artifacts: ArtifactSink,
        allowed: Allowed,
        write_file: WriteFile,
        surface: Surface | None = None,
        vault: Vault | None = None,
    ) -> None:
        self.vault = vault or Vault()
        self.sites, self.artifacts, self.write_file = sites, artifacts, write_file
        self.reach = allowed if isinstance(allowed, Reach) else None
        self.room = _WIDE if settings.effective_profile == "full" else {}
        self.surface: Surface = surface or Browser(settings, allowed, [s.profile for s in sites if s.profile], self.vault)

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer:
        if len([s for s in block.steps if s.action]) >= MAX_ACTIONS:
            return Answer(f"gave up after {MAX_ACTIONS} actions", failed=True)
        self._share_origins(state)
        view = await self._look(state)
        shown = excerpt(view, block.instruction, **self.room) if view else None
        if shown:
            block.seen = sorted({*block.seen, UNTRUSTED})  # an earlier block's page may still be open
        names, last = [s.name for s in self.sites], block.steps[-1:]
        problem = next((shorten(s.observation, 100) for s in last if not s.ok), "")
        choice: WebChoice = await roles.ask("web", WebView(block.instruction, names, _history(block.steps), shown, problem))
        if choice.verb == "answer":
            return Answer(choice.text, labels=[UNTRUSTED] if shown else [])
        try:
            action = to_action(choice, view, self.sites)
        except InvalidInput as error:
            return Answer(error.message, failed=True)
        if block.steps and block.steps[-1].action:
            self._remember_wish(block, block.steps[-1].action)  # its scripts may have taken longer than the step
        if _wish(action) in block.scratch.get(_WISHES, []):
            action = as_write(action, view)
        if "form" in action.arguments:
            action.arguments["filled"] = _filled(state, action)
        if _repeats(block, action, view) >= MAX_REPEATS:
            return Answer(f"{action.summary}: {MAX_REPEATS} times without a change", failed=True)
        return action

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:
        """See Member. Raises ElementMissing when the page is not the one the action was chosen on."""
        permit.check(action)
        self._share_origins(state)
        deed = Deed.of(action)
        await self.surface.open(state.memory.get(_MEMORY))
        if deed.verb == "download":
            return await self._download(deed, action, permit)
        view = None if deed.verb == "visit" else await self._look(state)
        if deed.verb == "save_table":
            return await self._save_table(deed, view, action, permit)
        _check_form(deed, view, action)
        await self._do(deed, view, action.effect != Effect.READ)
        view = await self._look(state)
        self._remember_wish(block, action)
        state.memory[_MEMORY] = await self.surface.memory()
        seen = await self._observe(action, deed, view, block)
        return replace(seen, seen=view and _seen(view), done=not _not_taken(deed, view, action))

    async def look_again(self, state: TeamState, action: Action) -> str:
        self._share_origins(state)
        memory = state.memory.get(_MEMORY, {})
        if not await self.surface.open(memory) and memory.get("url"):
            await self.surface.restore(memory)  # an open page may be older than what has happened
        view = await self._look(state)
        if view is None:
            return "No page is open."
        words = state.block.instruction if state.block else ""
        shown = excerpt(view, f"{words} {action.summary}", max_text=6, max_elements=0)
        return f"{_place(view)} It says: {' / '.join(shown.text) or 'nothing'}."

    async def close(self) -> None:
        await self.surface.close()

    async def _look(self, state: TeamState) -> PageView | None:
        """The page now, in a browser brought back to where the run was; None before the first visit."""
        await self.surface.open(state.memory.get(_MEMORY))
        view = await self.surface.read()
        if self.vault:  # a page that shows a secret shows its handle
            view = PageView.model_validate(self.vault.hidden(view.model_dump()))
        return None if view.url == BLANK and not view.problem else view

    def _share_origins(self, state: TeamState) -> None:
        """What a person approved holds for the whole run, over gates that are made anew after each wait or restart."""
        if self.reach is not None:
            self.reach.recall(state.memory)
            self.reach.keep(state.memory)

    def _remember_wish(self, block: Block, action: Action) -> None:
        """What was used as reading and would have written is a write when it is used again: the gate then asks, or records an intent."""
        wish, known = _wish(action), block.scratch.get(_WISHES, [])
        if self.surface.withheld and action.effect == Effect.READ and wish and wish not in known:
            block.scratch[_WISHES] = [*known, wish]

    async def _do(self, deed: Deed, view: PageView | None, write: bool) -> None:
        surface = self.surface
        if deed.verb == "visit":
            await surface.visit(deed.text, write=write)
            return
        if view is None or (deed.page_url and view.url != deed.page_url):
            raise ElementMissing(f"The page is no longer {deed.page_url}.", hint="Read the page again.")
        if deed.verb == "scroll":
            await surface.scroll()
        elif deed.verb == "back":
            await surface.back()
        elif deed.locator is not None:
            number = deed.locator.find(view).id
            if deed.verb == "click":
                await surface.click(number, write=write)
            elif deed.verb == "type":
                await surface.type(number, deed.text, deed.enter, write=write)
            else:
                await surface.select(number, deed.text, write=write)

    async def _save_table(self, deed: Deed, view: PageView | None, action: Action, permit: Permit) -> Observation:
        if view is None or view.url != deed.page_url or not view.table:
            raise ElementMissing(f"The page with the table, {deed.page_url}, is not open.", hint="Open it again.")
        saved = await self._keep(deed.text, as_csv(view.table), "text/csv", permit, action)
        cut = " The page was too large to read whole, rows may be missing." if view.truncated else ""
        text = f"Saved {len(view.table)} rows of {len(view.table[0])} columns as {deed.text}.{cut}"
        return Observation(text, labels=[UNTRUSTED], url=view.url, artifacts=[saved])

    async def _download(self, deed: Deed, action: Action, permit: Permit) -> Observation:
        """The page stays where it is, so nothing of the browser's has to be remembered. Raises what Surface.fetch raises."""
        data = await self.surface.fetch(deed.url)
        saved = await self._keep(deed.text, data, media_type(deed.text, data), permit, action)
        return Observation(f"Saved {len(data)} bytes of {shorten(deed.url, 200)} as {deed.text}.", labels=[UNTRUSTED], artifacts=[saved])

    async def _keep(self, name: str, content: str | bytes, kind: str, permit: Permit, action: Action) -> dict[str, Any]:
        written = self.write_file(name, content, permit, action)
        if inspect.isawaitable(written):
            await written
        data = content.encode() if isinstance(content, str) else content
        return {"artifact_id": await self.artifacts.save(name, kind, data), "name": name, "media_type": kind, "size": len(data)}

    async def _observe(self, action: Action, deed: Deed, view: PageView | None, block: Block) -> Observation:
        notes = self.surface.notes()
        place = _place(view)
        sentences = [place, *[n for n in notes if view is None or n != view.problem]]
        withheld = self.surface.withheld and action.effect == Effect.READ
        stuck = withheld and deed.locator is not None and view is not None and view.url == deed.page_url
        if stuck:  # it is what the model should read first
            sentences = [WITHHELD, *[s for s in sentences if s != WITHHELD]]
        if deed.verb == "read" and view is not None:
            sentences.append(" / ".join(excerpt(view, block.instruction, max_elements=0).text))
        picture = await self.surface.screenshot()
        screenshot = None
        if picture is not None:
            screenshot = await self.artifacts.save(f"screen-{block.number}-{len(block.steps) + 1}.jpg", "image/jpeg", picture)
        answered = view is None or view.status != 0
        unknown = action.effect != Effect.READ and not answered
        url = view.url if view else None
        ok = answered and not stuck
        return Observation(" ".join(sentences), ok=ok, unknown=unknown, labels=[UNTRUSTED], screenshot=screenshot, url=url)


def _filled(state: TeamState, action: Action) -> list[str]:
    """Names of the form's fields that were filled in or chosen here; what else stands in them the page has put there."""
    inputs = Memory.model_validate(state.memory.get(_MEMORY) or {}).inputs
    own = {item.locator.name for item in inputs} | ({action.arguments["locator"]["name"]} if "text" in action.arguments else set())
    return [name for name in action.arguments["form"] if name in own or name.rpartition(" ")[0] in own]


def _check_form(deed: Deed, view: PageView | None, action: Action) -> None:
    """What was judged is what goes out: raises ElementMissing where the form's fields are no longer those of the action."""
    judged = action.arguments.get("form")
    if action.effect == Effect.READ or judged is None or deed.locator is None or view is None or view.url != deed.page_url:
        return
    text = deed.text if action.kind in ("web.type", "web.select") else None
    if sending(view, deed.locator.find(view), action.effect, text).get("form", {}) != judged:
        raise ElementMissing("The form no longer says what it said when this was decided.", hint="Read the page again.")


def _not_taken(deed: Deed, view: PageView | None, action: Action) -> bool:
    """Whether the site has plainly not taken what was sent: it said that the request was wrong, or shows the form again as it was filled in."""
    if action.effect == Effect.READ or view is None:
        return False
    if 400 <= view.status < 500:
        return True
    if not action.arguments.get("filled") or deed.locator is None:
        return False
    try:
        return sending(view, deed.locator.find(view), action.effect).get("form") == action.arguments["form"]
    except ElementMissing:
        return False


def _seen(view: PageView) -> Seen:
    """A page as the gate remembers it."""
    text = "\n".join([view.title, *view.text])[:TEXT]
    links = sorted({short(e.href) for e in view.elements if e.kind == "link"})
    return Seen(what="page", where=view.url, text=text, arguments={"title": view.title, "links": links})


def _wish(action: Action) -> str:
    """What an action is about, whatever comes of it: the element it uses, or the address it visits."""
    locator = action.arguments.get("locator")
    if locator is not None:
        return json.dumps(locator, sort_keys=True)
    return action.target if action.kind == "web.visit" else ""


def _place(view: PageView | None) -> str:
    """One or two sentences: where one is now, and what is wrong with the page."""
    if view is None:
        return "No page is open."
    if view.status == 0:
        return f"{shorten(view.url, 200)} was not opened. {view.problem}"
    failed = f" The server answered {view.status}." if view.status >= 400 else ""
    problem = f" {view.problem}" if view.problem else ""
    return f"Now on {shorten(view.title, 100) or 'a page without a title'}, {shorten(view.url, 200)}.{failed}{problem}"


def _history(steps: list[WorkStep]) -> list[str]:
    """`visit shop`, `type copper kettle`; what went wrong is said."""
    return [s.summary if s.ok else f"{s.summary}: {shorten(s.observation, 100)}" for s in steps]


def _repeats(block: Block, action: Action, view: PageView | None) -> int:
    """How often this very action has now been proposed on this very page; counted in the block's scratch."""
    page = view.model_dump_json() if view else ""
    key = hashlib.sha256(f"{action.digest}{page}".encode()).hexdigest()[:16]
    seen: dict[str, int] = block.scratch.setdefault(_MEMORY, {})
    seen[key] = seen.get(key, 0) + 1
    return seen[key]
