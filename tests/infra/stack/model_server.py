"""A small stand-in for the model server: it answers with the name of its weights, holds a request as long as it is asked to, and tells in
/metrics how many it holds. Weights whose directory has a file `broken` do not come up.
"""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from infra import serving_process
from infra.serving_process import ServerHandle

PROGRAM = (
    f"#!{sys.executable}\n"
    + """
import json, pathlib, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
asked = dict(zip(sys.argv[3::2], sys.argv[4::2]))
weights = pathlib.Path(asked["--model"])
if (weights / "broken").exists():
    sys.exit("RuntimeError: these weights do not load")
running = 0
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f'# HELP\\nvllm:num_requests_running{{engine="0"}} {running}.0\\nvllm:num_requests_waiting{{engine="0"}} 0.0\\n'
        text += f'vllm:num_requests_waiting_by_reason{{engine="0",reason="capacity"}} {running}.0\\n'
        self.answer(text if self.path == "/metrics" else json.dumps({"data": [{"id": asked["--name"]}]}))
    def do_POST(self):
        global running
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        running += 1
        time.sleep(request.get("hold", 0))
        running -= 1
        self.answer(json.dumps({"weights": weights.name}))
    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
    def log_message(self, *a): pass
ThreadingHTTPServer(("127.0.0.1", int(asked["--port"])), Handler).serve_forever()
"""
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def playing_the_server(settings: Settings, folder: Path) -> Iterator[None]:
    """`serving_process` starts the stand-in; whatever runs at the end is stopped."""
    python = folder / "python"
    python.write_text(PROGRAM)
    python.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving_process, "ensure_serving_env", lambda settings: python)
        patch.setattr(serving_process, "STOP_S", 1.0)
        try:
            yield
        finally:
            serving_process.stop(settings, timeout_s=0.5)


def started(settings: Settings) -> ServerHandle:
    handle = serving_process.start(settings)
    serving_process.wait_ready(handle, timeout_s=20)
    return handle


def served_by(settings: Settings, hold: float = 0.0) -> str:
    """The weights that answer a request, which takes `hold` seconds."""
    url = f"http://127.0.0.1:{settings.model_port}/v1/chat/completions"
    return httpx.post(url, json={"hold": hold}, timeout=30, trust_env=False).json()["weights"]


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
