"""POST /exec: run a program on some files within limits. That is all the app can ask of whoever holds the engine.

The body is an order as in agents.sandbox.wire, the answer a reply; both stream through, nothing touches this service's disk. The caller
chooses argv, env, files and limits up to `most`; image, user, mounts, network and capabilities are the backend's and cannot be named here.
"""

import asyncio
import hmac
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from agents.sandbox.base import MIB, Limits
from agents.sandbox.supervised import OVERHEAD_S, SupervisedSandbox
from agents.sandbox.wire import Incoming, Order, parse_order
from app.errors import InvalidInput, KeepsakeError, SandboxFailed, Unauthorised

MOST = Limits(
    wall_s=120,
    cpu_s=120,
    memory_bytes=2048 * MIB,
    pids=256,
    file_bytes=256 * MIB,
    disk_bytes=512 * MIB,
    files=16_384,
    output_bytes=MIB,
)
QUEUE_S = 30.0  # how long an order waits for a free slot
LOOK_S = 0.25  # how often a caller's presence is looked at before its answer begins
log = logging.getLogger("keepsake.sandboxd")


def create_service(sandbox: SupervisedSandbox, token: str, *, slots: int = 4, most: Limits = MOST) -> FastAPI:
    """The ASGI app. `slots` orders run at a time; a caller without `token` learns only that the service is alive."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with sandbox:
            log.info("sandboxd runs programs with %s", sandbox.name)
            yield

    service = FastAPI(title="sandboxd", lifespan=lifespan, openapi_url=None)
    free = asyncio.Semaphore(slots)

    @service.exception_handler(KeepsakeError)
    async def problem(_: Request, error: KeepsakeError) -> JSONResponse:
        body = {"title": error.code, "status": error.status, "detail": error.message, "code": error.code, "hint": error.hint}
        return JSONResponse(body, error.status, media_type="application/problem+json")

    @service.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @service.post("/exec")
    async def execute(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            raise Unauthorised("The bearer token is missing or wrong.")
        body = Body(request)
        try:
            order = parse_order(await body.incoming.header())
        except (ValueError, EOFError):
            raise InvalidInput("The body is not an order.") from None
        refuse_beyond(order.limits, most)
        stream = answer(sandbox, order, body, free)
        try:
            first = await while_listened_to(stream, body, request)
        except BaseException:
            await stream.aclose()
            raise
        return StreamingResponse(joined(first, stream), media_type="application/octet-stream")

    return service


class Body:
    """A request's body, and whether its order's payload has been read to the end."""

    def __init__(self, request: Request) -> None:
        self.incoming = Incoming(request.stream())
        self.complete = False

    async def payload(self, size: int) -> AsyncIterator[bytes]:
        try:
            async for part in self.incoming.through(size):
                yield part
        except EOFError:
            raise InvalidInput("The body is shorter than its header says.") from None
        self.complete = True


async def answer(sandbox: SupervisedSandbox, order: Order, body: Body, free: asyncio.Semaphore) -> AsyncGenerator[bytes, None]:
    """The reply's bytes, while holding a slot, and never longer than the order's wall time and the usual overhead."""
    try:
        await asyncio.wait_for(free.acquire(), QUEUE_S)
    except TimeoutError:
        raise SandboxFailed("All slots of sandboxd are taken.", hint="Try again later.") from None
    try:
        end = asyncio.get_running_loop().time() + order.limits.wall_s + OVERHEAD_S
        async with aclosing(sandbox.converse(order, body.payload(order.payload_size))) as chunks:
            while True:
                try:
                    left = end - asyncio.get_running_loop().time()
                    yield await asyncio.wait_for(anext(chunks), left)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise SandboxFailed("The sandbox did not answer in time; it was stopped.") from None
    finally:
        free.release()


async def while_listened_to(stream: AsyncGenerator[bytes, None], body: Body, request: Request) -> bytes:
    """The first chunk of an answer; a caller that hangs up before it comes has its program stopped."""
    first = asyncio.ensure_future(anext(stream))
    try:
        while not (await asyncio.wait({first}, timeout=LOOK_S))[0]:
            # Looking earlier would swallow parts of the body.
            if body.complete and await request.is_disconnected():
                raise SandboxFailed("The caller has gone.")
        return first.result()
    finally:
        if not first.done():
            first.cancel()
            await asyncio.wait({first})


async def joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part


def refuse_beyond(limits: Limits, most: Limits) -> None:
    for name in Limits.model_fields:
        if getattr(limits, name) > getattr(most, name):
            raise InvalidInput(f"limits.{name} is more than this sandboxd allows ({getattr(most, name):g}).")
