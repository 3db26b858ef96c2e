"""vLLM's real schedulers under the plugin, against a model of hashes: each of thousands of rows must see exactly what the rule says."""

import json
from pathlib import Path

import pytest

from tests.infra.serving_environment import run

PROGRAM = Path(__file__).with_name("symbolic.py")

pytestmark = pytest.mark.timeout(600)  # the first test waits for all regimes

REGIMES = {
    "a small pool": ["--seed", "1"],
    "async scheduling": ["--seed", "2", "--asynchronous"],
    "priorities and async scheduling": ["--seed", "3", "--asynchronous", "--policy", "priority", "--pages", "55"],
    "kept delimiters, a blind end": ["--seed", "4", "--keep-delimiters", "--blind-end", "--pages", "52"],
    "small pages, small chunks": ["--seed", "5", "--page-size", "4", "--pages", "105", "--chunk", "23"],
    "large pages, many at once, many aborts": ["--seed", "6", "--page-size", "32", "--pages", "15", "--running", "12", "--aborts", "0.8"],
    "no prefix cache": ["--seed", "7", "--no-cache"],
    "room for all": ["--seed", "8", "--pages", "400"],
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    arguments = "//".join(" ".join(options) for options in REGIMES.values())
    done = run(PROGRAM, *arguments.replace("//", " // ").split(), OMP_NUM_THREADS="1", VLLM_LOGGING_LEVEL="ERROR")
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return dict(zip(REGIMES, lines, strict=True))


@pytest.fixture(params=REGIMES)
def result(request, results) -> dict:
    return results[request.param]


def test_every_row_sees_what_the_rule_says(result):
    assert result["wrong"] == []
    assert result["rows"] > 5000
    assert result["compactions"] > 100


def test_no_request_stalls_and_no_page_is_left_behind(result):
    assert not result["stalled"]
    assert result["leaked"] == 0
    assert result["finished"] + result["aborted"] >= 200


def test_every_request_is_told_what_it_cost(result):
    assert result["reports_wrong"] == []
    assert result["late_tokens"] == 0
