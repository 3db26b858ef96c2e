"""A shop reduced to its one bad habit: ordering twice gives two orders. Lives in the test's process, so it survives a worker's death."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Orders:
    """Orders as (item, action id), in the order in which they came."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.url = ""

    def of(self, item: str) -> list[str]:
        return [action for name, action in self.made if name == item]

    def has(self, action_id: str) -> bool:
        return any(action == action_id for _, action in self.made)


@contextmanager
def open_shop() -> Iterator[Orders]:
    orders = Orders()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            if not text:
                return  # killed in the middle of its request: no order
            body = json.loads(text)
            orders.made.append((body["item"], body["action"]))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    orders.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield orders
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
