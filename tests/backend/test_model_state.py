"""The worker asks the model endpoint; the API tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from app.config import Settings
from backend.model_state import model_state
from backend.store import Store
from tests.backend.house import running_house


@contextmanager
def endpoint(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.headers["Authorization"] == "Bearer secret" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, "ok"), (404, "ok"), (401, "refuses the key: HTTP 401"), (503, "fails: HTTP 503"), (0, "does not answer: ConnectError")],
)
async def test_what_is_said_of_an_endpoint(tmp_path, status, said):
    with endpoint(status or 200) as url:
        settings = Settings(home=tmp_path, model_url=url if status else "http://127.0.0.1:9/v1", model_key="secret")
        async with httpx.AsyncClient() as client:
            assert await model_state(client, settings) == said


async def test_the_best_worker_speaks_for_the_model(tmp_path):
    settings = Settings(home=tmp_path)
    with running_house(settings, worker=False) as house:
        store = Store(settings)
        await store.open()
        await store.workers.seen("a", "does not answer: ConnectError")
        assert house.client.ready().checks["model"] == "does not answer: ConnectError"
        await store.workers.seen("b", "ok")
        assert house.client.ready().checks == {"database": "ok", "worker": "ok", "steps": "ok", "model": "ok"}
        await store.close()
