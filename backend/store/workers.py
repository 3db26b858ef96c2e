"""Signs of life of the workers, so that the API can say whether anybody works."""

from datetime import UTC, datetime, timedelta

from sqlmodel import col, select

from backend.database import Database
from backend.tables import WorkerRow

ALIVE = timedelta(seconds=15)


class Workers:
    def __init__(self, database: Database) -> None:
        self.database = database

    async def seen(self, worker_id: str, model: str | None = None) -> None:
        """`model`: see WorkerRow."""
        async with self.database.write() as session:
            row = await session.get(WorkerRow, worker_id)
            if row is None:
                session.add(WorkerRow(id=worker_id, model=model))
            else:
                row.seen_at, row.model = datetime.now(UTC), model

    async def gone(self, worker_id: str) -> None:
        async with self.database.write() as session:
            row = await session.get(WorkerRow, worker_id)
            if row is not None:
                await session.delete(row)

    async def alive(self) -> dict[str, str | None]:
        """The workers that were seen in the last 15 seconds, by id, with what they say of their model."""
        async with self.database.read() as session:
            query = select(WorkerRow.id, WorkerRow.model).where(col(WorkerRow.seen_at) > datetime.now(UTC) - ALIVE)
            return dict((await session.exec(query)).all())
