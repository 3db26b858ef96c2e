"""What the web member needs of a browser, and the words in which every surface reports what went wrong.

Two surfaces: Browser (Chromium through Playwright) and StaticSurface (httpx, no scripts). They give byte-identical views and notes on pages
without scripts, so that training data made by the fast one fits the real one.
"""

from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from agents.web.locator import Locator
from agents.web.screen.base import PageView
from agents.web.screen.words import clean, shorten
from app.errors import ElementMissing

BLANK = "about:blank"
Allowed = Callable[[str], bool]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1: requests that ask and change nothing


class Input(BaseModel):
    """What was typed, chosen or ticked since the page was loaded."""

    locator: Locator
    value: str


class Memory(BaseModel):
    """What brings another process back to the same page: JSON in TeamState.memory. `storage` names a file, see agents.web.storage."""

    url: str = ""
    storage: str = ""
    inputs: list[Input] = Field(default_factory=list)


class Surface(Protocol):
    """A browser for one run. Elements are numbered as in the view that `read` returned last.

    A page that does not load is no exception but a view with status 0 and a `problem`; an element that cannot be used raises ElementMissing.

    Steps read: a request by any but the safe methods is never sent, whatever a page's scripts do and when. Only a step told to `write` lets
    such requests pass, until it has come to rest. `withheld` says that since the last step began the page wanted more than it was allowed.
    """

    @property
    def withheld(self) -> bool: ...

    async def open(self, memory: dict[str, Any] | None = None) -> bool:
        """Make ready; with a memory, return to its page and fill its inputs in again. False when it was open already and stays as it is."""
        ...

    async def read(self) -> PageView: ...

    async def visit(self, url: str, *, write: bool = False) -> None: ...

    async def click(self, number: int, *, write: bool = False) -> None: ...

    async def type(self, number: int, text: str, enter: bool = False, *, write: bool = False) -> None: ...

    async def select(self, number: int, option: str, *, write: bool = False) -> None: ...

    async def scroll(self) -> None: ...

    async def back(self) -> None: ...

    async def fetch(self, url: str) -> bytes:
        """The file at an address, as this session would be given it; the page stays as it is. Raises what fetch.fetch_file raises."""
        ...

    async def screenshot(self) -> bytes | None:
        """JPEG of at most 100 KB, None where there is nothing to see."""
        ...

    async def memory(self) -> dict[str, Any]: ...

    async def restore(self, memory: dict[str, Any]) -> None: ...

    def notes(self) -> list[str]:
        """What happened besides (dialogs, blocked addresses, refused downloads) since the last call; short sentences with untrusted words."""
        ...

    async def close(self) -> None: ...


async def fill_in(surface: Surface, inputs: list[Input]) -> list[str]:
    """Give a page that was loaded again what had been filled in; names of what is not there any more."""
    missing = []
    for item in inputs:
        try:
            element = item.locator.find(await surface.read())
            if element.kind == "select":
                await surface.select(element.id, item.value)
            elif element.kind == "box":
                await surface.type(element.id, item.value)
            elif element.value != item.value:
                await surface.click(element.id)
        except ElementMissing:
            missing.append(item.locator.name)
    return missing


class Notes:
    """Sentences for the next observation: each once, few, short."""

    LIMIT = 6

    def __init__(self) -> None:
        self._kept: list[str] = []

    def add(self, sentence: str) -> None:
        sentence = shorten(clean(sentence), 200)
        if sentence not in self._kept and len(self._kept) < self.LIMIT:
            self._kept.append(sentence)

    def drain(self) -> list[str]:
        kept, self._kept = self._kept, []
        return kept


def origin(url: str) -> str:
    """Scheme, host and port of an address, for a sentence."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def same_document(url: str, other: str) -> bool:
    """Whether two addresses differ in their fragment alone, and the first has one: going there loads nothing."""
    return "#" in url and url.partition("#")[0] == other.partition("#")[0]


def blocked(url: str) -> str:
    if not url.startswith(("http://", "https://", "ws://", "wss://")):
        return f"Blocked: `{url[:40]}` is no http or https address."
    return f"Blocked: {origin(url)} is not among the task's sites."


def not_public(url: str) -> str:
    return f"Blocked: {origin(url)} leads to a private address."


def silent(url: str) -> str:
    return f"{origin(url)} does not answer."


def slow(url: str, seconds: float) -> str:
    return f"{origin(url)} did not answer within {seconds:g} s."


def unfinished(url: str) -> str:
    return f"{origin(url)} has not finished loading this page."


def download(url: str) -> str:
    return f"Download of `{urlsplit(url).path.rpartition('/')[2][:60] or origin(url)}` refused."


def empty(url: str) -> str:
    return f"{origin(url)} answered without a page."


def unfilled(name: str) -> str:
    return f"`{name}` could not be filled in again."


WITHHELD = "Not sent: this would change something, and only reading was permitted. Do it again to ask."
LEFT_OVER = "What the page tried to send afterwards was not sent."
NO_SOCKET = "A web socket of the page was refused."
INCOMPLETE_FORM = "The form was not sent: a field is missing or wrong."
NO_WAY_BACK = "There is no page to go back to."
