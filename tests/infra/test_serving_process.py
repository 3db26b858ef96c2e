"""The server's process: started once, watched while it loads, stopped with everything it started. A small stand-in plays the server."""

import socket
import sys
import time

import pytest

from app.config import Settings
from app.errors import Conflict, ModelTimeout, ModelUnavailable
from infra import serving_process
from infra.serving_process import answers, find, log_tail, start, stop, wait_ready

PREAMBLE = f"#!{sys.executable}\nimport json, subprocess, sys, time\nasked = dict(zip(sys.argv[3::2], sys.argv[4::2]))\n"

SERVES = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": asked["--name"]}]}).encode())
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("first request", request["structured_outputs"], flush=True)
        self.send_response(200 if request["model"] == asked["--name"] else 404)
        self.end_headers()
    def log_message(self, *a): pass
print("INFO Starting to load model", flush=True)
HTTPServer(("127.0.0.1", int(asked["--port"])), Handler).serve_forever()
"""
DIES = 'print("INFO Starting to load model"); raise RuntimeError("cannot allocate the cache")'
HANGS = "time.sleep(60)"
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(home=tmp_path, model_port=port)
    monkeypatch.setattr(serving_process, "build_served", lambda settings, variant: tmp_path / "weights")
    yield settings
    for variant in ("production", "base"):
        stop(settings, variant, timeout_s=0.2)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Makes the stand-in run a program of the test's choice."""

    def play(program):
        path = tmp_path / "python"
        path.write_text(PREAMBLE + program)
        path.chmod(0o755)
        monkeypatch.setattr(serving_process, "ensure_serving_env", lambda settings: path)

    return play


def test_a_server_comes_up_answers_and_goes(settings, server):
    server(SERVES)
    stages = []
    handle = start(settings)
    wait_ready(handle, progress=stages.append, timeout_s=20)
    assert stages == ["weights load"]
    assert answers(handle)
    assert "first request" in handle.log.read_text()
    assert find(settings) == handle
    assert stop(settings)
    assert not answers(handle)
    assert find(settings) is None
    assert not stop(settings)


def test_a_second_start_finds_the_first(settings, server):
    server(SERVES)
    first = start(settings)
    second = start(settings)
    assert second.already_running
    assert (second.pid, second.url) == (first.pid, first.url)


def test_both_variants_run_beside_each_other(settings, server):
    server(SERVES)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = probe.getsockname()[1]
    production, base = start(settings), start(settings, "base", port=other)
    for handle in (production, base):
        wait_ready(handle, timeout_s=20)
    assert (production.name, base.name) == ("keepsake-135m", "keepsake-135m-base")


def test_the_same_variant_on_another_port_is_a_conflict(settings, server):
    server(HANGS)
    start(settings)
    with pytest.raises(Conflict, match="already runs on port"):
        start(settings, port=settings.model_port + 1)


def test_a_taken_port_is_a_conflict(settings, server):
    server(SERVES)
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.model_port))
        other.listen()
        with pytest.raises(Conflict, match="taken"):
            start(settings)


def test_a_server_that_dies_while_loading_says_why(settings, server):
    server(DIES)
    handle = start(settings)
    with pytest.raises(ModelUnavailable, match="cannot allocate the cache"):
        wait_ready(handle, timeout_s=20)
    assert find(settings) is None


def test_a_server_that_fails_at_its_first_request_is_not_ready(settings, server):
    server(SERVES.replace("200 if", "500 if"))
    with pytest.raises(ModelUnavailable, match="first request"):
        wait_ready(start(settings), timeout_s=20)


def test_a_server_that_loads_for_too_long_is_a_timeout_and_goes_on(settings, server):
    server(HANGS)
    handle = start(settings)
    with pytest.raises(ModelTimeout):
        wait_ready(handle, timeout_s=0.6)
    assert handle.alive


def test_another_program_on_the_port_is_not_taken_for_the_server(settings, server):
    server(SERVES.replace('asked["--name"]', '"some-other-model"'))
    handle = start(settings)
    with pytest.raises(ModelTimeout):
        wait_ready(handle, timeout_s=2)


def test_stopping_ends_workers_and_servers_that_will_not_listen(settings, server):
    server(STUBBORN)
    handle = start(settings)
    while "child" not in handle.log.read_text():
        time.sleep(0.05)
    child = int(handle.log.read_text().split()[1])
    assert stop(settings, timeout_s=0.3)
    assert not handle.alive
    deadline = time.monotonic() + 5
    while serving_process._clock(child) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert serving_process._clock(child) is None


def test_a_later_process_with_the_same_pid_is_left_alone(settings, server):
    server(HANGS)
    handle = start(settings)
    record = settings.home / "run" / "model-production.json"
    record.write_text(handle.model_copy(update={"clock": handle.clock - 1}).model_dump_json())
    assert find(settings) is None
    assert not stop(settings)
    assert handle.alive
    record.write_text(handle.model_dump_json())


def test_the_tail_puts_the_error_before_what_came_after_it(tmp_path):
    log = tmp_path / "log"
    log.write_text("ValueError: no room\n" + "\n".join(f"line {n}" for n in range(30)))
    assert log_tail(log, lines=3).splitlines() == ["ValueError: no room", "line 27", "line 28", "line 29"]
