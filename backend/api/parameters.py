"""What routes take: the store, the engine, the promotions, the scope of a key, and the parameters that many of them share."""

from typing import Annotated

from fastapi import Depends, Query, Request

from app.errors import PolicyError
from backend.engine import Engine
from backend.promotions import Promotions
from backend.store import Store
from backend.store.keys import Scope


def _store(request: Request) -> Store:
    return request.app.state.store


def _engine(request: Request) -> Engine:
    return request.app.state.engine


def _promotions(request: Request) -> Promotions:
    return request.app.state.promotions


async def _admin(request: Request) -> None:
    """Raises PolicyError (403) unless the request's key has the scope for it."""
    if await _store(request).keys.scope_of(request.state.api_key) != Scope.ADMIN:
        raise PolicyError("This key may not change what is served.", hint="Use a key of scope admin: the one in the API's key file is.")


StoreDep = Annotated[Store, Depends(_store)]
EngineDep = Annotated[Engine, Depends(_engine)]
PromotionsDep = Annotated[Promotions, Depends(_promotions)]
AdminOnly = Depends(_admin)
Limit = Annotated[int, Query(ge=1, le=200, description="Items on the page.")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
