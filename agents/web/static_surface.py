"""A Surface without a browser: httpx and lxml, forms filled in memory, no scripts. About fifty times as fast as Chromium, with the same views
and notes on pages that need no script; it makes training data and bench runs. What only a script could do raises BrowserUnavailable.
"""

import html
from dataclasses import dataclass, field
from typing import Any

import httpx
import lxml.html

from agents.web import forms, storage
from agents.web.cookies import fill_jar, read_jar
from agents.web.fetch import fetch_file, trust
from agents.web.locator import Locator
from agents.web.screen.address import absolute, canonical
from agents.web.screen.base import Element, PageView
from agents.web.screen.control import PASSWORD
from agents.web.screen.reading import Reading
from agents.web.screen.static import form_of, input_type, option_states, parse, read_tree
from agents.web.surface import (
    BLANK,
    INCOMPLETE_FORM,
    NO_WAY_BACK,
    SAFE_METHODS,
    WITHHELD,
    Allowed,
    Input,
    Memory,
    Notes,
    blocked,
    download,
    empty,
    fill_in,
    origin,
    same_document,
    silent,
    slow,
    unfilled,
)
from app.config import Settings
from app.errors import BrowserUnavailable, ElementMissing

_HOPS = 20
_HEADERS = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language": "en-US"}
_PAGES = ("text/html", "application/xhtml+xml")


@dataclass
class _Document:
    """A page of the history: its tree holds what was filled in, `inputs` says what that was."""

    url: str
    status: int
    markup: str
    root: lxml.html.HtmlElement
    inputs: list[Input] = field(default_factory=list)


