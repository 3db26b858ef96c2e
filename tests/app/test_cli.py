"""The commands as a person types them, against a real API."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import cli
from app.config import get_settings
from app.errors import InvalidInput, NotFound
from app.schemas import RunStatus
from tests.backend.house import House, running_house, settings_of


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(settings_of(tmp_path_factory.mktemp("home"))) as running:
        yield running


@pytest.fixture
def house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The house, found by commands through the environment as a person's shell would have it."""
    monkeypatch.setenv("KEEPSAKE_HOME", str(shared_house.settings.home))
    monkeypatch.setenv("KEEPSAKE_API_URL", shared_house.url)
    get_settings.cache_clear()
    yield shared_house
    get_settings.cache_clear()


def keepsake(*words: str, stdin: str = "") -> tuple[int, str]:
    """Exit code and standard output. Typed errors come through as exceptions, as `main` sees them."""
    result = CliRunner().invoke(cli.app, list(words), input=stdin, catch_exceptions=False)
    return result.exit_code, result.stdout


def test_run_follows_to_the_end_and_says_how_it_was(house: House, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello")
    code, shown = keepsake("run", "plan look\nthink\nanswer read", "--file", str(note), "--no-watch")
    run_id = shown.strip()
    assert code == 0 and run_id.startswith("run_")
    approval = house.pending(house.client.run(run_id))
    assert approval.id in keepsake("approve")[1]
    assert keepsake("approve", approval.id, "--reason", "fine")[1].split() == [approval.id, "approved"]
    code, shown = keepsake("watch", run_id)
    assert code == 0 and "Succeeded. read note.txt" in shown and "1. scripted look" in shown


def test_a_run_that_fails_is_exit_code_1(house: House) -> None:
    code, shown = keepsake("run", "-", stdin="fail stuck")
    assert code == 1 and "Failed. stuck" in shown


def test_a_question_is_answered_and_a_run_paused_resumed_and_cancelled(house: House) -> None:
    run_id = keepsake("run", "ask Which?\nask And?\nanswer", "--no-watch")[1].strip()
    run = house.client.run(run_id)
    house.until(run, RunStatus.AWAITING_INPUT)
    assert keepsake("say", run_id, "this")[1].strip() == "queued"
    house.until(run, RunStatus.AWAITING_INPUT)
    assert [keepsake(verb, run_id)[1].strip() for verb in ("pause", "resume", "cancel")] == ["paused", "awaiting_input", "cancelled"]


def test_an_exported_run_is_replayed_from_its_file(house: House, tmp_path: Path) -> None:
    run = house.until(house.start("think", "answer kept"))
    out = tmp_path / "run.json"
    assert keepsake("export", run.id, "-o", str(out))[0] == 0
    kept = json.loads(out.read_text())
    assert kept["format"] == "keepsake-run/1" and [e["seq"] for e in kept["events"]] == [1, 2, 3, 4]
    assert json.loads(keepsake("export", run.id)[1]) == kept
    house.client.delete_task(run.task_id)
    assert "Succeeded. kept" in keepsake("replay", str(out), "--speed", "1000")[1]
    with pytest.raises(NotFound):
        keepsake("replay", run.id)
    out.write_text("{}")
    with pytest.raises(InvalidInput):
        keepsake("replay", str(out))


@pytest.mark.parametrize(
    "words", [["run", "  "], ["run", "x", "--site", "shop"], ["run", "x", "--site", "Shop=http://a"], ["run", "x", "--file", "nowhere.txt"]]
)
def test_bad_words_are_typed_errors(house: House, words: list[str]) -> None:
    with pytest.raises(InvalidInput):
        keepsake(*words)


def test_what_a_page_says_cannot_steer_the_terminal(house: House) -> None:
    shown = keepsake("run", "answer \x1b[2J\x1b]0;title\x07 ok")[1]
    assert "\x1b" not in shown and "\x07" not in shown and "ok" in shown


def test_commands_of_other_floors_are_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    commands, groups = list(cli.app.registered_commands), list(cli.app.registered_groups)
    monkeypatch.setattr(cli.app, "registered_commands", commands)
    monkeypatch.setattr(cli.app, "registered_groups", groups)
    monkeypatch.setattr("sys.argv", ["keepsake", "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"\b{name}\b", shown) for name in ("run", "watch", "api", "worker"))


def test_a_typed_error_is_two_lines_and_exit_code_2_where_the_user_erred(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "hang_in", dict)
    monkeypatch.setattr("sys.argv", ["keepsake", "watch", "run_nowhere"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "There is no run `run_nowhere`." in said and "Traceback" not in said
