"""Fixtures of the UI's tests: a fake API with recorded runs, and pages run in process against it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import streamlit as st
import uvicorn
from streamlit.testing.v1 import AppTest

import app.config
from tests.ui.fake_api import KEY, World, create_app, populated

MAIN = Path(__file__).parents[2] / "ui" / "main.py"
Page = Callable[..., AppTest]


@contextmanager
def served(world: World) -> Iterator[str]:
    """The fake API over `world` on a free port; gives its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(world), port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the fake API did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def served_world() -> Iterator[tuple[World, str]]:
    """One server for a module; each test gets its own runs in it."""
    world = World()
    with served(world) as url:
        yield world, url


@pytest.fixture
def world(served_world: tuple[World, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world with every kind of run, which the pages under test talk to."""
    found, url = served_world
    found.__dict__.update({k: v for k, v in populated().__dict__.items() if k not in {"lock", "_stop"}})
    (tmp_path / "api_key").write_text(KEY + "\n")
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path))
    monkeypatch.setenv("KEEPSAKE_API_URL", url)
    monkeypatch.chdir(tmp_path)  # a .env file of the checkout is not ours
    app.config.get_settings.cache_clear()
    st.cache_data.clear()
    st.cache_resource.clear()
    yield found
    app.config.get_settings.cache_clear()


@pytest.fixture
def open_page(world: World) -> Page:
    """Opens a page, as `open_page("run", run="run_done")`."""

    def open_it(name: str, **query: str) -> AppTest:
        page = AppTest.from_file(str(MAIN), default_timeout=60).run()
        if name != "new_task":
            page.switch_page(f"views/{name}.py")
            for key, value in query.items():
                page.query_params[key] = value
            page.run()
        assert not page.exception, page.exception
        return page

    return open_it


def texts(page: AppTest) -> list[str]:
    """Everything that is shown as plain text or code."""
    return [e.value for e in [*page.text, *page.code]]


def rendered(page: AppTest) -> str:
    """Everything that is rendered as Markdown or HTML, labels included."""
    parts = [e.value for kind in (page.markdown, page.caption, page.title, page.subheader, page.header) for e in kind]
    parts += [b.label for b in page.button] + [e.label for e in page.expander] + [c.label for c in page.checkbox]
    parts += [str(badge.value) for badge in page.get("badge")]
    return "\n".join(str(p) for p in parts)
