"""A small site on loopback, in a thread of its own: paths to answers, and a record of what was asked."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

HTML = "text/html; charset=utf-8"


@dataclass
class Asked:
    """A request as it arrived. `fields` are the query's or the form's."""

    method: str
    path: str
    fields: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """An answer. `hang` never sends anything, `stall` sends the body's first half only."""

    body: str | bytes = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    stall: bool = False


Answerer = Callable[[Asked], Reply | str]


class LocalSite:
    """Answers at `url` from `pages`: path -> HTML, Reply or a function of what was asked. Unknown paths are 404."""

    def __init__(self, pages: dict[str, str | Reply | Answerer] | None = None) -> None:
        self.pages = pages or {}
        self.asked: list[Asked] = []
        self._end = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet: headers and body apart cost 40 ms of delayed acknowledgement

            def do_GET(self) -> None:
                split = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                form = self.rfile.read(length).decode() if length else split.query
                asked = Asked(self.command, split.path, dict(parse_qsl(form, keep_blank_values=True)), dict(self.headers))
                site.asked.append(asked)
                page = site.pages.get(split.path, Reply("<title>Not found</title><p>Not found", 404))
                reply = page(asked) if callable(page) else page
                reply = Reply(reply) if isinstance(reply, str) else reply
                if reply.hang:
                    site._end.wait(20)
                    return
                body = reply.body.encode() if isinstance(reply.body, str) else reply.body
                self.send_response(reply.status)
                for name, value in {"Content-Type": HTML, "Content-Length": str(len(body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if reply.stall:
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    site._end.wait(20)
                    return
                self.wfile.write(body)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def allows(self, url: str) -> bool:
        """The filter of a run whose only site is this one."""
        return url.startswith(f"{self.url}/")

    def paths(self, method: str = "GET") -> list[str]:
        return [a.path for a in self.asked if a.method == method]

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2)
