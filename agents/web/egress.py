"""The only way out of a run's browser: a forward proxy on loopback that opens connections to the task's sites and to nothing else.

The route filter in the browser sees a request before it is sent, but neither the hops of a redirect nor sockets; this sees every connection.
It is also the only place that looks names up: what was judged is what is connected to, whatever the name means a moment later.
"""

import asyncio
import contextlib
import socket
from asyncio import open_connection
from collections.abc import Callable

from agents.safety.grants import Origin, is_private, is_public
from agents.web.screen.address import canonical
from agents.web.surface import Allowed, origin
from app.errors import ActionRefused

_HEAD = 64 * 1024  # bytes of a request's or response's head
_CONNECT_S = 10.0
_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te", b"upgrade"}
# A browser that gets this answer stays on the page it shows.
_BLOCKED = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
# A script that gets this one knows that what it sent has not arrived.
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_TLS = b"\x16"  # first byte of a TLS handshake

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Egress:
    """One run's proxy. `blocked` is told of each address that was turned away; `may_send(method, url)` says whether a request may pass,
    where requests can be seen (http). `private` are the origins that were turned away because their name leads to a private address."""

    def __init__(self, allowed: Allowed, blocked: Callable[[str], None], may_send: Callable[[str, str], bool] = lambda *_: True) -> None:
        self.allowed, self.blocked, self.may_send = allowed, blocked, may_send
        self.private: set[str] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task] = set()

    async def start(self) -> str:
        """Listen on a free loopback port; its address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._request(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError):
            pass  # a broken or silent connection ends here; the browser sees it closed and says so in the page's view
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            self._open.discard(task)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if method == "CONNECT":
            await self._tunnel(target, reader, writer)
            return
        url = canonical(target)
        reachable = url.startswith("http://") and self.allowed(url)
        if reachable and not self.may_send(method, url):
            await _say(writer, _FORBIDDEN)
            return
        connection = await self._connection(url) if reachable else None
        if connection is None:
            self.blocked(url or target)
            await _say(writer, _BLOCKED)
            return
        upstream_reader, upstream = connection
        path = "/" + url.removeprefix("http://").partition("#")[0].partition("/")[2]
        try:
            fields, length = _fields(head)
            upstream.write(f"{method} {path} HTTP/1.1\r\n".encode("latin-1") + fields + b"Connection: close\r\n\r\n")
            # Exactly this request's body: what follows on the connection would be another request, unseen.
            while length > 0:
                piece = await reader.read(min(length, 65536))
                if not piece:
                    return
                length -= len(piece)
                upstream.write(piece)
                await upstream.drain()
            await self._answer(reader, writer, upstream_reader)
        finally:
            upstream.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: asyncio.StreamReader) -> None:
        """Pass the answer on, marked as the connection's last; stop when the browser hangs up."""
        while True:
            head = await upstream.readuntil(b"\r\n\r\n")
            status = head.split(b" ", 2)[1]
            fields, _ = _fields(head)
            writer.write(head.split(b"\r\n", 1)[0] + b"\r\n" + fields + b"Connection: close\r\n\r\n")
            if not status.startswith(b"1"):
                break
        await _race(_pipe(upstream, writer), reader.read(1))

    async def _tunnel(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """CONNECT: https. Only host and port can be seen, and they are all that a grant names. What is not encrypted is a web socket."""
        urls = [url for url in (canonical(f"https://{target}/"), canonical(f"http://{target}/")) if url]
        url = next(filter(self.allowed, urls), "")
        connection = await self._connection(url) if url else None
        if connection is None:
            self.blocked(url or (urls[-1 if target.endswith(":80") else 0] if urls else target))
            await _say(writer, _FORBIDDEN)
            return
        upstream_reader, upstream = connection
        try:
            await _say(writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
            first = await reader.read(65536)
            if first.startswith(_TLS):
                upstream.write(first)
                await _race(_pipe(upstream_reader, writer), _pipe(reader, upstream))
        finally:
            upstream.close()

    async def _connection(self, url: str) -> Connection | None:
        """A connection to the host of an allowed address, None where its name leads to a private one."""
        place = Origin.of(url)
        try:
            return await asyncio.wait_for(_connect(place), _CONNECT_S) if place is not None else None
        except ActionRefused:
            self.private.add(origin(url))
            return None


async def lookup(host: str, port: int) -> list[str]:
    """The IP addresses of a host, without keeping others waiting. Raises OSError for a name that nobody knows."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


async def _connect(place: Origin) -> Connection:
    """Connect to one of the addresses that were checked, never to the name. Raises ActionRefused when a public name has a private address.

    A task's grant that is itself a private address or a local name may lead to a private address: its person wrote it down as one.
    """
    addresses = await lookup(place.host, place.port)
    if not is_private(place.host) and not all(map(is_public, addresses)):
        raise ActionRefused(f"{place.host} leads to a private address.", hint="A task has to name such an address itself.")
    failure: OSError = ConnectionError(f"{place.host} has no address.")
    for address in addresses:
        try:
            return await open_connection(address, place.port, limit=_HEAD)
        except OSError as error:
            failure = error
    raise failure


async def _say(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer)
    await writer.drain()


def _fields(head: bytes) -> tuple[bytes, int]:
    """Header fields that go on, and the length of the body. Raises ValueError for a body of unknown length in a request."""
    kept, length = [], 0
    for line in head.split(b"\r\n")[1:-2]:
        name = line.partition(b":")[0].strip().lower()
        if name == b"content-length":
            length = int(line.partition(b":")[2])
        if name not in _HOP:
            kept.append(line + b"\r\n")
    return b"".join(kept), length


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(65536):
        sink.write(piece)
        await sink.drain()


async def _race(*coroutines) -> None:
    """Run until the first ends; end the others."""
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
