"""`keepsake worlds`: tasks to look at, and the example sites as one process that ends when told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import httpx
import pytest
from typer.testing import CliRunner

from infra.worlds.command import app
from tests.infra.worlds.test_demo import free_port


def test_tasks_are_printed_one_object_a_line():
    result = CliRunner().invoke(app, ["worlds", "tasks", "order", "--split", "dev", "--n", "3"])
    tasks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [t["seed"] for t in tasks] == [9_000, 9_001, 9_002] and all(t["plan"] and t["text"] for t in tasks)


@pytest.mark.parametrize("arguments", [["cooking"], ["order", "--split", "test"], ["order", "--n", "0"]])
def test_a_wrong_family_split_or_count_is_refused(arguments):
    assert CliRunner().invoke(app, ["worlds", "tasks", *arguments]).exit_code == 2


@pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")
def test_serve_runs_both_sites_until_it_is_told_to_stop(tmp_path):
    shop, tracker = free_port(), free_port()
    environment = os.environ | {"KEEPSAKE_HOME": str(tmp_path), "KEEPSAKE_SHOP_PORT": str(shop), "KEEPSAKE_TRACKER_PORT": str(tracker)}
    command = [sys.executable, "-c", "from infra.worlds.command import app; app()", "worlds", "serve"]
    process = subprocess.Popen(command, env=environment)
    try:
        assert _answers(f"http://127.0.0.1:{shop}/") and _answers(f"http://127.0.0.1:{tracker}/ticket")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert not _answers(f"http://127.0.0.1:{tracker}/ticket", patience=0)


def _answers(url: str, patience: float = 20.0) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            return httpx.get(url).status_code == 200
        except httpx.TransportError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
