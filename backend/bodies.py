"""Request bodies: read whole within a limit, so that nothing behind this has to count bytes; and answered once per Idempotency-Key."""

import hashlib
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import InvalidInput, KeepsakeError, TooLarge
from backend.problems import respond_to
from backend.store.answers import Answers, RememberedAnswer

JSON_LIMIT = 8_000_000  # a task text of a million characters must reach its own, better error
FORM_OVERHEAD = 100_000  # boundaries and part headers around an upload

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location")


class Bodies:
    """ASGI middleware: reads a request's body, 413 when it is over the limit of its kind."""

    def __init__(self, app: ASGIApp, max_upload_bytes: int) -> None:
        self.app = app
        self._form_limit = max_upload_bytes + FORM_OVERHEAD

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._form_limit if headers.get("content-type", "").startswith("multipart/form-data") else JSON_LIMIT
        try:
            body = await _read(headers, receive, limit)
        except TooLarge as error:
            await respond_to(error)(scope, receive, send)
            return
        if body is not None:  # None: the client went away
            scope.setdefault("state", {})["body"] = body
            await self.app(scope, _replay(body, receive), send)


class Idempotency:
    """ASGI middleware behind Guard and Bodies: the same POST under the same key is carried out once and answered the same for 24 hours."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self.app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" and scope["method"] == "POST" else None
        owner = scope.get("state", {}).get("api_key")
        if key is None or owner is None:
            await self.app(scope, receive, send)
            return
        try:
            if not _KEY.fullmatch(key):
                raise InvalidInput(
                    "The Idempotency-Key cannot be used.", hint="Send 1 to 255 visible ASCII characters, a UUID for instance."
                )
            remembered = await self._answers.begin(owner, key, _fingerprint(scope))
        except KeepsakeError as error:
            await respond_to(error)(scope, receive, send)
            return
        if remembered is not None:
            await _send_again(remembered, send)
            return
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        kept = False
        try:
            await self.app(scope, receive, hold)
            answer = _answer(held)
            if answer is not None and answer.status < 500:
                await self._answers.finish(owner, key, answer)  # before the caller has it, so that asking again finds it
                kept = True
        finally:
            if not kept:
                await self._answers.forget(owner, key)
        for message in held:
            await send(message)


def _answer(messages: list[Message]) -> RememberedAnswer | None:
    """A response as it can be given again; None when there was none."""
    start = next((m for m in messages if m["type"] == "http.response.start"), None)
    if start is None:
        return None
    sent = Headers(raw=start["headers"])
    body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.response.body")
    return RememberedAnswer(start["status"], {name: sent[name] for name in _KEPT_HEADERS if name in sent}, body)


async def _read(headers: Headers, receive: Receive, limit: int) -> bytes | None:
    """The whole body. Raises TooLarge as soon as that is known."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives `body` first and then whatever the connection has to say."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _fingerprint(scope: Scope) -> str:
    """SHA-256 of what is asked. A form's boundary is random in every try, so it is taken out."""
    body: bytes = scope["state"].get("body", b"")
    boundary = re.search(r"boundary=\"?([^\";,]+)", Headers(scope=scope).get("content-type", ""))
    if boundary:
        body = body.replace(boundary[1].encode(), b"")
    return hashlib.sha256(b"\n".join([scope["path"].encode(), scope["query_string"], body])).hexdigest()


async def _send_again(answer: RememberedAnswer, send: Send) -> None:
    headers = {**answer.headers, "content-length": str(len(answer.body)), "idempotent-replayed": "true"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


def _too_large(limit: int) -> TooLarge:
    return TooLarge("The request is too large.", hint=f"At most {limit:,} bytes.")
