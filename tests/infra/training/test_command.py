import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from app.errors import SetupError
from infra.training import command
from infra.training.command import CHECKOUT, RECIPES, app, training_python

FIRST = str(RECIPES / "first_team.yaml")
PYTHON = command.ENVIRONMENT / "bin" / "python"


def _cli(*arguments: str):
    return CliRunner().invoke(app, ["train", *arguments])


def test_validate_prints_every_setting_and_needs_no_torch():
    done = _cli("validate", FIRST, "lr=3e-4")
    assert done.exit_code == 0 and "torch" not in sys.modules
    assert yaml.safe_load(done.stdout)["optimizer"] == {
        "lr": 3e-4,
        "warmup_steps": 10,
        "betas": [0.9, 0.95],
        "weight_decay": 0.01,
        "clip": 1.0,
    }


def test_a_bad_recipe_ends_with_message_hint_and_exit_2():
    done = _cli("validate", FIRST, "tokens=none")
    assert done.exit_code == 2
    assert "train.tokens" in done.stderr and "validate" in done.stderr


def test_a_recipe_alone_means_run_and_a_missing_environment_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "training_python", lambda: training_python(tmp_path))
    for arguments in (["run", FIRST], [FIRST], ["resume", FIRST], ["eval", FIRST], ["data", FIRST]):
        done = _cli(*arguments)
        assert done.exit_code == 1, arguments
        assert "make setup-train" in done.stderr


def test_the_missing_environment_is_a_setup_error(tmp_path):
    with pytest.raises(SetupError, match="not installed"):
        training_python(tmp_path)


def test_an_unfinished_run_is_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path))
    command.get_settings.cache_clear()
    done = _cli("ship", FIRST)
    command.get_settings.cache_clear()
    assert done.exit_code == 2 and "not finished" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="the training environment is not installed (`make setup-train`)")
def test_a_run_stopped_by_sigterm_goes_on_to_the_very_same_weights(tmp_path):
    recipe = _prepare(tmp_path)
    stopped = _start(tmp_path / "one", "run", recipe)
    metrics = None
    while stopped.poll() is None and (metrics is None or metrics.read_text().count("\n") < 5):
        metrics = next((tmp_path / "one").glob("training/runs/*/metrics.jsonl"), None)
        time.sleep(0.02)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 0, said
    assert "go on with: keepsake train resume" in said and "stopped after step" in said
    at = json.loads((metrics.parent / "manifest.json").read_text())
    assert at["status"] == "stopped" and 5 <= at["steps_done"] < at["steps"]

    ended = [_start(tmp_path / home, verb, recipe) for home, verb in (("one", "resume"), ("two", "run"))]
    for process in ended:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    manifests = [json.loads(next((tmp_path / home).glob("training/runs/*/manifest.json")).read_text()) for home in ("one", "two")]
    assert [m["status"] for m in manifests] == ["finished", "finished"] and [m["attempts"] for m in manifests] == [2, 1]
    assert manifests[0]["artifacts"] == manifests[1]["artifacts"]
    lines = [_losses(next((tmp_path / home).glob("training/runs/*/metrics.jsonl"))) for home in ("one", "two")]
    assert lines[0] == lines[1] and len(lines[0]) == manifests[0]["steps"]


def _prepare(folder: Path) -> Path:
    """Two homes with the same tiny base weights, and a recipe of about fifty steps."""
    code = (
        "import sys; from pathlib import Path; from tests.infra.training.tiny import make_base, write_recipe; folder = Path(sys.argv[1]);"
        "[make_base(folder / home) for home in ('one', 'two')]; write_recipe(folder, tokens=30_000)"
    )
    subprocess.run([PYTHON, "-c", code, folder], cwd=CHECKOUT, check=True, timeout=120)
    return folder / "tiny.yaml"


def _start(home: Path, verb: str, recipe: Path) -> subprocess.Popen[str]:
    """The command as a person types it: in this environment, from which it goes over to the training environment by itself."""
    arguments = [sys.executable, "-m", "infra.training", "train", verb, str(recipe)]
    environment = {**os.environ, "KEEPSAKE_HOME": str(home)}
    return subprocess.Popen(arguments, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _losses(metrics: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]
