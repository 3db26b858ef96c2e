"""The mask of training is what the serving engine computes: the same tokens, the engine's log probabilities against the hooked model's."""

import json
import subprocess
from pathlib import Path

import pytest

from infra.training.command import CHECKOUT, ENVIRONMENT
from tests.infra.serving_environment import run

PYTHON = ENVIRONMENT / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON.exists(), reason="the training environment is not installed (`make setup-train`)"),
]


def test_training_sees_what_the_engine_sees(tmp_path):
    said = run(Path(__file__).with_name("engine_answers.py"), tmp_path, VLLM_LOGGING_LEVEL="ERROR")
    assert said.returncode == 0, said.stderr[-3000:]
    done = subprocess.run(
        [PYTHON, "-m", "tests.infra.training.hub.engine_parity", tmp_path], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] > 150
    assert found["off"] <= 1e-4  # float32, two engines
    assert found["plain"] > 1  # without the mask it would show
