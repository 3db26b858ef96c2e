"""Fixtures of the web room. All tests of a module share one event loop and one Chromium; each has its own context and site."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from agents.web.browser import Browser
from agents.web.chromium import lease_chromium
from agents.web.static_surface import StaticSurface
from app.config import Settings
from tests.agents.web.local_site import LocalSite


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    absent = not Settings().chromium.exists()
    for item in items:
        if absent and item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.skip(reason="there is no Chromium on this machine"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", page_timeout_s=3)


@pytest.fixture
def make_site() -> Iterator[Callable[..., LocalSite]]:
    sites: list[LocalSite] = []

    def make(pages: dict) -> LocalSite:
        sites.append(LocalSite(pages))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def chromium() -> AsyncIterator[None]:
    """Keeps Chromium between the tests of a module."""
    lease = await lease_chromium(Settings())
    yield
    await lease.close()


@pytest_asyncio.fixture(loop_scope="module")
async def make_browser(settings: Settings, chromium: None) -> AsyncIterator[Callable[..., Browser]]:
    browsers: list[Browser] = []

    def make(site: LocalSite, **options) -> Browser:
        browsers.append(Browser(settings, options.pop("allowed", site.allows), **options))
        return browsers[-1]

    yield make
    for browser in browsers:
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def make_static(settings: Settings) -> AsyncIterator[Callable[..., StaticSurface]]:
    surfaces: list[StaticSurface] = []

    def make(site: LocalSite, **options) -> StaticSurface:
        surfaces.append(StaticSurface(settings, options.pop("allowed", site.allows), **options))
        return surfaces[-1]

    yield make
    for surface in surfaces:
        await surface.close()
