"""Alembic's door: runs on the connection that backend.database hands over, or on Settings' database for `alembic revision`."""

import sqlalchemy as sa
from alembic import context

from app.config import get_settings
from backend.database import async_url, sync_url
from backend.tables import METADATA


def run(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    with sa.create_engine(sync_url(async_url(get_settings().effective_database_url))).begin() as own:
        run(own)
