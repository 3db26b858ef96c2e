"""The file behind an address, fetched beside the page: by GET, every hop of a redirect judged as the first, no more than fits into memory."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import cache

import httpx

from agents.web.screen.address import absolute
from agents.web.surface import Allowed, blocked, empty, origin, silent, slow
from app.errors import NavigationFailed, TooLarge

MAX_BYTES = 20_000_000
MAX_SECONDS = 120.0
_HOPS = 20
_REDIRECTS = (301, 302, 303, 307, 308)

Headers = Callable[[str], Awaitable[dict[str, str]]]
"""What a request to an address says of the session: its cookies for that very address."""


@cache
def trust() -> ssl.SSLContext:
    """The certificates to trust, read once: that takes longer than a page."""
    return httpx.create_ssl_context()


async def fetch_file(
    client: httpx.AsyncClient, url: str, allowed: Allowed, headers: Headers, unreached: Callable[[str], str] = silent
) -> bytes:
    """Content at `url`, at most MAX_BYTES within MAX_SECONDS.

    Raises NavigationFailed when an address is not allowed, does not answer (`unreached` says why) or answers with an error; TooLarge.
    """
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await _follow(client, url, allowed, headers, unreached)
    except TimeoutError as error:
        raise NavigationFailed(f"The download took more than {MAX_SECONDS:.0f} s.", hint="Fetch a smaller file.") from error


async def _follow(client: httpx.AsyncClient, url: str, allowed: Allowed, headers: Headers, unreached: Callable[[str], str]) -> bytes:
    for _ in range(_HOPS):
        if not url.startswith(("http://", "https://")) or not allowed(url):
            raise NavigationFailed(blocked(url), hint="Only the task's sites can be reached.")
        try:
            # Unpacked as it comes, a small answer could become a large one.
            sent = httpx.Headers({**await headers(url), "Accept": "*/*", "Accept-Encoding": "identity"}, encoding="utf-8")
            async with client.stream("GET", url.partition("#")[0], headers=sent) as response:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    url = absolute(url, response.headers["location"])
                    continue
                return await _content(url, response, unreached)
        except httpx.TimeoutException as error:
            seconds = client.timeout.read or MAX_SECONDS
            raise NavigationFailed(slow(url, seconds), hint="Try again, or go on without the file.") from error
        except (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError) as error:
            raise NavigationFailed(unreached(url), hint="Try again, or go on without the file.") from error
    raise NavigationFailed(f"{origin(url)} redirects without end.", hint="Go on without the file.")


async def _content(url: str, response: httpx.Response, unreached: Callable[[str], str]) -> bytes:
    if response.status_code in (204, 205):
        reason = unreached(url)
        raise NavigationFailed(empty(url) if reason == silent(url) else reason, hint="Go on without the file.")
    if response.status_code >= 400:
        raise NavigationFailed(f"{origin(url)} answered {response.status_code}.", hint="Look at the page again.")
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > MAX_BYTES:
            raise TooLarge(f"The file has more than {MAX_BYTES // 1_000_000} MB.", hint="Fetch a smaller file.")
    return bytes(data)
