"""The doctor says what is wrong with this machine and what to do, line by line."""

import os
import socket
from pathlib import Path

import pytest
from fastapi.responses import JSONResponse
from typer.testing import CliRunner

from app.config import Settings
from app.errors import SetupError
from infra.stack import doctor, endpoint, preflight
from infra.stack.command import app
from infra.stack.preflight import FAIL, OK, WARN, Check, Part
from tests.agents.endpoint import completion, serve


def levels(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.level for check in checks}


def test_a_key_that_others_may_read_fails_with_the_command_that_mends_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.key_path.write_text("ks_1_x")
    settings.key_path.chmod(0o644)
    [check] = doctor.keys(settings)
    assert check.level == FAIL
    assert check.hint == f"chmod 600 {settings.key_path}"
    settings.key_path.chmod(0o600)
    assert [check.level for check in doctor.keys(settings)] == [OK]


def test_a_missing_browser_fails_with_its_package(tmp_path: Path) -> None:
    [check] = doctor.chromium(Settings(home=tmp_path, chromium=tmp_path / "none"))
    assert check.level == FAIL and "apt-get install chromium" in check.hint and "KEEPSAKE_CHROMIUM" in check.hint


@pytest.mark.sandbox
def test_the_sandbox_is_started_for_real(tmp_path: Path) -> None:
    [check] = doctor.sandbox(Settings(home=tmp_path))
    assert (check.level, check.found.endswith("runs programs")) == (OK, True)


def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen(1)
        port = stranger.getsockname()[1]
        found = {check.name: check for check in doctor.listening(Settings(home=tmp_path, api_port=port))}
    check = found[f"port {port}"]
    assert check.level == FAIL and f"pid {os.getpid()}" in check.found and "KEEPSAKE_API_PORT" in check.hint


def test_an_unbuilt_embedded_model_fails_and_an_outside_endpoint_makes_it_needless(tmp_path: Path) -> None:
    assert levels(list(doctor.serving(Settings(home=tmp_path)))) == {"serving environment": FAIL, "weights": FAIL}
    assert levels(list(doctor.serving(Settings(home=tmp_path, model_url="http://127.0.0.1:9/v1")))) == {"embedded model": OK}


def test_a_broken_database_file_fails(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert [check.level for check in doctor.database(settings)] == [OK]
    settings.data_dir.mkdir()
    (settings.data_dir / "keepsake.sqlite").write_bytes(b"no database" * 1000)
    [check] = doctor.database(settings)
    assert check.level == FAIL


def test_an_unreachable_postgresql_fails_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    [check] = doctor.database(Settings(home=tmp_path, database_url=f"postgresql://me:geheim@127.0.0.1:{port}/x"))
    assert check.level == FAIL and "geheim" not in str(check)


def test_a_check_that_breaks_is_a_line_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(settings: Settings):
        raise SetupError("It is broken.", hint="Mend it.")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"thing": breaks, "keys": doctor.keys})
    first, second = doctor.examine(Settings(home=tmp_path))
    assert (first.level, first.name, first.found, first.hint) == (FAIL, "thing", "It is broken.", "Mend it.")
    assert second.name == "API key"


def test_every_check_of_a_bare_home_gives_its_word(tmp_path: Path) -> None:
    found = list(doctor.examine(Settings(home=tmp_path, model_port=1, api_port=2)))
    assert {"Python", "Python packages", "Chromium", "sandbox", "Fossil", "weights", "database", "model endpoint"} <= set(levels(found))
    assert not any("cannot be examined" in check.found for check in found)


# The model endpoint


def say_copper(body: dict) -> dict:
    return completion('{"word": "copper"}')


def settings_for(url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, model_url=url, model_name="m")


def listing(served, *names: str) -> None:
    @served.app.get("/v1/models")
    def models() -> dict:
        return {"data": [{"id": name} for name in names]}


def test_an_endpoint_with_constraints_and_tokenizer_is_recognised(tmp_path: Path) -> None:
    with serve(say_copper) as served:
        listing(served, "m")
        found = endpoint.ask(settings_for(served.url, tmp_path))
        assert [check.level for check in doctor.model(settings_for(served.url, tmp_path))] == [OK, OK, OK]
    assert (found.problem, found.constrained, found.tokenize) == ("", True, True)
    assert served.requests[0]["response_format"]["type"] == "json_schema"


def test_an_endpoint_that_ignores_or_refuses_constraints_is_a_warning(tmp_path: Path) -> None:
    for answer in (lambda body: completion("It is sunny."), lambda body: JSONResponse({"error": {"message": "no"}}, 400)):
        with serve(answer, vllm=False) as served:
            listing(served, "m")
            assert [check.level for check in doctor.model(settings_for(served.url, tmp_path))] == [OK, WARN, WARN]


def test_an_endpoint_of_another_model_names_what_it_serves(tmp_path: Path) -> None:
    with serve(say_copper) as served:
        listing(served, "other-7b")
        [check] = doctor.model(settings_for(served.url, tmp_path))
    assert check.level == FAIL and "other-7b" in check.hint and "KEEPSAKE_MODEL_NAME" in check.hint


def test_an_outside_endpoint_that_is_down_fails_and_our_own_is_only_not_started(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    [outside] = doctor.model(Settings(home=tmp_path, model_url=f"http://127.0.0.1:{port}/v1"))
    [own] = doctor.model(Settings(home=tmp_path, model_port=port))
    assert (outside.level, own.level) == (FAIL, WARN)


# Before the installation


def test_too_little_disk_fails_and_says_how_much_is_needed(tmp_path: Path) -> None:
    [check] = preflight.disks([Part("model server", 1100, 10**9, tmp_path)])
    assert check.level == FAIL and "1000000.0 GB needed" in check.found and "KEEPSAKE_HOME" in check.hint


def test_parts_on_one_disk_are_added_up(tmp_path: Path) -> None:
    [check] = preflight.disks([Part("one", 1, 1000, tmp_path / "a"), Part("two", 1, 2000, tmp_path / "b" / "c", room=500)])
    assert "3.5 GB needed" in check.found


def test_the_download_is_told_part_by_part(tmp_path: Path) -> None:
    said = preflight.download([Part("model server", 1100, 1, tmp_path), Part("weights", 93, 1, tmp_path)])
    assert said.found == "about 1.2 GB (model server 1100 MB, weights 93 MB)"
    assert "nothing" in preflight.download([]).found


def test_an_outside_endpoint_needs_neither_model_server_nor_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path))
    monkeypatch.delenv("KEEPSAKE_MODEL_URL", raising=False)
    assert {"model server", "weights of the embedded model"} <= {part.name for part in preflight.missing_parts(False)}
    monkeypatch.setenv("KEEPSAKE_MODEL_URL", "http://127.0.0.1:9/v1")
    assert not {"model server", "weights of the embedded model"} & {part.name for part in preflight.missing_parts(False)}


@pytest.mark.parametrize(("version", "level"), [((3, 10), FAIL), ((3, 11), OK), ((3, 13), OK), ((3, 14), FAIL)])
def test_only_supported_pythons_pass(version: tuple[int, int], level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.sys, "version_info", (*version, 0))
    assert preflight.python().level == level


def test_doctor_before_install_prints_the_preflight() -> None:
    result = CliRunner().invoke(app, ["doctor", "--before-install"])
    assert result.exit_code == 0, result.output
    assert "memory" in result.output and "download" in result.output
