"""Debian's Chromium through Playwright as a Surface: one context per run, nothing opened but the task's sites, no fixed sleeps."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

import httpx
from playwright.async_api import BrowserContext, ElementHandle, Error, Page, ViewportSize
from playwright.async_api import StorageState as PlaywrightState
from playwright.async_api import TimeoutError as PlaywrightTimeout

from agents.web import storage
from agents.web.chromium import Lease, lease_chromium
from agents.web.egress import Egress
from agents.web.fetch import fetch_file, trust
from agents.web.locator import Locator
from agents.web.outgoing import Outgoing, quietly
from agents.web.screen.address import canonical
from agents.web.screen.base import Element, PageView
from agents.web.screen.control import PASSWORD
from agents.web.screen.dom import DomParser
from agents.web.surface import (
    BLANK,
    INCOMPLETE_FORM,
    NO_WAY_BACK,
    Allowed,
    Input,
    Memory,
    Notes,
    blocked,
    download,
    empty,
    fill_in,
    not_public,
    origin,
    same_document,
    silent,
    slow,
    unfilled,
    unfinished,
)
from agents.web.tabs import Rest, Tabs
from app.config import Settings
from app.errors import BrowserUnavailable, ElementMissing, NavigationFailed
from app.vault import HANDLE, Vault

_VIEWPORT = ViewportSize(width=1280, height=800)
_LOCALE = "en-US"
_ACT_MS = 3000  # an element that cannot be used by then is covered or never stops moving
_SHOT_MS = 5000
_SHOT_BYTES = 100_000
_SHOT_QUALITIES = (60, 40, 20, 5)
_TRIES = 3  # readings of a page that moves on while it is read
_REFUSED_BY_FORM = "(node) => !!node.form && !node.form.noValidate && !node.formNoValidate && node.form.matches(':invalid')"

Step = TypeVar("Step", bound=Callable[..., Awaitable[Any]])


def _typed(step: Step) -> Step:
    """Where Playwright's errors end: what a step did not foresee means that the browser is broken, and is opened anew next time.

    It is also where leave to write ends: what a page sends after the step that had it is withheld.
    """

    @wraps(step)
    async def typed(self: "Browser", *arguments: Any, **named: Any) -> Any:
        try:
            return await step(self, *arguments, **named)
        except Error as error:
            self._broken = True
            hint = "What was under way may or may not have happened: look before doing it again."
            raise NavigationFailed(f"The browser broke down: {_first_line(error)}", hint=hint) from error
        finally:
            self._outgoing.end()

    return cast(Step, typed)


class Browser:
    """See agents.web.surface.Surface. `allowed` judges every address before a connection is made; `profiles` name saved sessions."""

    def __init__(self, settings: Settings, allowed: Allowed, profiles: list[str] | None = None, vault: Vault | None = None) -> None:
        self.settings, self.allowed, self.profiles = settings, allowed, profiles or []
        self._vault = vault or Vault()
        self._lease: Lease | None = None
        self._egress: Egress | None = None
        self._proxy = ""
        self._context: BrowserContext | None = None
        self._tabs: Tabs | None = None
        self._parser: DomParser | None = None
        self._failed: PageView | None = None  # shown instead of the page until the next step
        self._problem = ""
        self._broken = False
        self._storage = ""
        self._state: storage.StorageState = {}
        self._inputs: list[Input] = []
        self._notes = Notes()
        self._outgoing = Outgoing(allowed, self._notes)

    @property
    def withheld(self) -> bool:
        """See Surface."""
        return self._outgoing.withheld

    # Opening and closing

    async def open(self, memory: dict[str, Any] | None = None) -> bool:
        """See Surface. Raises BrowserUnavailable without a Chromium, NotFound for a profile that is not there."""
        if self._lease is not None and self._lease.alive and self._context is not None and not self._broken:
            return False
        await self.close()
        self._broken = False
        kept = Memory.model_validate(memory or {})
        self._state = self._stored(kept.storage)
        self._storage = kept.storage
        self._lease = await lease_chromium(self.settings)
        try:
            await self._open_context()
        except Error as error:
            await self.close()
            raise NavigationFailed(f"The browser broke down: {_first_line(error)}", hint="Try again.") from error
        if kept.url:
            await self.restore(kept.model_dump())
        return True

    def _stored(self, name: str) -> storage.StorageState:
        state = storage.load_session(self.settings, name) if name else None
        if name and state is None:
            self._notes.add("The browser's session was lost; it starts anew.")
        return state or storage.load_profiles(self.settings, self.profiles)

    async def _open_context(self) -> None:
        assert self._lease is not None
        self._egress = Egress(self.allowed, self._outgoing.turned_away.append, self._outgoing.may_leave)
        self._proxy = await self._egress.start()
        self._context = await self._lease.browser.new_context(
            storage_state=cast(PlaywrightState, self._state),
            proxy={"server": self._proxy, "bypass": "<-loopback>"},
            viewport=_VIEWPORT,
            service_workers="block",
            accept_downloads=False,
            locale=_LOCALE,
        )
        self._context.on("close", self._on_close)
        self._tabs = Tabs(self._context, self._notes, self._inputs.clear)
        await self._outgoing.watch(self._context, self._tabs)
        await self._tabs.current()

    async def close(self) -> None:
        """See Surface. The last browser of a process takes Chromium with it."""
        context, self._context = self._context, None
        egress, self._egress = self._egress, None
        lease, self._lease = self._lease, None
        self._tabs = self._parser = self._failed = None
        if context is not None:
            await quietly(context.close())
        if egress is not None:
            await egress.close()
        if lease is not None:
            await lease.close()

    def _on_close(self, context: BrowserContext) -> None:
        self._broken = self._broken or context is self._context

    # Reading

    @_typed
    async def read(self) -> PageView:
        """See Surface."""
        if self._failed is not None:
            return self._failed
        tabs = self._ready()
        page = await tabs.current()
        for _ in range(_TRIES):
            page = await tabs.current()
            if page.url.startswith("chrome-error:"):
                return self._fail(self._unreached(tabs.failed or BLANK), tabs.failed or BLANK)
            if self._parser is None or self._parser.page is not page:
                self._parser = DomParser(page)
            try:
                view = await asyncio.wait_for(self._parser.read(tabs.status.get(page, 200)), self.settings.page_timeout_s)
            except TimeoutError:
                return await self._give_up(page)
            except Error:  # it moved on while it was read
                await tabs.rest(self.settings.page_timeout_s)
                continue
            view.problem = self._problem
            return view
        return self._fail(unfinished(page.url), page.url)

    def notes(self) -> list[str]:
        """See Surface."""
        for url in self._outgoing.blocked():
            self._notes.add(self._turned(url))
        self._outgoing.tell()
        return self._notes.drain()

    @_typed
    async def fetch(self, url: str) -> bytes:
        """See Surface. It goes through the run's proxy, with the context's cookies and the browser's own name."""
        self._ready()
        context = self._context
        assert context is not None and self._lease is not None
        session = await self._lease.browser.new_browser_cdp_session()
        name = (await session.send("Browser.getVersion"))["userAgent"]
        await session.detach()

        async def headers(place: str) -> dict[str, str]:
            cookies = await context.cookies(place)
            pairs = "; ".join(f"{c.get('name')}={c.get('value')}" for c in cookies)
            return {"User-Agent": name, "Accept-Language": _LOCALE} | ({"Cookie": pairs} if pairs else {})

        seconds, told = self.settings.page_timeout_s, len(self._outgoing.turned_away)
        try:
            async with httpx.AsyncClient(proxy=self._proxy, verify=trust(), timeout=seconds, trust_env=False) as client:
                return await fetch_file(client, canonical(url), self.allowed, headers, self._unreached)
        finally:
            del self._outgoing.turned_away[told:]  # the error says it

    @_typed
    async def screenshot(self) -> bytes | None:
        """See Surface."""
        if self._failed is not None or self._tabs is None:
            return None
        page = await self._tabs.current()
        for quality in _SHOT_QUALITIES:
            try:
                data = await page.screenshot(type="jpeg", quality=quality, timeout=_SHOT_MS)
            except Error:
                return None
            if len(data) <= _SHOT_BYTES:
                return data
        return None

    # Moving

    @_typed
    async def visit(self, url: str, *, write: bool = False) -> None:
        """See Surface. An address outside the task's sites is not opened, and the view says so."""
        url = canonical(url) or url
        tabs = self._begin(write)
        if not url.startswith(("http://", "https://")) or not self.allowed(url):
            self._notes.add(blocked(url))
            self._fail(blocked(url), url)
            return
        page = await tabs.current()
        try:
            await page.goto(url, wait_until="commit", timeout=self.settings.page_timeout_s * 1000)
        except PlaywrightTimeout:
            await self._stop(url)
        except Error as error:
            if "Download is starting" in error.message:
                await tabs.download()
            self._fail(self._why(url, error), url)
        else:
            await self._rest()

    @_typed
    async def back(self) -> None:
        """See Surface. A page that failed to load is left first; a window without a past is closed."""
        failed = self._failed
        tabs = self._begin()
        page = await tabs.current()
        if failed is not None and not page.url.startswith("chrome-error:"):
            return
        try:
            past = await tabs.past()
            if len(past) < 2:
                if not await tabs.close_current():
                    self._notes.add(NO_WAY_BACK)
                return
            await page.go_back(wait_until="commit", timeout=self.settings.page_timeout_s * 1000)
        except PlaywrightTimeout:
            await self._stop(page.url)
            return
        except Error as error:
            if self._outgoing.form_withheld:
                # The page before was the answer to a form, and going back would send that again: ask for its address instead.
                self._outgoing.forgive()
                await self.visit(past[-2])
            else:
                self._fail(self._why(page.url, error), page.url)
            return
        await self._rest()

    @_typed
    async def scroll(self) -> None:
        """See Surface: one window's height down."""
        page = await self._begin().current()
        await quietly(page.mouse.wheel(0, _VIEWPORT["height"] - 100))
        await self._rest()

    # Using elements

    @_typed
    async def click(self, number: int, *, write: bool = False) -> None:
        """See Surface."""
        element, handle = await self._element(number)
        tabs = self._begin(write, using=True)
        page = await tabs.current()
        if element.kind in ("check", "radio"):
            await self._act(element, lambda: _tick(handle))
        else:
            await self._act(element, lambda: handle.click(timeout=_ACT_MS, no_wait_after=True))
        if element.kind in ("check", "radio"):
            self._remember(element, "" if element.kind == "check" and element.value else "on")
        if element.submits or (element.kind == "link" and not same_document(element.href, page.url)):
            await tabs.headstart()
        if element.submits and not tabs.started and await quietly(handle.evaluate(_REFUSED_BY_FORM)):
            self._notes.add(INCOMPLETE_FORM)
        await self._rest()

    @_typed
    async def type(self, number: int, text: str, enter: bool = False, *, write: bool = False) -> None:
        """See Surface. What stood in the box is replaced."""
        element, handle = await self._element(number)
        tabs = self._begin(write, using=True)
        value = await self._value(text, element, handle)
        await self._act(element, lambda: handle.fill(value, timeout=_ACT_MS))
        if element.value != PASSWORD and not await quietly(handle.evaluate("(node) => node.type === 'password'")):
            self._remember(element, text)
        if enter:
            await self._act(element, lambda: handle.press("Enter", timeout=_ACT_MS, no_wait_after=True))
            if element.form_action:
                await tabs.headstart()
                if not tabs.started and await quietly(handle.evaluate(_REFUSED_BY_FORM)):
                    self._notes.add(INCOMPLETE_FORM)
        await self._rest()

    @_typed
    async def select(self, number: int, option: str, *, write: bool = False) -> None:
        """See Surface. Raises ElementMissing for an option that is not offered."""
        element, handle = await self._element(number)
        assert self._parser is not None
        index = self._parser.option(number, option)
        tabs = self._begin(write, using=True)
        await self._act(element, lambda: handle.select_option(index=index, timeout=_ACT_MS))
        self._remember(element, option)
        if element.submits:
            await tabs.headstart()
        await self._rest()

    async def _element(self, number: int) -> tuple[Element, ElementHandle]:
        if self._parser is None or self._parser.reading is None or self._failed is not None:
            raise ElementMissing(f"There is no element [{number}]: no page was read.", hint="Read the page first.")
        element = self._parser.reading.view.element(number)
        if element is None:
            raise ElementMissing(f"There is no element [{number}] on the page.", hint="Read the page again.")
        try:
            return element, await self._parser.handle(number)
        except Error as error:  # its document is gone
            raise ElementMissing(f"`{element.label}` is gone: the page has moved on.", hint="Read the page again.") from error

    async def _act(self, element: Element, deed: Callable[[], Awaitable[Any]]) -> None:
        try:
            await deed()
        except PlaywrightTimeout as error:
            raise ElementMissing(f"`{element.label}` cannot be used: something covers it.", hint="Read the page again.") from error
        except Error as error:
            if "closed" not in error.message:  # a click may close its own window
                raise ElementMissing(f"`{element.label}` cannot be used: {_first_line(error)}", hint="Read the page again.") from error

    async def _value(self, text: str, element: Element, handle: ElementHandle) -> str:
        """What is really put in: below the model, which knows the handle of a secret. Raises ActionRefused unless both the frame that the field
        stands in and the place that its form leads to belong to the secret's audience."""
        if HANDLE.search(text) is None:
            return text
        frame = await handle.owner_frame()
        where = frame.url if frame is not None else ""
        self._vault.fill(text, element.form_action or where)
        return self._vault.fill(text, where)

    def _remember(self, element: Element, value: str) -> None:
        assert self._parser is not None and self._parser.reading is not None
        locator = Locator.of(self._parser.reading.view, element)
        self._inputs[:] = [i for i in self._inputs if i.locator != locator]
        self._inputs.append(Input(locator=locator, value=value))

    # Memory

    @_typed
    async def memory(self) -> dict[str, Any]:
        """See Surface. Cookies and local storage go to a file of the run, rewritten when they have changed."""
        if self._context is None or self._tabs is None:
            return {}
        url = self._failed.url if self._failed is not None else (await self._tabs.current()).url
        state: Any = await quietly(self._context.storage_state())
        if state is not None and state != self._state:
            self._storage = self._storage or storage.new_session()
            storage.save_session(self.settings, self._storage, state)
            self._state = state
        return Memory(url="" if url == BLANK else url, storage=self._storage, inputs=self._inputs).model_dump()

    @_typed
    async def restore(self, memory: dict[str, Any]) -> None:
        """See Surface: load the address (always by GET) and fill in what was filled in. What cannot be is a note."""
        kept = Memory.model_validate(memory)
        await self.visit(kept.url)
        for name in await fill_in(self, list(kept.inputs)):
            self._notes.add(unfilled(name))

    # Waiting

    def _ready(self) -> Tabs:
        if self._tabs is None:
            raise BrowserUnavailable("The browser is not open.", hint="Open it first.")
        return self._tabs

    def _begin(self, write: bool = False, using: bool = False) -> Tabs:
        tabs = self._ready()
        tabs.begin()
        self._failed, self._problem = None, ""
        self._outgoing.begin(write, using)
        return tabs

    async def _rest(self) -> None:
        tabs = self._ready()
        ended = await tabs.rest(self.settings.page_timeout_s)
        page = await tabs.current()
        if ended == Rest.HUNG:
            await self._give_up(page)
        elif ended == Rest.LATE and tabs.loading:
            await self._stop(tabs.loading)
        elif ended == Rest.LATE:
            self._problem = unfinished(page.url)
        if tabs.aborted and not self.withheld and not self._outgoing.blocked():
            await tabs.download()
        await tabs.settle_popups()

    async def _stop(self, url: str) -> None:
        """Stop waiting for `url`; the page before it stays below the failed view."""
        await self._ready().stop()
        self._fail(slow(url, self.settings.page_timeout_s), url)

    async def _give_up(self, page: Page) -> PageView:
        """Leave a page whose scripts never end."""
        url = page.url
        await quietly(page.close())
        return self._fail(slow(url, self.settings.page_timeout_s), url)

    def _fail(self, problem: str, url: str) -> PageView:
        self._failed = PageView(url=url, title="", status=0, problem=problem)
        return self._failed

    def _why(self, url: str, error: Error) -> str:
        if "Download is starting" in error.message:
            return download(url)
        if "ERR_ABORTED" not in error.message:
            return self._unreached(url)
        turned_away = self._outgoing.blocked()
        return self._turned(turned_away[-1]) if turned_away else empty(url)

    def _turned(self, url: str) -> str:
        """The sentence about an address that was turned away."""
        return not_public(url) if self._private(url) else blocked(url)

    def _unreached(self, url: str) -> str:
        return not_public(url) if self._private(url) else silent(url)

    def _private(self, url: str) -> bool:
        return self._egress is not None and origin(url) in self._egress.private


async def _tick(handle: ElementHandle) -> None:
    try:
        await handle.click(timeout=_ACT_MS / 3, no_wait_after=True)
    except PlaywrightTimeout:  # the box itself is often invisible behind its drawing
        await handle.dispatch_event("click")


def _first_line(error: Error) -> str:
    return error.message.splitlines()[0][:200]
