"""Figures of benches belong to the weights they were measured on."""

import os
import signal
import sys
import threading

import pytest

from app.errors import ModelUnavailable, SetupError, StorageError
from infra.training.measuring import measure, measured
from tests.infra.stack.model_server import until
from tests.infra.training.promoting import WORLDS, bench, finished_run, prepare


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return prepare(tmp_path, monkeypatch)


def test_what_was_measured_is_found_again_by_the_hash_of_the_weights(settings):
    first, second = finished_run(settings), finished_run(settings, "seed=1")
    known = measure(settings, ["worlds"], first.weights(settings), first.rebuilt, bench(WORLDS))
    assert known["worlds"]["success"]["value"] == 0.95 and known["worlds"]["commit"] == "abc"
    assert measured(settings, first.rebuilt) == known and measured(settings, second.rebuilt) == {}


def test_one_bench_keeps_what_another_said(settings):
    candidate = finished_run(settings)
    for name in ("worlds", "reasoning"):
        measure(settings, [name], candidate.weights(settings), candidate.rebuilt, bench({"key": {"value": 1, "n": 3}}))
    assert set(measured(settings, candidate.rebuilt)) == {"worlds", "reasoning"}


@pytest.mark.parametrize("said", ["", "no json", '{"figures": 3}', "[]"])
def test_a_bench_that_gives_no_figures_is_an_error_and_leaves_none(settings, said):
    candidate = finished_run(settings)
    with pytest.raises(SetupError, match="gave no figures"):
        measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt, lambda arguments: said)
    assert measured(settings, candidate.rebuilt) == {}


def test_figures_of_a_server_that_was_away_are_not_those_of_the_weights(settings):
    candidate = finished_run(settings)
    for lost, keeps in ((3, False), (0, True)):
        run = bench(WORLDS | {"unanswered": {"value": lost, "ci95": None, "n": 40}})
        if keeps:
            measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt, run)
            continue
        with pytest.raises(ModelUnavailable, match="in 3 of 40 tasks") as error:
            measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt, run)
        assert "nothing else to do" in error.value.hint and measured(settings, candidate.rebuilt) == {}
    assert measured(settings, candidate.rebuilt)["worlds"]["unanswered"]["value"] == 0


SLOW = """#!{python}
import pathlib, signal, sys, time
here = pathlib.Path({here!r})
try:
    (here / "begun").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    (here / "ended its model server").touch()
"""


def test_an_interrupted_measurement_lets_the_bench_end_what_it_started(settings, tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text(SLOW.format(python=sys.executable, here=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setattr("infra.training.measuring.sys.executable", str(program))
    candidate = finished_run(settings)
    # A suite that a script put into the background was told to ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        until((tmp_path / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "ended its model server").exists()


def test_a_broken_file_is_an_error_that_names_it(settings):
    candidate = finished_run(settings)
    measure(settings, ["worlds"], candidate.weights(settings), candidate.rebuilt, bench(WORLDS))
    [path] = (settings.home / "training" / "measured").iterdir()
    path.write_text("{}")
    with pytest.raises(StorageError, match=path.name):
        measured(settings, candidate.rebuilt)
