import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.errors import InvalidInput
from infra.training.command import training_python
from infra.training.hub import command
from infra.training.hub.config import RECIPES, load_hub_recipe
from infra.training.hub.processes import launch, require_world

QWEN = str(RECIPES / "qwen3_8b.yaml")


def _cli(*arguments: str):
    return CliRunner().invoke(command.app, ["train-hub", *arguments])


@pytest.mark.parametrize("verb", ["plan", "run", "resume"])
def test_a_bad_recipe_ends_with_a_sentence_and_exit_2_and_needs_no_torch(verb):
    done = _cli(verb, QWEN, "colour=red")
    assert done.exit_code == 2 and "colour=red" in done.stderr and "optimizer.lr" in done.stderr
    assert "torch" not in sys.modules and "transformers" not in sys.modules


def test_a_missing_environment_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "training_python", lambda: training_python(tmp_path))
    for verb in ("plan", "run", "resume"):
        done = _cli(verb, QWEN)
        assert done.exit_code == 1 and "make setup-train" in done.stderr, verb


def test_missing_packages_are_said(monkeypatch):
    monkeypatch.setattr(command, "_inside", lambda package: None)
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    done = _cli("run", QWEN)
    assert done.exit_code == 1 and "trl" in done.stderr and "make setup-train-hub" in done.stderr


def test_more_than_one_device_means_torchrun_unless_it_is_there(monkeypatch):
    started = []
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    launch(load_hub_recipe(Path("qwen3_8b")), ["train-hub", "run", "qwen3_8b"], lambda *call: started.append(call))
    words = "-m torch.distributed.run --standalone --nproc-per-node 8 -m infra.training.hub train-hub run qwen3_8b"
    assert started == [(sys.executable, [sys.executable, *words.split()])]
    launch(load_hub_recipe(Path("qwen3_8b"), ["parallel=none", "processes=1"]), [], lambda *call: started.append(call))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    launch(load_hub_recipe(Path("qwen3_8b")), [], lambda *call: started.append(call))
    assert len(started) == 1


def test_another_number_of_processes_than_the_recipes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InvalidInput, match="4 processes were started, the recipe is for 8") as found:
        require_world(load_hub_recipe(Path("qwen3_8b")))
    assert "--nproc-per-node 8" in found.value.hint
