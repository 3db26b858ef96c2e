"""Runs torch_claims.py in the training environment and reports each claim as a test of its own."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.training.command import CHECKOUT, ENVIRONMENT

CLAIMS = [Path(__file__).with_name(f"{name}_claims.py").read_text() for name in ("forward", "run")]
NAMES = [n.name for text in CLAIMS for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
PYTHON = ENVIRONMENT / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the training environment is not installed (`make setup-train`)")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    done = subprocess.run(
        [PYTHON, "-m", "tests.infra.training.torch_claims", folder], cwd=CHECKOUT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("claim", NAMES)
def test_claim(results, claim):
    result = results[claim]
    if result["skipped"]:
        pytest.skip(result["skipped"])
    if result["failed"]:
        pytest.fail(result["failed"], pytrace=False)


def test_this_file_itself_needs_no_torch():
    assert "torch" not in sys.modules
