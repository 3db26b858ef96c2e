"""Runs hub_claims.py in the training environment and reports each of its claims as a test of its own."""

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from infra.training.command import CHECKOUT, ENVIRONMENT

CLAIMS = Path(__file__).with_name("hub_claims.py")
PYTHON = ENVIRONMENT / "bin" / "python"
NAMES = [
    node.name
    for node in ast.parse(CLAIMS.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name[0] != "_" and [a.arg for a in node.args.args] == ["folder"]
]


def _ready() -> bool:
    return PYTHON.exists() and any(ENVIRONMENT.glob("lib/python3*/site-packages/trl"))


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not _ready(), reason="hub training is not installed (`make setup-train-hub`)")]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    done = subprocess.run(
        [PYTHON, "-m", "tests.infra.training.hub.hub_claims", folder],
        cwd=CHECKOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(960)
@pytest.mark.parametrize("claim", NAMES)
def test_claim(results, claim):
    result = results[claim]
    if result["skipped"]:
        pytest.skip(result["skipped"])
    if result["failed"]:
        pytest.fail(result["failed"], pytrace=False)
