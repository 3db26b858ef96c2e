"""The implementations that the contract suite is run against, each one for real."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from agents.sandbox import bubblewrap
from agents.sandbox.base import ExecResult, Limits
from agents.sandbox.bubblewrap import Bubblewrap
from agents.sandbox.docker import Docker
from agents.sandbox.remote import RemoteSandbox
from agents.sandbox.supervised import SupervisedSandbox
from infra.sandboxd.service import create_service
from tests.agents.sandbox.engine import Engine, running_engine

TOKEN = "a token for the tests only"


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="session")
def need_bubblewrap() -> None:
    if reason := bubblewrap.missing():
        pytest.skip(f"{reason.message} {reason.hint}")


@contextmanager
def serving(service: FastAPI) -> Iterator[str]:
    """The address of a service that runs in a thread on a free loopback port."""
    server = uvicorn.Server(uvicorn.Config(service, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def sandboxd_url(need_bubblewrap: None) -> Iterator[str]:
    """sandboxd over bubblewrap."""
    with serving(create_service(Bubblewrap(), TOKEN, slots=3)) as url:
        yield url


@pytest.fixture(params=["bubblewrap", "bubblewrap without cgroup", "docker", "sandboxd"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[SupervisedSandbox]:
    if request.param == "docker":
        engine = request.getfixturevalue("engine")
        made: SupervisedSandbox = Docker(engine.image, host=engine.host)
    elif request.param == "sandboxd":
        made = RemoteSandbox(request.getfixturevalue("sandboxd_url"), TOKEN)
    else:
        request.getfixturevalue("need_bubblewrap")
        made = Bubblewrap(cgroups=request.param == "bubblewrap")
    yield made
    await made.stop()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    directory = tmp_path / "workspace"
    directory.mkdir()
    return directory


RunPython = Callable[..., Awaitable[ExecResult]]


@pytest.fixture
def python(sandbox: SupervisedSandbox, workspace: Path) -> RunPython:
    """Run a Python program in the sandbox, on the workspace; keywords are those of `exec`, or of Limits."""

    async def run(program: str, *arguments: str, **options: object) -> ExecResult:
        limits = Limits.model_validate({key: options.pop(key) for key in list(options) if key in Limits.model_fields})
        return await asyncio.wait_for(
            sandbox.exec(["python3", "-c", program, *arguments], workspace=workspace, limits=limits, **options), 120
        )

    return run
