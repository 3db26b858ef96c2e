"""What a run's pages may send, judged before it is sent: nothing to foreign addresses, and nothing that writes in a step that reads."""

from collections.abc import Awaitable
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Error, Page, Route, WebSocketRoute

from agents.web.screen.address import canonical
from agents.web.surface import LEFT_OVER, NO_SOCKET, SAFE_METHODS, WITHHELD, Allowed, Notes, origin
from agents.web.tabs import Tabs

_KEPT_ALIVE = [{"urlPattern": "*", "resourceType": kind} for kind in ("Ping", "XHR", "Fetch")]  # what may outlive its page


class Outgoing:
    """Filters of one run's browser context. `turned_away` are the addresses refused since the last `tell`.

    Web sockets are never opened: nothing tells whether what goes over them reads or writes.
    """

    def __init__(self, allowed: Allowed, notes: Notes) -> None:
        self.allowed, self.notes = allowed, notes
        self.turned_away: list[str] = []
        self.withheld = False  # since the last step began something would have written and was not sent
        self.form_withheld = False  # ... and it would have loaded a page
        self._writing = False  # the step under way may change something
        self._wrote = False  # the last step that began might
        self._using = False  # ... and uses an element
        self._unsaid = False  # something was withheld and no note has told so yet
        self._permitted: set[str] = set()  # addresses to which the last step that began has sent something
        self._tabs: Tabs | None = None

    async def watch(self, context: BrowserContext, tabs: Tabs) -> None:
        """From now on judge all that pages of `context` send."""
        self._tabs = tabs
        await context.route("**/*", self._filter)
        await context.route_web_socket("**/*", self._refuse_socket)
        context.on("page", lambda page: tabs.run(self._watch_page(page, tabs)))

    def begin(self, write: bool, using: bool) -> None:
        """A step begins: it may `write`, and by `using` an element it means what the page then sends."""
        self._writing, self._wrote, self._using, self.withheld, self.form_withheld = write, write, using, False, False
        self._unsaid = self._unsaid and not write
        self._permitted.clear()

    def end(self) -> None:
        """Leave to write ends with its step."""
        self._writing = False

    def forgive(self) -> None:
        """Tell nobody what was withheld: the browser goes another way."""
        self._unsaid = False

    def blocked(self) -> list[str]:
        """Addresses turned away that a page asked for; the browser's own attempts (form descriptions, say) are nobody's concern."""
        asked = self._tabs.origins if self._tabs is not None else set()
        return [url for url in self.turned_away if origin(url) in asked or not url.startswith("http")]

    def tell(self) -> None:
        """Add what was withheld to the notes, and begin anew."""
        if self._unsaid:
            self.notes.add(LEFT_OVER if self._wrote else WITHHELD)
        self.turned_away.clear()
        self._unsaid = False

    def may_leave(self, method: str, url: str) -> bool:
        """The question at the way out, see Egress: a step may be over by the time that what it sent arrives there."""
        return url in self._permitted or self._may_send(method, aside=True)

    def _may_send(self, method: str, aside: bool = False) -> bool:
        """Whether the step under way permits a request. What pages send aside as they come and go (beacons, with no answer to wait for) is
        dropped without a word, unless it may be what an element is for."""
        if method in SAFE_METHODS or self._writing:
            return True
        if self._using or not aside:
            self.withheld = self._unsaid = True
        return False

    async def _filter(self, route: Route) -> None:
        """First filter: what is not among the task's sites, or would write in a step that reads, is never sent. The page stays as it is."""
        request = route.request
        aside = request.resource_type == "ping"
        if self._tabs is not None:
            self._tabs.arrived(_address(request.url))
        if not self.allowed(request.url):
            self.turned_away.append(request.url)
        elif self._may_send(request.method, aside):
            if request.method not in SAFE_METHODS:
                self._permitted.add(_address(request.url))
                if self._tabs is not None and not aside:
                    self._tabs.sending.add(request)
            await quietly(route.continue_())
            return
        else:
            self.form_withheld = self.form_withheld or request.is_navigation_request()
        await quietly(route.abort("aborted"))

    async def _watch_page(self, page: Page, tabs: Tabs) -> None:
        """What a page sends as it is left has no number in Chromium's network log, and Playwright lets it pass unseen. Judge it a level below."""
        session = await page.context.new_cdp_session(page)
        session.on("Fetch.requestPaused", lambda event: tabs.run(self._judge(session, event, tabs)))
        await session.send("Fetch.enable", {"patterns": _KEPT_ALIVE})

    async def _judge(self, session: CDPSession, event: dict[str, Any], tabs: Tabs) -> None:
        paused, method = {"requestId": event["requestId"]}, event["request"]["method"]
        if self._writing and "networkId" in event and method not in SAFE_METHODS:
            tabs.coming.append(_address(event["request"]["url"]))  # its step is not over before the filter has seen it
        if "networkId" in event or self._may_send(method, aside=True):
            await session.send("Fetch.continueRequest", paused)
        else:
            await session.send("Fetch.failRequest", {**paused, "errorReason": "Aborted"})

    async def _refuse_socket(self, socket: WebSocketRoute) -> None:
        url = socket.url.replace("ws", "http", 1)
        if self.allowed(url):
            self.notes.add(NO_SOCKET)
        else:
            self.turned_away.append(url)
            if self._tabs is not None:
                self._tabs.origins.add(origin(url))
        await quietly(socket.close())


def _address(url: str) -> str:
    return canonical(url).partition("#")[0]


async def quietly(awaitable: Awaitable[Any]) -> Any:
    """The result, or None when the page, context or browser it belongs to is gone."""
    try:
        return await awaitable
    except Error:
        return None
