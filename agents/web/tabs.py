"""The pages of one browser context: which one is current, what each is loading, and when it has come to rest."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from playwright.async_api import BrowserContext, Dialog, Download, Error, Frame, Page, Request, Response

from agents.web.surface import BLANK, Notes, download, origin

_PAGES = 5
_QUIET_MS = 100  # a page with scripts is at rest when nothing has changed for this long
_BOUND_MS = 2000  # ... and is taken as it is after this long
_HUNG_S = 2.0  # more than our script's own bound, before a page counts as busy with its own
_ARRIVAL_S = 2.0  # a write that was seen and has not come to the filter within this time went away with its page
_HEADSTART_S = 0.5  # within this time after a click on a link a request for it has begun, or a script has kept it

# Resolves to the document's readyState when it is at rest or the bound is reached. Watches only.
_REST = """([quiet, bound]) => new Promise((resolve) => {
  const began = performance.now();
  const scripted = document.scripts.length > 0 || document.querySelector("[onclick],[onchange],[oninput],[onsubmit],[onkeyup],[onload]");
  let last = scripted ? began : began - quiet;
  const observer = new MutationObserver(() => { last = performance.now(); });
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  const look = () => {
    const now = performance.now();
    const still = document.readyState === "complete" && now - last >= quiet;
    if (!still && now - began < bound) return setTimeout(look, 10);
    observer.disconnect();
    resolve(document.readyState);
  };
  look();
})"""


class Rest(StrEnum):
    """How waiting for a page ended."""

    DONE = "done"
    LATE = "late"  # its document has not arrived, or not whole
    HUNG = "hung"  # its scripts do not let go


class Tabs:
    """Follows the pages of `context`. A page that another one opens becomes the current one; when it closes, its opener is again."""

    def __init__(self, context: BrowserContext, notes: Notes, loaded: Callable[[], None]) -> None:
        self.context, self.notes, self._loaded = context, notes, loaded
        self.pages: list[Page] = []
        self.status: dict[Page, int] = {}
        self.failed = ""  # address whose document could not be fetched
        self.started = False  # a document was asked for since `begin`
        self.emptied = False  # ... and the answer was no document
        self.aborted = False  # ... and the browser gave it up: it was blocked, or becomes a download
        self.origins: set[str] = set()  # of everything that pages asked for
        self.sending: set[Request] = set()  # writes under way since `begin`
        self.coming: list[str] = []  # ... and those seen on their way to the filter, by address
        self._pending: list[Request] = []
        self._early: dict[str, int] = {}  # status of documents whose page is not there yet
        self._change = asyncio.Event()
        self._downloaded = asyncio.Event()
        self._tasks: set[asyncio.Task] = set()
        context.on("page", self._on_page)
        context.on("request", self._on_request)
        context.on("response", self._on_response)
        context.on("requestfailed", self._on_failed)
        context.on("requestfinished", self._on_finished)
        context.on("dialog", lambda dialog: self.run(self._dismiss(dialog)))

    async def current(self) -> Page:
        """The page that is shown; a new one when the last was closed or has crashed."""
        while self.pages and self.pages[-1].is_closed():
            self.pages.pop()
        return self.pages[-1] if self.pages else await self.context.new_page()

    @property
    def loading(self) -> str:
        """Address of a document on its way, empty when none is."""
        return self._pending[-1].url if self._pending else ""

    def begin(self) -> None:
        """Before something is done: what follows is its doing."""
        self.failed, self.started, self.emptied, self.aborted = "", False, False, False
        self._downloaded.clear()
        self.sending.clear()
        self.coming.clear()
        self._pending.clear()
        self._early.clear()

    async def headstart(self) -> None:
        """After something that should load a document: wait until it begins to."""
        if not self.started:
            await self._changed(_HEADSTART_S)

    async def rest(self, seconds: float) -> Rest:
        """Wait until the current page is at rest and what it sent is answered, `seconds` at most."""
        clock = asyncio.get_running_loop()
        end = clock.time() + seconds
        while (left := end - clock.time()) > 0:
            if self._pending or self.sending:
                await self._changed(left)
                continue
            if self.coming:
                if not await self._changed(min(left, _ARRIVAL_S)):
                    self.coming.clear()
                continue
            page = await self.current()
            bound = min(_BOUND_MS, left * 1000)
            try:
                state = await asyncio.wait_for(page.evaluate(_REST, [_QUIET_MS, bound]), max(left, bound / 1000 + _HUNG_S))
            except TimeoutError:
                return Rest.HUNG
            except Error:  # the document was replaced meanwhile, or the page closed
                await self._changed(0.02)
                continue
            if state != "loading" and not (self._pending or self.sending or self.coming) and page is await self.current():
                return Rest.DONE
        return Rest.LATE

    async def download(self) -> None:
        """After a document was given up: wait for the word that it is a download, if it is one."""
        try:
            await asyncio.wait_for(self._downloaded.wait(), _HEADSTART_S)
        except TimeoutError:
            return

    async def settle_popups(self) -> None:
        """Close pages that came to nothing (blocked, or never filled) and go back to their opener."""
        while len(self.pages) > 1 and (page := await self.current()).url in (BLANK, "") and len(self.pages) > 1:
            self.pages.remove(page)
            await page.close()

    async def past(self) -> list[str]:
        """Addresses in the current window's history up to the one shown."""
        history = await self._ask("Page.getNavigationHistory")
        return [e["url"] for e in history["entries"][: history["currentIndex"] + 1] if e["url"] != BLANK]

    async def stop(self) -> None:
        """Stop loading in the current window; what it showed before stays."""
        self.begin()
        try:
            await asyncio.wait_for(self._ask("Page.stopLoading"), _HUNG_S)
        except Error:
            return  # the window is gone, and its loading with it
        except TimeoutError:
            self.run((await self.current()).close())

    async def close_current(self) -> bool:
        """Close the current page when another is below it."""
        if len(self.pages) < 2:
            return False
        await self.pages.pop().close()
        return True

    async def _ask(self, method: str) -> dict[str, Any]:
        """One command of Chromium's own protocol that Playwright has no word for."""
        session = await self.context.new_cdp_session(await self.current())
        try:
            return await session.send(method)
        finally:
            await session.detach()

    def arrived(self, address: str) -> None:
        """One of the writes to `address` has come to the filter."""
        if address in self.coming:
            self.coming.remove(address)
            self._change.set()

    def _on_page(self, page: Page) -> None:
        self.pages.append(page)
        # A page that another opened is announced when its document has begun to arrive.
        if page.url in self._early:
            self.status[page] = self._early.pop(page.url)
        self._pending = [r for r in self._pending if (frame := _frame(r)) is not None and frame.page is not page]
        page.on("framenavigated", lambda frame: self._on_navigated(page, frame))
        page.on("domcontentloaded", lambda _: self._loaded())
        page.on("download", lambda item: self._on_download(item))
        page.on("crash", lambda _: self.run(self._on_crash(page)))
        page.on("close", lambda _: self._on_close(page))
        if len(self.pages) > _PAGES:
            self.notes.add("Too many windows: the newest was closed.")
            self.run(page.close())
        self._change.set()

    def _on_close(self, page: Page) -> None:
        if page in self.pages:
            self.pages.remove(page)
        self.sending = {r for r in self.sending if (frame := _frame(r)) is not None and frame.page is not page}
        self._change.set()

    async def _on_crash(self, page: Page) -> None:
        self.notes.add("The page crashed.")
        await page.close()

    def _on_request(self, request: Request) -> None:
        self.origins.add(origin(request.url))
        if not request.is_navigation_request():
            return
        frame = _frame(request)
        if frame is not None and frame.parent_frame is not None:
            return
        self._pending = [r for r in self._pending if r is not request.redirected_from]
        self._pending.append(request)
        self.started = True
        self._change.set()

    def _on_response(self, response: Response) -> None:
        if response.request not in self._pending:
            return
        frame = _frame(response.request)
        if response.status in (204, 205):
            self.emptied = True
            self._drop(response.request)
        elif frame is not None:
            self.status[frame.page] = response.status
        else:
            self._early[response.url] = response.status

    def _on_navigated(self, page: Page, frame: Frame) -> None:
        if frame is page.main_frame:
            self._pending = [request for request in self._pending if _frame(request) not in (None, frame)]
            self._change.set()

    def _on_finished(self, request: Request) -> None:
        if request in self.sending:
            self.sending.discard(request)
            self._change.set()

    def _on_failed(self, request: Request) -> None:
        self._on_finished(request)
        if request not in self._pending:
            return
        # After any failure but an abort the browser goes to an error page, and that is still to come.
        if "ERR_ABORTED" in (request.failure or "") or _frame(request) is None:
            self.aborted = True
            self._drop(request)
        else:
            self.failed = request.url

    def _drop(self, request: Request) -> None:
        self._pending = [r for r in self._pending if r is not request]
        self._change.set()

    def _on_download(self, item: Download) -> None:
        self.notes.add(download(item.url))
        self._downloaded.set()
        self._pending = [r for r in self._pending if r.url != item.url]
        self._change.set()

    async def _dismiss(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":
            await dialog.accept()
            return
        self.notes.add(f"Dialog dismissed: {dialog.type} `{dialog.message[:120]}`.")
        await dialog.dismiss()

    async def _changed(self, seconds: float) -> bool:
        """Wait for the next change, `seconds` at most; whether there was one."""
        self._change.clear()
        try:
            return await asyncio.wait_for(self._change.wait(), seconds)
        except TimeoutError:
            return False

    def run(self, coroutine) -> None:
        """Let something go on by itself; that its page, dialog or browser is gone meanwhile is no error."""

        async def guarded() -> None:
            try:
                await coroutine
            except Error:
                return  # its page or dialog is gone, which is what was wanted

        task = asyncio.ensure_future(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _frame(request: Request) -> Frame | None:
    """The frame a request is for; None while the page it opens does not exist yet."""
    try:
        return request.frame
    except Error:
        return None
