"""The commands themselves: names that are none, logs, a status that a program can read."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.config import Settings, get_settings
from app.errors import InvalidInput
from infra.stack import command
from infra.stack.services import NAMES, services


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "get_settings", lambda: Settings(home=tmp_path))
    get_settings.cache_clear()
    return tmp_path


def invoke(*arguments: str):
    return CliRunner().invoke(command.app, list(arguments))


def test_an_unknown_service_is_refused_with_the_known_ones() -> None:
    result = invoke("up", "--only", "api,databse")
    assert isinstance(result.exception, InvalidInput)
    assert "There is no service `databse`" in result.exception.message and "worker" in result.exception.hint


def test_services_start_in_one_order_however_they_are_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert tuple(services(settings)) == NAMES
    assert [service.name for service in command.chosen(settings, ["ui, api", "worlds"])] == ["worlds", "api", "ui"]


def test_an_outside_model_leaves_our_server_out(tmp_path: Path) -> None:
    outside = Settings(home=tmp_path, model_url="http://127.0.0.1:9/v1")
    assert "model" not in [service.name for service in command.whole(outside)]
    assert "model" not in [service.name for service in command.whole(Settings(home=tmp_path), model=False)]
    assert [service.name for service in command.whole(Settings(home=tmp_path))] == list(NAMES)


def test_status_of_nothing_lists_every_service_as_stopped() -> None:
    states = json.loads(invoke("status", "--json").stdout)
    assert [(state["service"], state["state"]) for state in states] == [(name, "stopped") for name in NAMES]
    assert "stopped" in invoke("status").stdout


def test_down_without_anything_says_so() -> None:
    result = invoke("down")
    assert result.exit_code == 0 and "Nothing runs." in result.output


def test_logs_shows_the_end_and_says_when_there_is_none(home: Path) -> None:
    assert invoke("logs", "api").exit_code == 1
    (home / "logs").mkdir()
    (home / "logs" / "api.log").write_text("one\ntwo\nthree\n")
    assert invoke("logs", "api", "-n", "2").stdout == "two\nthree\n"


def test_no_two_services_want_the_same_port(tmp_path: Path) -> None:
    ports = [port for service in services(Settings(home=tmp_path)).values() for port in service.ports.values()]
    assert len(ports) == len(set(ports)) == 5
