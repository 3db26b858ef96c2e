"""The application database: SQLite in WAL mode by default, PostgreSQL by URL. Sessions, migrations and the boundary of its errors."""

import asyncio
import fcntl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.config import Settings
from app.errors import SetupError, StorageError

MIGRATION_LOCK = 4_812_001  # advisory lock of PostgreSQL; any fixed number of our own


def async_url(url: str) -> URL:
    """`url` with the driver that the asynchronous engine needs. Raises SetupError for anything but SQLite and PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SetupError(
            "The database URL cannot be read.", hint="sqlite+aiosqlite:///path or postgresql://user:password@host/name"
        ) from None
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    name = parsed.drivername.split("+")[0]
    if name not in drivers:
        raise SetupError(f"There is no support for `{name}` databases.", hint="Use SQLite or PostgreSQL.")
    return parsed.set(drivername=drivers[name])


def sync_url(url: URL) -> URL:
    """The same database for Alembic and DBOS, which are synchronous; psycopg serves both."""
    return url.set(drivername="sqlite" if url.drivername.startswith("sqlite") else url.drivername)


def durable_url(settings: Settings) -> str:
    """Where DBOS keeps its steps: as set, else the PostgreSQL database, else a SQLite file of its own."""
    url = async_url(settings.durable_url or settings.effective_database_url)
    if url.drivername.startswith("sqlite"):
        path = url.database if settings.durable_url else str(settings.data_dir / "steps.sqlite")
        return f"sqlite:///{path}"
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Database:
    """Sessions over one engine. Every foreign exception leaves as StorageError, except IntegrityError, which callers may expect."""

    def __init__(self, settings: Settings) -> None:
        self.url = async_url(settings.effective_database_url)
        self.lock_path = settings.data_dir / "migrate.lock"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.engine: AsyncEngine = create_async_engine(self.url, pool_pre_ping=not self.is_sqlite, hide_parameters=True)
        if self.is_sqlite:
            _tune_sqlite(self.engine)
        self._sessions = async_sessionmaker(self.engine, class_=AsyncSession, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.drivername.startswith("sqlite")

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session for one short look; it never writes."""
        with _classified():
            async with self._sessions() as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        """One transaction: committed at the end of the block, rolled back when it raises. On SQLite it holds the write lock from the start."""
        with _classified():
            async with self._sessions() as session, session.begin():
                if self.is_sqlite:
                    await session.connection(execution_options={"write": True})
                yield session

    async def ping(self) -> None:
        async with self.read() as session:
            await session.connection()

    async def migrate(self, durable: str) -> None:
        """Bring both databases (ours, and DBOS's at `durable`) to the newest schema. Safe to call from several processes at once."""
        try:
            await asyncio.to_thread(self._migrate, durable)
        except DBAPIError as error:
            raise StorageError(f"The database could not be prepared: {_reason(error)}", hint="Is it running, and may we write?") from error

    def _migrate(self, durable: str) -> None:
        from dbos import DBOS  # takes a second to import; only processes that migrate pay for it

        engine = sa.create_engine(sync_url(self.url))
        try:
            with self._migration_lock(engine):
                with engine.begin() as connection:
                    config = Config()
                    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                DBOS.migrate(durable)
        finally:
            engine.dispose()

    @contextmanager
    def _migration_lock(self, engine: sa.Engine) -> Generator[None]:
        if self.is_sqlite:
            self.lock_path.parent.mkdir(parents=True, exist_ok=True)
            with self.lock_path.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also by a kill
                yield
            return
        # Autocommit: DBOS builds indexes concurrently, which waits for every open transaction.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
            yield
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))

    async def close(self) -> None:
        await self.engine.dispose()


def _tune_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, below
        cursor = connection.cursor()
        for pragma in (
            "busy_timeout=30000",
            "journal_mode=WAL",
            "synchronous=FULL",  # an intent must outlive a power cut, not only a kill
            "foreign_keys=ON",
            "secure_delete=ON",  # a deleted task leaves nothing in the file
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # A read that later becomes a write could not wait for its lock, so writers take it at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")


@contextmanager
def _classified() -> Generator[None]:
    """The boundary: what the driver raises becomes a StorageError."""
    try:
        yield
    except IntegrityError:
        raise
    except (DBAPIError, PoolTimeout, NoSuchModuleError, OSError) as error:
        raise StorageError(f"The database did not answer: {_reason(error)}", hint="The request may be tried again.") from error


def _reason(error: BaseException) -> str:
    """Class of the driver's error: its text may hold statements, parameters or the URL's password."""
    return type(getattr(error, "orig", None) or error).__name__
