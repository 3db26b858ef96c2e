"""Fixtures of the backend's tests. Everything that a database decides is run on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.backend import postgres
from tests.backend.house import House, running_house, settings_of
from tests.backend.orders import Orders, open_shop


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql).")
    with postgres.cluster() as url:
        yield url


@pytest.fixture(scope="session")
def new_database(postgres_cluster: str) -> Any:
    """Makes a database in the private cluster and gives its URL."""

    def make(name: str) -> str:
        with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{postgres_cluster}/{name}"

    return make


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Any:
    """URL of an empty database of the kind named; empty stands for SQLite below the home directory."""

    def make(kind: str, name: str) -> str:
        return request.getfixturevalue("new_database")(name) if kind == "postgres" else ""

    return make


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A backend with a worker, shared by the tests of a module."""
    name = f"house_{request.module.__name__.rpartition('.')[2]}"
    settings = settings_of(
        tmp_path_factory.mktemp("home"), databases(request.param, name), model_key="sk-model-key-0123456789", max_upload_bytes=100_000
    )
    with running_house(settings) as running:
        yield running


@pytest.fixture
def shop() -> Iterator[Orders]:
    with open_shop() as orders:
        yield orders
