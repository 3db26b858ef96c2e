"""`keepsake up`, `down` and `status` on small services: two web servers and nothing that takes long."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from app.errors import SetupError
from infra.stack.process import start, start_ticks, stop, wait_until
from infra.stack.services import Service, answers, environment
from infra.stack.stack import Stack

SERVER = """
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def web(name: str, port: int, code: str = SERVER, patience_s: float = 20.0) -> Service:
    url = f"http://127.0.0.1:{port}"
    return Service(
        name=name,
        title=f"{name} server",
        command=[sys.executable, "-c", code, str(port)],
        ready=lambda: answers(url),
        ports={f"KEEPSAKE_{name.upper()}_PORT": port},
        address=url,
        patience_s=patience_s,
    )


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stack_of(tmp_path: Path, said: list[str]) -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(*services: Service) -> Stack:
        made.append(Stack(Settings(home=tmp_path), services, said.append))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


def test_up_starts_everything_and_returns_when_it_answers(stack_of: Callable[..., Stack], said: list[str]) -> None:
    one, two = web("one", free_port()), web("two", free_port())
    stack = stack_of(one, two)
    stack.up()
    assert httpx.get(one.address).is_success and httpx.get(two.address).is_success
    assert [state.state for state in stack.state()] == ["running", "running"]
    assert all(state.pid and state.memory_bytes > 1_000_000 for state in stack.state())
    assert any("one" in line and "ready" in line and one.address in line for line in said)


def test_a_second_up_says_what_runs_and_starts_only_what_is_missing(stack_of: Callable[..., Stack], said: list[str]) -> None:
    one, two = web("one", free_port()), web("two", free_port())
    first = stack_of(one)
    first.up()
    pid = first.state()[0].pid
    said.clear()
    stack_of(one, two).up()
    assert any("one" in line and f"already runs at {one.address} (pid {pid})" in line for line in said)
    assert first.state()[0].pid == pid
    assert httpx.get(two.address).is_success


def test_down_stops_what_another_process_started_and_says_so(stack_of: Callable[..., Stack], said: list[str]) -> None:
    one = web("one", free_port())
    stack = stack_of(one)
    stack.up()
    pid = stack.state()[0].pid
    assert stack_of(one).down() == ["one"]
    assert pid is not None and start_ticks(pid) is None
    assert stack.state()[0].state == "stopped"
    assert stack.down() == []


def test_a_taken_port_is_named_with_its_owner_and_its_setting_before_anything_starts(stack_of: Callable[..., Stack]) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen(1)
        port = stranger.getsockname()[1]
        stack = stack_of(web("one", free_port()), web("two", port))
        with pytest.raises(SetupError, match=rf"Port {port} for the two server is taken \(pid \d+: .*python") as caught:
            stack.up()
        assert "KEEPSAKE_TWO_PORT" in caught.value.hint
        assert [state.state for state in stack.state()] == ["stopped", "stopped"]


def test_a_service_that_ends_takes_down_what_was_started_with_it_and_shows_its_log(stack_of: Callable[..., Stack]) -> None:
    one, two = web("one", free_port()), web("two", free_port(), "import sys; sys.exit('no weights here')")
    stack = stack_of(one, two)
    with pytest.raises(SetupError, match=r"(?s)two server ended before it was ready.*no weights here"):
        stack.up()
    assert [state.state for state in stack.state()] == ["stopped", "stopped"]
    assert not answers(one.address)


def test_what_ran_before_survives_a_failed_up(stack_of: Callable[..., Stack]) -> None:
    one, two = web("one", free_port()), web("two", free_port(), "import sys; sys.exit(3)")
    stack_of(one).up()
    with pytest.raises(SetupError):
        stack_of(one, two).up()
    assert answers(one.address)


def test_a_service_that_never_gets_ready_is_given_up(stack_of: Callable[..., Stack]) -> None:
    stack = stack_of(web("one", free_port(), "import time; time.sleep(60)", patience_s=0.5))
    with pytest.raises(SetupError, match=r"was not ready after \d s"):
        stack.up()
    assert stack.state()[0].state == "stopped"


def test_a_killed_service_is_reported_and_up_starts_it_again(stack_of: Callable[..., Stack], tmp_path: Path) -> None:
    one = web("one", free_port())
    stack = stack_of(one)
    stack.up()
    record = stack.record(one)
    assert record is not None

    os.kill(record.pid, 9)
    os.waitpid(record.pid, 0)
    assert stack.state()[0].state == "died"
    stack.up()
    assert stack.state()[0].state == "running"


def test_a_server_that_took_the_place_of_a_killed_one_is_what_runs(stack_of: Callable[..., Stack], tmp_path: Path) -> None:
    one = web("one", free_port())
    stack_of(one).up()
    record = stack_of(one).record(one)
    assert record is not None
    os.kill(record.pid, 9)
    os.waitpid(record.pid, 0)
    other = start("one", one.command, tmp_path / "other.log", environment={"PATH": os.environ["PATH"]}, directory=tmp_path)
    stack = stack_of(replace(one, find=lambda: (other.pid, other.log)))
    try:
        assert wait_until(one.ready, 10)
        assert [(state.state, state.pid) for state in stack.state()] == [("running", other.pid)]
        assert stack.up() == [], "its port is not taken by a stranger"
    finally:
        stop(other)


def test_data_logs_and_records_are_their_owners_alone(stack_of: Callable[..., Stack], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    stack_of().up()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("data", "logs", "run")] == [0o700] * 3


def test_services_inherit_settings_that_were_given_in_another_way_than_by_environment(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, api_port=9876, allowed_hosts=["a", "b"], model_key="secret")  # type: ignore[arg-type]
    inherited = environment(settings)
    assert inherited["KEEPSAKE_HOME"] == str(tmp_path)
    assert inherited["KEEPSAKE_API_PORT"] == "9876"
    assert inherited["KEEPSAKE_ALLOWED_HOSTS"] == '["a", "b"]'
    assert inherited["KEEPSAKE_MODEL_KEY"] == "secret"
