"""The command as a person types it: killed and run again it loses and doubles nothing, and what is wrong is said before anything is written.

The teacher of the kill test is a deterministic stub behind HTTP (teachers.py), not a model.
"""

import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.config import get_settings
from infra.training import command as training
from infra.training.mementos import command
from infra.training.mementos.command import app
from infra.training.mementos.journal import DROPPED, KEPT
from infra.training.mementos.records import open_dataset
from tests.agents.endpoint import serve
from tests.infra.training.mementos.teachers import answer, thought_of, trace, write_tokenizer, write_traces

PYTHON = Path(sys.executable) if importlib.util.find_spec("tokenizers") else training.ENVIRONMENT / "bin" / "python"
needs_tokenizers = pytest.mark.skipif(not PYTHON.exists(), reason="the training environment is not installed (`make setup-train`)")


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """Runs the command in this process, with a home of its own."""
    monkeypatch.setenv("KEEPSAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(command, "_inside", lambda: None)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["mementos", *map(str, arguments)])
    get_settings.cache_clear()


def start(folder, url, *more):
    """The same, as a process of its own, with a fresh tokenizer and the traces of `folder`."""
    arguments = ["mementos", "build", folder / "traces.jsonl", "--out", folder / "out", "--tokenizer", folder / "tokenizer.json"]
    options = [
        "--teacher-url",
        url,
        "--teacher",
        "stub",
        "--min-block-tokens",
        "100",
        "--max-block-tokens",
        "400",
        "--concurrency",
        "4",
        *more,
    ]
    return subprocess.Popen(
        [str(PYTHON), "-m", "infra.training.mementos", *map(str, [*arguments, *options])],
        cwd=training.CHECKOUT,
        env={**os.environ, "KEEPSAKE_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(folder, name):
    path = folder / "out" / name
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def wait_for(process, folder, count):
    deadline = time.monotonic() + 120
    while len(lines(folder, KEPT)) + len(lines(folder, DROPPED)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_tokenizers
def test_killed_at_any_moment_it_goes_on_with_no_record_lost_or_doubled(tmp_path):
    kinds = ["hopeless" if i % 10 == 0 else "hard" if i % 10 == 5 else "easy" for i in range(100)]
    records = [trace(i, kind, sentences=40) for i, kind in enumerate(kinds)]
    write_traces(tmp_path / "traces.jsonl", records)
    write_tokenizer(tmp_path / "tokenizer.json")
    with serve(functools.partial(answer, pause_s=0.002), vllm=False) as endpoint:
        for reached in (30, 70):
            process = start(tmp_path, endpoint.url)
            wait_for(process, tmp_path, reached)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            before = {name: lines(tmp_path, name) for name in (KEPT, DROPPED)}
            assert reached <= sum(map(len, before.values())) < 100  # it was in the midst of it
            with (tmp_path / "out" / KEPT).open("ab") as stream:
                stream.write(before[KEPT][0][: 50 + reached])  # as torn as a kill in mid-write leaves it
        said, problems = start(tmp_path, endpoint.url).communicate(timeout=120)
        calls = len(endpoint.requests)
        again, _ = start(tmp_path, endpoint.url).communicate(timeout=120)
        assert len(endpoint.requests) == calls  # nothing was left to do

    kept, dropped = ([json.loads(line) for line in lines(tmp_path, name)] for name in (KEPT, DROPPED))
    assert Counter(record["id"] for record in kept + dropped) == Counter(record["id"] for record in records)
    assert {record["id"] for record in dropped} == {f"t{i}" for i in range(0, 100, 10)}
    assert {record["reason"] for record in dropped} == {"failed_memento"}
    sources = {record["id"]: thought_of(record) for record in records}
    assert all("".join(block["text"] for block in record["blocks"]) == sources[record["id"]] for record in kept)
    assert before[DROPPED] == lines(tmp_path, DROPPED)[: len(before[DROPPED])]  # what was done stayed as it was
    report, once_more = (json.loads(text.splitlines()[-1]) for text in (said, again))
    assert (report["kept"], report["dropped"], report["undone"]) == (90, {"failed_memento": 10}, 0), problems
    assert once_more == report


@needs_tokenizers
def test_a_sigterm_stops_in_good_order(tmp_path):
    write_traces(tmp_path / "traces.jsonl", [trace(i) for i in range(60)])
    write_tokenizer(tmp_path / "tokenizer.json")
    with serve(functools.partial(answer, pause_s=0.02), vllm=False) as endpoint:
        process = start(tmp_path, endpoint.url)
        wait_for(process, tmp_path, 5)
        process.send_signal(signal.SIGTERM)
        said, problems = process.communicate(timeout=120)
    assert process.returncode == 0, problems
    assert "stopped; run the same command again" in problems
    assert 5 <= json.loads(said.splitlines()[-1])["kept"] < 60


@needs_tokenizers
def test_a_broken_tokenizer_is_said_and_nothing_is_written(tmp_path):
    write_traces(tmp_path / "traces.jsonl", [trace(0)])
    (tmp_path / "tokenizer.json").write_text("{}")
    process = start(tmp_path, "http://127.0.0.1:9/v1")
    _, problems = process.communicate(timeout=120)
    assert process.returncode == 2 and "is no tokenizer" in problems
    assert not (tmp_path / "out").exists()


def test_bad_input_is_said_and_nothing_is_written(tmp_path, cli):
    good = write_traces(tmp_path / "good.jsonl", [trace(0)])
    bad = write_traces(tmp_path / "bad.jsonl", [{"text": "x"}] * 3)
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    out = tmp_path / "out"
    for arguments, code, words in (
        ([good, "--field", "problem"], 2, "names no field"),
        ([good, "--field", "colour=red"], 2, "names no field"),
        ([good, "--judge", "nobody"], 2, "no judge"),
        ([good, "--max-block-tokens", "300"], 2, "no choice of cuts"),
        ([good], 1, "no tokenizer"),
        ([bad, "--tokenizer", tokenizer], 2, "None of the first 3 lines"),
        ([tmp_path / "no.jsonl", "--tokenizer", tokenizer], 2, "no file"),
    ):
        if "--tokenizer" in map(str, arguments) and not importlib.util.find_spec("tokenizers"):
            continue
        done = cli("build", *arguments, "--out", out)
        assert done.exit_code == code and words in done.stderr, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) >= 2  # a sentence, and what to do
    assert not out.exists()


def test_a_report_on_nothing_is_said(tmp_path, cli):
    done = cli("report", tmp_path)
    assert done.exit_code == 2 and "no build" in done.stderr


def test_solve_writes_the_same_problems_each_time(tmp_path, cli):
    for name in ("a", "b"):
        done = cli("solve", tmp_path / f"{name}.jsonl", "--n", 3, "--family", "state_chain", "--family", "gcd_lcm")
        assert done.exit_code == 0, done.stderr
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert len(list(open_dataset([tmp_path / "a.jsonl"]))) == 6


def test_solve_leaves_no_half_of_a_file(tmp_path, cli):
    done = cli("solve", tmp_path / "a.jsonl", "--n", 3, "--first-seed", 999_999, "--family", "state_chain")
    assert done.exit_code == 2 and "belongs to no split" in done.stderr
    assert cli("solve", tmp_path / "a.jsonl", "--family", "alchemy").exit_code == 2
    assert list(tmp_path.glob("a.jsonl*")) == []


def test_without_tokenizers_it_goes_on_in_the_training_environment(monkeypatch):
    ran = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "training_python", lambda: Path("python-of-training"))
    monkeypatch.setattr(sys, "argv", ["keepsake", "mementos", "build", "x"])
    command._inside(lambda path, arguments: ran.append(arguments))
    assert ran == [["python-of-training", "-m", "infra.training.mementos", "mementos", "build", "x"]]
