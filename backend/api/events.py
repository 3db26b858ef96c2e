"""/v1/runs/{id}/events: a page of the trail, or the trail as it grows (SSE)."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from app.errors import InvalidInput, NotFound
from app.events import Event, EventType
from app.schemas import Page
from backend.api.parameters import StoreDep
from backend.problems import documented
from backend.store import Store

POLL_S = 0.25  # other processes write too; within this one the bell is faster
PING_S = 10.0
BATCH = 200

router = APIRouter(prefix="/v1/runs", tags=["events"])


@router.get(
    "/{run_id}/events",
    response_model=Page[Event],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}, **documented(401, 404, 422, 503)},
)
async def list_events(
    request: Request,
    store: StoreDep,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Events with a greater seq.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    last_event_id: Annotated[str | None, Header(description="For a stream that goes on; wins over `after`.")] = None,
) -> Response:
    """Events in order. With `Accept: text/event-stream` a stream that stays open until the run has ended."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _stream(store, run_id, _seq(last_event_id) if last_event_id is not None else after)
    events = await store.runs.events(run_id, after, limit + 1)
    more = len(events) > limit
    page = Page[Event](items=events[:limit], next_cursor=str(events[limit - 1].seq) if more else None)
    return JSONResponse(page.model_dump(mode="json"))


async def _stream(store: Store, run_id: str, after: int) -> Response:
    first = await store.runs.events(run_id, after, BATCH)  # 404 before the stream begins
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_grow(store, run_id, after, first), media_type="text/event-stream", headers=headers)


async def _grow(store: Store, run_id: str, after: int, events: list[Event]) -> AsyncGenerator[str]:
    """Frames until the run has ended or is deleted. Holds no transaction while it waits."""
    yield "retry: 1000\n\n"
    spoken = time.monotonic()
    may_be_over = True
    while True:
        for event in events:
            yield f"id: {event.seq}\nevent: {event.type.value}\ndata: {event.model_dump_json()}\n\n"
            after, spoken = event.seq, time.monotonic()
            may_be_over = event.type == EventType.RUN_FINISHED
        if not events:
            if may_be_over and await store.runs.is_over(run_id, after):
                return
            may_be_over = False
            if time.monotonic() - spoken >= PING_S:
                yield ": ping\n\n"
                spoken = time.monotonic()
            await store.bell.wait(run_id, POLL_S)
        try:
            events = await store.runs.events(run_id, after, BATCH)
        except NotFound:  # deleted meanwhile
            return


def _seq(last_event_id: str) -> int:
    if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 9:
        raise InvalidInput("Last-Event-ID is not the number of an event.", hint="Send back the last `id:` of the stream.")
    return int(last_event_id)
