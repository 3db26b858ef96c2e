"""ASGI middleware of vLLM's server: `--middleware keepsake_vllm.api.middleware.MementoMiddleware`.

Every request passes: its strings are made harmless, our options checked, its caller noted for the prefix cache's salt. Chat completions also get
their parts, usage and session. Nothing is held back from a stream, and a client that goes away is seen by vLLM as ever.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from keepsake_vllm.api.call import CALL, Call
from keepsake_vllm.api.chat import Chat
from keepsake_vllm.api.errors import Refused
from keepsake_vllm.api.request import check_xargs
from keepsake_vllm.api.server import GUARDED, Server, read_server

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHAT = "/v1/chat/completions"


class MementoMiddleware:
    """Stands before all of vLLM's own middleware."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._server: Server | None = None
        with suppress(ImportError):  # so that /metrics shows them before the first request has finished
            from keepsake_vllm.api.metrics import metrics

            metrics()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or CALL.get() is not None:  # named twice on the command line, it works once
            await self.app(scope, receive, send)
            return
        server = self._known(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        key = server.key(headers.get("authorization")) if server.keys else None
        if server.keys and key is None and path.startswith(GUARDED):
            await self.app(scope, receive, send)  # vLLM refuses it
            return
        literals = None if server.template_speaks and path.startswith(CHAT) else server.literals
        call = Call(literals, server.ids, key)
        token = CALL.set(call)
        try:
            if scope["type"] == "http" and scope["method"] == "POST":
                await self._post(server, call, path, scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            CALL.reset(token)

    async def _post(self, server: Server, call: Call, path: str, scope: Message, receive: Receive, send: Send) -> None:
        raw = await read_body(receive)
        if raw is None:  # the client has gone
            return
        body = parse(raw)
        chat: Chat | None = None
        try:
            if isinstance(body, dict | list):
                body, changed = server.literals.neutralise_all(body)
                if isinstance(body, dict):
                    check_xargs(body)
                    if path == CHAT:
                        chat = await Chat.begin(server, call, body)
                if changed or chat:
                    raw = json.dumps(body).encode()
        except Refused as refused:
            await send_json(send, refused.status, refused.body())
            return
        scope = {**scope, "headers": resized(scope["headers"], len(raw))}
        await self.app(scope, replay(raw, receive), chat.through(send) if chat else send)

    def _known(self, scope: Message) -> Server:
        if self._server is None:
            self._server = read_server(scope["app"].state)
        return self._server


async def read_body(receive: Receive) -> bytes | None:
    """The whole body; None if the client went away in the middle."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def parse(raw: bytes) -> Any:
    """The body as JSON, or None: vLLM will say what is wrong with it."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def replay(raw: bytes, receive: Receive) -> Receive:
    """`receive` that gives `raw` first, then what the client sends: that it has gone."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": raw, "more_body": False}

    return again


def resized(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    """The headers with this Content-Length."""
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]


async def send_json(send: Send, status: int, content: Any) -> None:
    raw = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
