"""Tests of what needs torch run small programs in the real serving environment; where that is not built they skip with a sentence."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from app.config import Settings
from infra.serving_env import serving_env_ready, serving_python
from infra.weights.served import weights_ready


def interpreter() -> Path:
    if not serving_env_ready(Settings()):
        pytest.skip("the serving environment is not built here; `make setup` builds it")
    return serving_python(Settings())


def base_weights() -> Path:
    interpreter()
    if not weights_ready(Settings(), "base"):
        pytest.skip("the base weights are not built here; `make setup` builds them")
    return Settings().weights_dir / "base"


def own_server_settings(home: Path) -> Settings:
    """Settings of a model server on a free port, with records and logs of its own below `home`, so that one the person uses is left alone;
    environments and weights are the real ones."""
    real = Settings()
    (home / "envs").symlink_to(real.env_dir)
    (home / "weights").symlink_to(real.weights_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Settings(home=home, model_port=probe.getsockname()[1])


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program of the serving environment, with its output."""
    command = [str(interpreter()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def evaluate(code: str, *arguments: str | Path) -> object:
    """What `code` prints as JSON when the serving environment runs it."""
    done = run("-c", code, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
