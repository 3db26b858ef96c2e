"""Reads what a browser shows: one script walks the page, the rest happens here. Nothing is written into the page."""

from pathlib import Path
from typing import Any

from playwright.async_api import ElementHandle, Error, JSHandle, Page

from agents.web.screen import raw
from agents.web.screen.base import PageView
from agents.web.screen.reading import Reading, build
from app.errors import ElementMissing

_SCRIPT = Path(__file__).with_name("walk.js").read_text(encoding="utf-8")
_CONFIG = {
    "skip": sorted(raw.SKIP),
    "block": sorted(raw.BLOCK),
    "opens": sorted(raw.OPENS),
    "closes": sorted(raw.CLOSES),
    "pre": sorted(raw.PRE),
    "region": sorted(raw.REGION),
    "void": sorted(raw.VOID),
    "roles": sorted(raw.ROLES),
    "sending": list(raw.SENDING),
    "nodes": raw.NODES,
    "controls": raw.CONTROLS,
    "text": raw.TEXT,
}


class DomParser:
    """See agents.web.screen.base.ScreenParser. Keeps the nodes of its last reading, so that an element of that view can be used."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.reading: Reading | None = None
        self._walk: JSHandle | None = None

    async def read(self, status: int = 200) -> PageView:
        """The page now. Raises Playwright's errors when it closes or moves on meanwhile."""
        walk = await self.page.evaluate_handle(_SCRIPT, _CONFIG)
        text, cut = await walk.evaluate("(walk) => [walk.raw, walk.cut]")
        old, self._walk = self._walk, walk
        if old is not None:
            await _dispose(old)
        records = [record.split(raw.FIELD) for record in text.split(raw.RECORD)]
        self.reading = build(records, url=records[0][1], status=status, cut=cut)
        return self.reading.view

    async def handle(self, number: int) -> ElementHandle:
        """The node of element `number` of the last view. Raises ElementMissing when there is none any more."""
        if self._walk is None or self.reading is None or not 0 < number <= len(self.reading.handles):
            raise ElementMissing(f"There is no element [{number}] on the page.", hint="Read the page again.")
        place = self.reading.handles[number - 1]
        found = (await self._walk.evaluate_handle("(walk, i) => walk.nodes[i]", place)).as_element()
        if found is None or not await found.evaluate("(node) => node.isConnected"):
            raise ElementMissing(f"Element [{number}] has left the page.", hint="Read the page again.")
        frame = await found.owner_frame()
        if frame is None or frame == self.page.main_frame:
            return found
        # A node of a frame can be clicked only from its own frame: walk that one and take the node at the same place.
        local = place - await self._walk.evaluate("(walk, i) => walk.starts[i]", place)
        inner = await frame.evaluate_handle(f"(config) => ({_SCRIPT})(config).nodes[{int(local)}]", _CONFIG)
        same = inner.as_element()
        if same is None or await _outline(same) != await _outline(found):
            raise ElementMissing(f"Element [{number}] has left its frame.", hint="Read the page again.")
        return same

    def option(self, number: int, label: str) -> int:
        """Index of the option `label` in the select `number` of the last view. Raises ElementMissing when it is not offered."""
        reading = self.reading
        element = reading.view.element(number) if reading else None
        if reading is None or element is None or label not in element.options:
            raise ElementMissing(f"There is no option `{label}` in [{number}].", hint="Choose one of the options shown.")
        return reading.options[number - 1][element.options.index(label)]


async def _outline(node: ElementHandle) -> Any:
    return await node.evaluate("(node) => node.cloneNode(false).outerHTML")


async def _dispose(handle: JSHandle) -> None:
    try:
        await handle.dispose()
    except Error:
        return  # its page is gone, and the handle with it
