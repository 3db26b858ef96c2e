"""Cursor pages: newest first, by moment of creation and id. The cursor is opaque to callers."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlmodel import and_, col, or_
from sqlmodel.sql.expression import SelectOfScalar

from app.errors import InvalidInput
from app.schemas import Page
from backend.store.base import storable

T = TypeVar("T", bound=BaseModel)


def encode_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """The moment and id a cursor stands for. Raises InvalidInput for one that we never gave."""
    try:
        moment, _, row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(" ")
        created_at = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError):
        created_at, row_id = datetime.min, ""
    if not row_id or not storable(row_id) or created_at.tzinfo is None:
        raise InvalidInput("The cursor is not one of ours.", hint="Pass `next_cursor` of the page before, unchanged.")
    return created_at, row_id


def window(query: SelectOfScalar[Any], table: Any, cursor: str | None, limit: int) -> SelectOfScalar[Any]:
    """`query` from `cursor` on, newest first, with one row more than `limit` to see whether there is a next page."""
    created_at, row_id = col(table.created_at), col(table.id)
    if cursor is not None:
        moment, last = decode_cursor(cursor)
        query = query.where(or_(created_at < moment, and_(created_at == moment, row_id < last)))
    return query.order_by(created_at.desc(), row_id.desc()).limit(limit + 1)


def page_of(rows: Sequence[Any], limit: int, convert: Callable[[Any], T]) -> Page[T]:
    """A page from the rows that `window` gave."""
    cursor = encode_cursor(rows[limit - 1]) if len(rows) > limit else None
    return Page[Any](items=[convert(row) for row in rows[:limit]], next_cursor=cursor)
