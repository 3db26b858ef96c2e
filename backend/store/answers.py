"""Remembered answers to POSTs with an Idempotency-Key, for 24 hours."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete

from app.errors import Conflict, InvalidInput
from backend.database import Database
from backend.tables import IdempotencyRow

KEPT = timedelta(hours=24)
STALE = timedelta(minutes=2)  # an answer in flight for so long belongs to a process that died


@dataclass(frozen=True)
class RememberedAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


class Answers:
    """One row per (API key, Idempotency-Key)."""

    def __init__(self, database: Database, owner: str) -> None:
        self.database = database
        self.owner = owner

    async def begin(self, api_key: str, key: str, fingerprint: str) -> RememberedAnswer | None:
        """Reserve `key` for a request with this fingerprint, or give the answer it had before. Raises InvalidInput for another request under
        the same key and Conflict while the first is in flight."""
        now = datetime.now(UTC)
        try:
            async with self.database.write() as session:
                await session.exec(delete(IdempotencyRow).where(col(IdempotencyRow.created_at) < now - KEPT))
                row = await session.get(IdempotencyRow, (api_key, key), with_for_update=True)
                if row is not None and row.fingerprint != fingerprint:
                    raise InvalidInput("This Idempotency-Key came with another request before.", hint="Use a new key for a new request.")
                if row is not None and row.status is not None:
                    return RememberedAnswer(row.status, row.headers or {}, (row.body or "").encode())
                if row is not None and row.created_at > now - STALE:
                    raise _in_flight()
                if row is not None:
                    row.owner, row.created_at = self.owner, now
                else:
                    session.add(IdempotencyRow(api_key=api_key, key=key, fingerprint=fingerprint, owner=self.owner, created_at=now))
        except IntegrityError:
            raise _in_flight() from None
        return None

    async def finish(self, api_key: str, key: str, answer: RememberedAnswer) -> None:
        async with self.database.write() as session:
            row = await session.get(IdempotencyRow, (api_key, key))
            if row is not None and row.owner == self.owner:
                row.status, row.headers, row.body = answer.status, answer.headers, answer.body.decode()

    async def forget(self, api_key: str, key: str) -> None:
        """Free a key whose request came to nothing (a server error, a client that went away): it may be tried again."""
        async with self.database.write() as session:
            row = await session.get(IdempotencyRow, (api_key, key))
            if row is not None and row.owner == self.owner and row.status is None:
                await session.delete(row)


def _in_flight() -> Conflict:
    return Conflict("A request with this Idempotency-Key is in flight.", hint="Wait for its answer, then ask again with the same key.")
