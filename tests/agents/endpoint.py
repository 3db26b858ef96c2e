"""A small OpenAI-compatible endpoint on loopback whose answers a test chooses. Real HTTP, real client."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

VERSION = {"version": "0.32.0"}
Answer = Callable[[dict[str, Any]], Any]


def completion(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion with one choice."""
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


def words(body: dict[str, Any]) -> dict[str, int]:
    """One token a word."""
    return {"count": len(body["prompt"].split())}


class Endpoint:
    """Requests it got, and the answer to the next."""

    def __init__(self, answer: Answer, vllm: bool, count: Answer, version: Any) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.url = ""
        app = FastAPI()

        @app.post("/v1/chat/completions")
        def chat(body: dict[str, Any]) -> Response:
            self.requests.append(body)
            result = self.answer(body)
            return result if isinstance(result, Response) else JSONResponse(result)

        if vllm:

            @app.get("/version")
            def about() -> Any:
                return version

            @app.post("/tokenize")
            async def tokenize(request: Request) -> Any:
                return count(await request.json())

        self.app = app


@contextmanager
def serve(answer: Answer, *, vllm: bool = True, count: Answer = words, version: Any = VERSION) -> Iterator[Endpoint]:
    """Run an endpoint in a thread until the block ends. With `vllm` it has `/tokenize`, answered by `count`, and `/version`."""
    endpoint = Endpoint(answer, vllm, count, version)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(endpoint.app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    endpoint.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield endpoint
    finally:
        server.should_exit = True
        thread.join(10)
