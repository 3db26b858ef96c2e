"""`keepsake train promote | rollback | versions`: what a person sees, and the exit code that a script sees."""

import json

import pytest
from typer.testing import CliRunner

from infra.training import command
from infra.training.command import app
from infra.training.measuring import measure
from infra.training.registry import Registry
from tests.infra.training.promoting import WORLDS, bench, finished_run, prepare, worlds


@pytest.fixture
def settings(tmp_path, monkeypatch):
    settings = prepare(tmp_path, monkeypatch)
    monkeypatch.setattr(command, "get_settings", lambda: settings)
    monkeypatch.setattr("infra.weights.shipped.newest_production", lambda: None)
    return settings


def cli(*arguments: str):
    return CliRunner().invoke(app, ["train", *arguments])


def solved(settings, candidate, figures) -> None:
    """What an earlier `--measure` left of these weights."""
    measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt, bench(figures))


def test_a_run_is_promoted_and_gone_back_from(settings):
    candidate = finished_run(settings)
    solved(settings, candidate, WORLDS)
    done = cli("promote", str(settings.home / "small.yaml"))
    assert (done.exit_code, done.stdout) == (0, f"{candidate.name}.1\n"), done.stderr
    assert "passes all 5 gates" in done.stderr and "is production" in done.stderr
    done = cli("rollback")
    assert (done.exit_code, done.stdout) == (0, "shipped-1\n")


def test_failing_gates_are_named_and_the_exit_code_is_1(settings):
    candidate = finished_run(settings)
    solved(settings, candidate, worlds(0.7))
    done = cli("promote", str(settings.home / "small.yaml"))
    assert done.exit_code == 1 and "worlds.success is 0.7 (n = 40), at least 0.835" in done.stderr
    listed = cli("versions")
    assert listed.exit_code == 0 and f"{candidate.name}.1" in listed.stdout and "candidate" in listed.stdout
    view = json.loads(cli("versions", "--json").stdout)
    assert view["serving"] == "shipped-1" and view["aliases"]["candidate"] == f"{candidate.name}.1"


def test_a_damaged_version_stands_out_in_the_list(settings):
    candidate = finished_run(settings)
    solved(settings, candidate, WORLDS)
    cli("promote", str(settings.home / "small.yaml"))
    path = Registry(settings).path / f"{candidate.name}.1" / "delta.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"x")
    shown = " ".join(cli("versions").stdout.split())
    assert "missing or" in shown and "damaged" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["promote", "nothing"], 2, "no version `nothing`"),
        (["promote", "first_team"], 2, "is not finished"),
        (["promote", "nothing.yaml"], 2, "no recipe at"),
        (["promote", "nothing", "lr=1"], 2, "takes no settings"),
        (["rollback"], 2, "no version before shipped-1"),
        (["rollback", "nothing"], 2, "no version before shipped-1"),
    ],
)
def test_a_wrong_request_is_a_sentence_and_a_hint(settings, arguments, code, words):
    done = cli(*arguments)
    assert done.exit_code == code and words in done.stderr and len(done.stderr.strip().splitlines()) == 2


def test_a_bench_that_fails_is_a_sentence(settings, monkeypatch):
    monkeypatch.setattr("infra.training.measuring.sys.executable", "/bin/false")
    finished_run(settings)
    done = cli("promote", str(settings.home / "small.yaml"), "--measure")
    assert done.exit_code == 1 and "`keepsake bench worlds` ended with exit code 1" in done.stderr


def test_a_disk_that_is_full_is_a_sentence(settings, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device", "metrics.jsonl")

    monkeypatch.setattr(Registry, "view", full)
    done = cli("versions")
    assert done.exit_code == 1 and "metrics.jsonl: No space left on device." in done.stderr and "Free some disk" in done.stderr
