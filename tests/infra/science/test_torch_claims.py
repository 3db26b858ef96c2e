"""Runs torch_claims.py in the training environment and reports each of its claims as a test of its own."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.training.command import CHECKOUT, ENVIRONMENT

CLAIMS = Path(__file__).with_name("torch_claims.py")
NAMES = [n.name for n in ast.parse(CLAIMS.read_text()).body if isinstance(n, ast.FunctionDef) and n.name[0] != "_" and n.name != "main"]
PYTHON = ENVIRONMENT / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the training environment is not installed (`make setup-train`)")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    command = [PYTHON, "-m", "tests.infra.science.torch_claims", tmp_path_factory.mktemp("claims")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("claim", NAMES)
def test_claim(results, claim):
    if results[claim]:
        pytest.fail(results[claim], pytrace=False)


def test_the_program_writes_a_line_for_each_record(tmp_path):
    sizes = ["--steps", "2", "--samples", "400", "--sequences", "4"]
    command = [PYTHON, "-m", "infra.science.program", "--threads", "1", "seed", "--seed", "0", *sizes]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert {*kinds} == {"point", "probe", "rule", "done"} and kinds[-1] == "done"


def test_this_file_itself_needs_no_torch():
    assert "torch" not in sys.modules
