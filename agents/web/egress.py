"""The only way out of a run's browser: a forward proxy on loopback that opens connections to the task's sites and to nothing else.

The route filter in the browser sees a request before it is sent, but neither the hops of a redirect nor sockets; this sees every connection.
"""

import asyncio
import contextlib
from collections.abc import Callable

from agents.web.screen.address import canonical
from agents.web.surface import Allowed

_HEAD = 64 * 1024  # bytes of a request's or response's head
_CONNECT_S = 10.0
_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te", b"upgrade"}
# A browser that gets this answer stays on the page it shows.
_BLOCKED = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_NO_TUNNEL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Egress:
    """One run's proxy. `blocked` is told of each address that was turned away."""

    def __init__(self, allowed: Allowed, blocked: Callable[[str], None]) -> None:
        self.allowed, self.blocked = allowed, blocked
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
        if not url.startswith("http://") or not self.allowed(url):
            self.blocked(url or target)
            writer.write(_BLOCKED)
            await writer.drain()
            return
        host, port, path = _address(url)
        upstream_reader, upstream = await asyncio.wait_for(asyncio.open_connection(host, port, limit=_HEAD), _CONNECT_S)
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
        """CONNECT: https and web sockets. Only host and port can be seen, and they are all that a grant names."""
        urls = [url for url in (canonical(f"https://{target}/"), canonical(f"http://{target}/")) if url]
        if not any(self.allowed(url) for url in urls):
            self.blocked(urls[-1 if target.endswith(":80") else 0] if urls else target)
            writer.write(_NO_TUNNEL)
            await writer.drain()
            return
        host, _, port = target.rpartition(":")
        upstream_reader, upstream = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), _CONNECT_S)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _race(_pipe(upstream_reader, writer), _pipe(reader, upstream))
        finally:
            upstream.close()


def _address(url: str) -> tuple[str, int, str]:
    authority, slash, path = url.removeprefix("http://").partition("#")[0].partition("/")
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    return (name if colon else host).strip("[]"), int(port) if colon else 80, slash + path


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
