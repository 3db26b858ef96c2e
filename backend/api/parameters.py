"""What routes take: the store, the engine, and the parameters that many of them share."""

from typing import Annotated

from fastapi import Depends, Query, Request

from backend.engine import Engine
from backend.store import Store


def _store(request: Request) -> Store:
    return request.app.state.store


def _engine(request: Request) -> Engine:
    return request.app.state.engine


StoreDep = Annotated[Store, Depends(_store)]
EngineDep = Annotated[Engine, Depends(_engine)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on the page.")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
