"""Which sandbox is taken, and that it is never the host."""

from pathlib import Path

import pytest

from agents.sandbox import bubblewrap, choose, docker
from agents.sandbox.bubblewrap import Bubblewrap
from agents.sandbox.docker import Docker
from agents.sandbox.remote import RemoteSandbox
from app.config import Settings
from app.errors import SandboxUnavailable


def settings(tmp_path: Path, **given: str) -> Settings:
    return Settings.model_validate({"home": tmp_path, "sandbox_image": "an-image", **given})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Say what this machine has."""

    def has(*, bubblewrap_runs: bool, engine: bool) -> None:
        no = SandboxUnavailable("It is missing.")
        monkeypatch.setattr(bubblewrap, "missing", lambda: None if bubblewrap_runs else no)
        monkeypatch.setattr(docker, "missing", lambda host="": None if engine else no)

    return has


@pytest.mark.parametrize(
    ("wanted", "bubblewrap_runs", "engine", "taken"),
    [
        ("auto", True, True, Bubblewrap),
        ("auto", True, False, Bubblewrap),
        ("auto", False, True, Docker),
        ("bubblewrap", True, False, Bubblewrap),
        ("docker", True, True, Docker),
    ],
)
def test_what_is_set_or_first_found_is_taken(
    machine, tmp_path: Path, wanted: str, bubblewrap_runs: bool, engine: bool, taken: type
) -> None:
    machine(bubblewrap_runs=bubblewrap_runs, engine=engine)
    assert type(choose(settings(tmp_path, sandbox=wanted))) is taken


@pytest.mark.parametrize(
    ("wanted", "bubblewrap_runs", "engine"), [("auto", False, False), ("bubblewrap", False, True), ("docker", True, False)]
)
def test_where_it_is_missing_nothing_else_is_taken(machine, tmp_path: Path, wanted: str, bubblewrap_runs: bool, engine: bool) -> None:
    machine(bubblewrap_runs=bubblewrap_runs, engine=engine)
    with pytest.raises(SandboxUnavailable):
        choose(settings(tmp_path, sandbox=wanted))


def test_the_error_of_a_bare_machine_says_what_to_install(machine, tmp_path: Path) -> None:
    machine(bubblewrap_runs=False, engine=False)
    with pytest.raises(SandboxUnavailable) as caught:
        choose(settings(tmp_path))
    assert "no code is run" in caught.value.message and "apt-get install bubblewrap" in caught.value.hint


def test_an_address_of_sandboxd_comes_first(machine, tmp_path: Path) -> None:
    machine(bubblewrap_runs=True, engine=True)
    (tmp_path / "sandboxd_token").write_text("0123456789abcdef\n")
    assert isinstance(choose(settings(tmp_path, sandboxd_url="http://127.0.0.1:1")), RemoteSandbox)
    assert isinstance(choose(settings(tmp_path, sandboxd_url="http://127.0.0.1:1", sandbox="bubblewrap")), Bubblewrap)


@pytest.mark.parametrize("token", [None, "", "short", "ünïcödé-ünïcödé-ünïcödé"])
def test_sandboxd_without_a_sound_token_is_unavailable(tmp_path: Path, token: str | None) -> None:
    if token is not None:
        (tmp_path / "sandboxd_token").write_text(token)
    with pytest.raises(SandboxUnavailable, match="token"):
        choose(settings(tmp_path, sandboxd_url="http://127.0.0.1:1"))


def test_sandboxd_without_an_address_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="no address"):
        choose(settings(tmp_path, sandbox="sandboxd"))