class StaticSurface:
    """See agents.web.surface.Surface. `transport` may lead straight into an application instead of the network."""

    def __init__(
        self, settings: Settings, allowed: Allowed, profiles: list[str] | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.settings, self.allowed, self.profiles, self.transport = settings, allowed, profiles or [], transport
        self._client: httpx.AsyncClient | None = None
        self._past: list[_Document] = []
        self._failed: PageView | None = None
        self._reading: Reading | None = None  # of the present page; None until it is read
        self._changed = False  # filled in since then
        self._nodes: list[lxml.html.HtmlElement] = []
        self.withheld = False
        self._storage = ""
        self._state: storage.StorageState = {}
        self._notes = Notes()

    # Opening and closing

    async def open(self, memory: dict[str, Any] | None = None) -> bool:
        """See Surface. Raises NotFound for a profile that is not there."""
        if self._client is not None:
            return False
        kept = Memory.model_validate(memory or {})
        state = storage.load_session(self.settings, kept.storage) if kept.storage else None
        if kept.storage and state is None:
            self._notes.add("The browser's session was lost; it starts anew.")
        self._state = state or storage.load_profiles(self.settings, self.profiles)
        self._storage = kept.storage
        self._client = httpx.AsyncClient(
            transport=self.transport,
            verify=trust(),
            timeout=self.settings.page_timeout_s,
            headers=_HEADERS,
            trust_env=False,
            follow_redirects=False,
        )
        fill_jar(self._client.cookies.jar, self._state)
        if kept.url:
            await self.restore(kept.model_dump())
        return True

    async def close(self) -> None:
        """See Surface."""
        client, self._client = self._client, None
        self._past, self._failed, self._reading = [], None, None
        if client is not None:
            await client.aclose()

    # Reading

    async def read(self) -> PageView:
        """See Surface."""
        if self._failed is not None:
            return self._failed
        if not self._past:
            return PageView(url=BLANK, title="")
        if self._reading is None or self._changed:
            page = self._past[-1]
            self._reading, self._nodes = read_tree(page.root, page.url, page.status)
            self._changed = False
        return self._reading.view

    def notes(self) -> list[str]:
        """See Surface."""
        return self._notes.drain()

    async def fetch(self, url: str) -> bytes:
        """See Surface."""

        async def headers(_: str) -> dict[str, str]:
            return {}  # the client has the cookies

        return await fetch_file(self._opened(), canonical(url), self.allowed, headers)

    async def screenshot(self) -> bytes | None:
        """Nothing to see here."""
        return None

    # Moving

    async def visit(self, url: str, *, write: bool = False) -> None:  # noqa: ARG002
        """See Surface. Without scripts nothing but the page itself is asked for."""
        url = canonical(url) or url
        self._begin()
        if not url.startswith(("http://", "https://")) or not self.allowed(url):
            self._notes.add(blocked(url))
            self._fail(blocked(url), url)
            return
        problem = await self._go("GET", url)
        if problem and self._failed is None:
            self._fail(problem, url)

    async def back(self) -> None:
        """See Surface: the page before is fetched again, with what was filled in there."""
        failed = self._failed
        self._begin()
        if failed is not None:
            return
        if len(self._past) < 2:
            self._notes.add(NO_WAY_BACK)
            return
        self._reading = None
        self._past.pop()
        page = self._past.pop()
        inputs = list(page.inputs)
        await self._go("GET", page.url)
        await self._fill(inputs)

    async def scroll(self) -> None:
        """The whole page is read anyway."""

    # Using elements

    async def click(self, number: int, *, write: bool = False) -> None:
        """See Surface."""
        element, node = self._element(number)
        self._begin()
        self._plain(element, node)
        if element.kind == "link":
            await self._go("GET", element.href)
        elif element.kind in ("check", "radio") and node.tag == "input":
            self._tick(element, node)
            if element.submits:
                await self._send(form_of(node), None, write)
        elif node.tag == "summary":
            details = node.getparent()
            details.attrib.pop("open") if details.get("open") is not None else details.set("open", "")
            self._changed = True
        elif element.submits:
            await self._send(form_of(node), node, write)
        elif node.tag in ("input", "button") and input_type(node) == "reset" and form_of(node) is not None:
            await self._reset(element)
        else:
            self._need_script(element)

    async def type(self, number: int, text: str, enter: bool = False, *, write: bool = False) -> None:
        """See Surface."""
        element, node = self._element(number)
        self._begin()
        if node.tag == "textarea":
            node.text = text
        elif node.tag == "input":
            node.set("value", text)
        elif node.get("contenteditable") is not None:
            for child in list(node):
                node.remove(child)
            node.text = text
        else:
            raise ElementMissing(f"`{element.label}` cannot be used: it is no text field.", hint="Read the page again.")
        self._remember(element, PASSWORD if input_type(node) == "password" else text)
        form = form_of(node)
        if enter and node.tag == "input" and form is not None:
            button = forms.default_submitter(form)
            if button is None and not forms.sends_on_enter(form):
                return
            if button is None or button.get("disabled") is None:
                await self._send(form, button, write)

    async def select(self, number: int, option: str, *, write: bool = False) -> None:
        """See Surface. Raises ElementMissing for an option that is not offered."""
        element, node = self._element(number)
        if option not in element.options or self._reading is None:
            raise ElementMissing(f"There is no option `{option}` in [{number}].", hint="Choose one of the options shown.")
        self._begin()
        index = self._reading.options[number - 1][element.options.index(option)]
        for place, item, _, _ in option_states(node):
            item.attrib.pop("selected", None)
            if place == index:
                item.set("selected", "")
        self._remember(element, option)
        if element.submits:
            await self._send(form_of(node), None, write)

    def _begin(self) -> None:
        self._failed, self.withheld = None, False

    def _element(self, number: int) -> tuple[Element, lxml.html.HtmlElement]:
        reading = self._reading
        if self._failed is not None or reading is None or not 0 < number <= len(reading.handles):
            raise ElementMissing(f"There is no element [{number}] on the page.", hint="Read the page again.")
        return reading.view.elements[number - 1], self._nodes[reading.handles[number - 1]]

    def _tick(self, element: Element, node: lxml.html.HtmlElement) -> None:
        on = element.kind == "radio" or not element.value
        if element.kind == "radio":
            form, name = form_of(node), node.get("name")
            for other in node.getroottree().getroot().iter("input"):
                if input_type(other) == "radio" and other.get("name") == name and form_of(other) is form and name:
                    other.attrib.pop("checked", None)
        node.set("checked", "") if on else node.attrib.pop("checked", None)
        self._remember(element, "on" if on else "")

    def _remember(self, element: Element, value: str) -> None:
        assert self._reading is not None
        page, locator = self._past[-1], Locator.of(self._reading.view, element)
        page.inputs = [i for i in page.inputs if i.locator != locator]
        if value != PASSWORD:
            page.inputs.append(Input(locator=locator, value=value))
        self._changed = True

    async def _reset(self, element: Element) -> None:
        page = self._past[-1]
        kept = [i for i in page.inputs if (i.locator.form_method, i.locator.form_action) != (element.form_method, element.form_action)]
        page.root, page.inputs = parse(page.markup), []
        self._reading = None
        await self._fill(kept)

    def _plain(self, element: Element, node: lxml.html.HtmlElement) -> None:
        """Refuse what has a handler of its own: only a browser can say what it does."""
        form = form_of(node)
        if node.get("onclick") is not None or (element.submits and form is not None and form.get("onsubmit") is not None):
            raise BrowserUnavailable(f"`{element.label}` is run by a script.", hint="Use the browser instead of the fast path.")

    def _need_script(self, element: Element) -> None:
        """A button without a form does what scripts make of it; on a page without any it does nothing, here as in a browser."""
        root = self._past[-1].root
        if next(root.iter("script"), None) is not None or root.xpath("//*[@onclick or @onchange]"):
            raise BrowserUnavailable(f"`{element.label}` is run by a script.", hint="Use the browser instead of the fast path.")

    # Requests

    async def _send(self, form: lxml.html.HtmlElement | None, submitter: lxml.html.HtmlElement | None, write: bool) -> None:
        if form is None:
            return
        if forms.refused(form, submitter):
            self._notes.add(INCOMPLETE_FORM)
            return
        page = self._past[-1]
        base = next((b.get("href") for b in page.root.iter("base") if b.get("href") is not None), None)
        sent = forms.submission(form, submitter, page.url, (absolute(page.url, base) if base is not None else "") or page.url)
        if sent is not None and sent.method not in SAFE_METHODS and not write:
            self.withheld = True
            self._notes.add(WITHHELD)
        elif sent is not None:
            await self._go(sent.method, sent.url, sent)

    async def _go(self, method: str, url: str, sent: forms.Submission | None = None) -> str:
        """Fetch a document, redirects included. What keeps the present page is a note and returned as a sentence; what fails is the view."""
        current = self._past[-1] if self._past else None
        if method == "GET" and current is not None and same_document(url, current.url):
            self._past.append(_Document(url, current.status, current.markup, current.root, current.inputs))
            self._reading = None
            return ""
        replaces = method == "GET" and current is not None and url == current.url
        for _ in range(_HOPS):
            if not url.startswith(("http://", "https://")) or not self.allowed(url):
                self._notes.add(blocked(url))
                return blocked(url)
            try:
                response = await self._fetch(method, url, sent)
            except httpx.TimeoutException:
                self._fail(slow(url, self.settings.page_timeout_s), url)
                return ""
            except (httpx.TransportError, httpx.InvalidURL):
                self._fail(silent(url), url)
                return ""
            if response.status_code not in (301, 302, 303, 307, 308) or "location" not in response.headers:
                return self._arrive(url, response, replaces)
            target = absolute(url, response.headers["location"])
            url = target if "#" in target or "#" not in url else f"{target}#{url.partition('#')[2]}"
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, sent = "GET", None
        self._fail(silent(url), url)
        return ""

    async def _fetch(self, method: str, url: str, sent: forms.Submission | None) -> httpx.Response:
        client = self._opened()
        headers = {}
        referrer = self._past[-1].url.partition("#")[0] if self._past else ""
        if referrer:
            headers["Referer"] = referrer if origin(referrer) == origin(url) else f"{origin(referrer)}/"
        place = url.partition("#")[0]
        if method == "GET" or sent is None:
            return await client.request(method, place, headers=headers)
        headers["Origin"] = origin(referrer)
        if sent.multipart:
            return await client.request(method, place, headers=headers, files=[(n, (None, v)) for n, v in sent.fields])
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return await client.request(method, place, headers=headers, content=forms.query_of(sent.fields).encode())

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise BrowserUnavailable("The browser is not open.", hint="Open it first.")
        return self._client

    def _arrive(self, url: str, response: httpx.Response, replaces: bool) -> str:
        if response.status_code in (204, 205):
            return empty(url)
        kind = response.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
        attached = response.headers.get("content-disposition", "").strip().lower().startswith("attachment")
        if attached or not (kind.startswith("text/") or kind in (*_PAGES, "application/json")):
            self._notes.add(download(url))
            return download(url)
        markup = response.text if kind in _PAGES else f"<html><body><pre>{html.escape(response.text)}</pre></body></html>"
        if replaces:
            self._past.pop()
        self._past.append(_Document(url, response.status_code, markup, parse(markup)))
        self._reading = None
        return ""

    def _fail(self, problem: str, url: str) -> None:
        self._failed = PageView(url=url, title="", status=0, problem=problem)

    # Memory

    async def memory(self) -> dict[str, Any]:
        """See Surface."""
        if self._client is None:
            return {}
        state = {"cookies": read_jar(self._client.cookies.jar), "origins": self._state.get("origins", [])}
        if state["cookies"] != self._state.get("cookies"):
            self._storage = self._storage or storage.new_session()
            storage.save_session(self.settings, self._storage, state)
            self._state = state
        page = self._past[-1] if self._past else None
        url = self._failed.url if self._failed is not None else page.url if page else ""
        return Memory(url=url, storage=self._storage, inputs=page.inputs if page and self._failed is None else []).model_dump()

    async def restore(self, memory: dict[str, Any]) -> None:
        """See Surface."""
        kept = Memory.model_validate(memory)
        await self.visit(kept.url)
        await self._fill(kept.inputs)

    async def _fill(self, inputs: list[Input]) -> None:
        for name in await fill_in(self, inputs):
            self._notes.add(unfilled(name))
