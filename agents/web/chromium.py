"""One Chromium for all runs of a process: contexts are cheap and apart from each other, a browser process is neither."""

import asyncio
import os
from weakref import WeakKeyDictionary

from playwright.async_api import Browser, Error, Playwright, async_playwright

from app.config import Settings
from app.errors import BrowserUnavailable

# Nothing leaves on the browser's own account; pages go through their run's egress filter.
_FLAGS = [
    "--disable-background-networking",
    "--disable-blink-features=FetchLaterAPI,SharedWorker",  # they send out of any page's, and so of any filter's, sight
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--dns-prefetch-disable",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
]
_NOWHERE = "http://127.0.0.1:9"  # proxy of everything outside a run's context: the discard port
_START_S = 30.0


class Lease:
    """A share in the process's Chromium. The last one closed ends it."""

    def __init__(self, pool: "_Pool") -> None:
        self._pool: _Pool | None = pool

    @property
    def browser(self) -> Browser:
        if self._pool is None or self._pool.browser is None:
            raise BrowserUnavailable("The browser was closed.", hint="Open it again.")
        return self._pool.browser

    @property
    def alive(self) -> bool:
        return self._pool is not None and self._pool.browser is not None and self._pool.browser.is_connected()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.release()


async def lease_chromium(settings: Settings) -> Lease:
    """A share in this event loop's Chromium, started when it is the first. Raises BrowserUnavailable with what to install."""
    loop = asyncio.get_running_loop()
    pools = _POOLS.setdefault(loop, {})
    pool = pools.setdefault(str(settings.chromium), _Pool(settings))
    await pool.acquire()
    return Lease(pool)


class _Pool:
    """Playwright's driver, one browser process, and the number of those who use it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.browser: Browser | None = None
        self._driver: Playwright | None = None
        self._users = 0
        self._lock = asyncio.Lock()

    async def acquire(self) -> None:
        async with self._lock:
            if self.browser is None or not self.browser.is_connected():
                await self._end()
                await self._start()
            self._users += 1

    async def release(self) -> None:
        async with self._lock:
            self._users -= 1
            if self._users == 0:
                await self._end()

    async def _start(self) -> None:
        path = self.settings.chromium
        if not path.exists():
            raise BrowserUnavailable(
                f"There is no Chromium at {path}.", hint="Install it (Debian: apt-get install chromium) or set KEEPSAKE_CHROMIUM."
            )
        try:
            self._driver = await async_playwright().start()
        except Exception as error:  # Playwright has no type for this
            raise BrowserUnavailable(
                f"Playwright's driver does not start: {str(error)[:200]}", hint="`playwright --version` shows why, often a missing library."
            ) from error
        try:
            self.browser = await self._driver.chromium.launch(
                executable_path=path,
                headless=True,
                args=_FLAGS,
                chromium_sandbox=os.geteuid() != 0,  # it refuses to run as root
                proxy={"server": _NOWHERE},
                timeout=_START_S * 1000,
                handle_sigint=False,
                handle_sigterm=False,
                handle_sighup=False,
            )
        except Error as error:
            await self._end()
            raise BrowserUnavailable(
                f"Chromium does not start: {error.message.splitlines()[0][:200]}", hint=f"Try it by hand: {path} --headless --version"
            ) from error

    async def _end(self) -> None:
        browser, self.browser = self.browser, None
        driver, self._driver = self._driver, None
        if browser is not None and browser.is_connected():
            await browser.close()
        if driver is not None:
            await driver.stop()


_POOLS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Pool]] = WeakKeyDictionary()
