"""Other weights in the running server: requests end first, the address stays, and what does not come up is taken back."""

import os
import signal
import threading
from pathlib import Path

import pytest

from app.config import Settings
from app.errors import ModelUnavailable
from app.lock import held
from infra import serving_process
from infra.stack import switching
from infra.stack.process import MARK, has_mark, new_mark, read_record, record_of
from infra.stack.serve import serve
from infra.stack.switching import failed_log, requests_in_flight, switch_model
from tests.infra.stack.model_server import free_port, playing_the_server, served_by, started, until


@pytest.fixture
def settings(tmp_path):
    settings = Settings(home=tmp_path / "home", model_port=free_port())
    settings.run_dir.mkdir(parents=True)
    with playing_the_server(settings, tmp_path):
        yield settings


@pytest.fixture
def chosen(settings, monkeypatch):
    """The weights that are to be served, as the registry would name them; `chosen("new")` names others."""
    now: list[Path] = []

    def choose(name: str, broken: bool = False) -> None:
        directory = settings.home / "weights" / "served" / name
        directory.mkdir(parents=True, exist_ok=True)
        if broken:
            (directory / "broken").touch()
        now[:] = [directory]

    choose("old")
    for module in (serving_process, switching):
        monkeypatch.setattr(module, "build_served", lambda settings, variant="production": now[0])
    return choose


def never() -> None:
    raise AssertionError("there was nothing to undo")


def test_without_a_server_there_is_nothing_to_switch(settings, chosen):
    assert not switch_model(settings, print, never)


def test_a_server_that_has_the_weights_goes_on(settings, chosen):
    before = started(settings)
    assert not switch_model(settings, print, never)
    assert serving_process.find(settings) == before


def test_the_server_is_started_anew_on_its_port_with_the_new_weights(settings, chosen):
    before = started(settings)
    chosen("new")
    assert switch_model(settings, print, never)
    after = serving_process.find(settings)
    assert after.port == before.port and after.pid != before.pid and not before.alive
    assert served_by(settings) == "new"


def test_requests_in_flight_come_to_their_end_and_nobody_begins_meanwhile(settings, chosen):
    handle, said, answers = started(settings), [], []
    request = threading.Thread(target=lambda: answers.append(served_by(settings, hold=1.0)))
    request.start()
    until(lambda: requests_in_flight(handle) == 1)
    chosen("new")
    switch = threading.Thread(target=switch_model, args=(settings, said.append, never))
    switch.start()
    until(lambda: held(settings.switch_lock))
    assert handle.alive and not answers
    request.join()
    switch.join()
    assert answers == ["old"] and served_by(settings) == "new"
    assert any("still being answered (1)" in line for line in said)
    assert not held(settings.switch_lock)


def test_a_request_that_does_not_end_is_cut_off_in_the_end(settings, chosen):
    handle, said = started(settings), []

    def ask() -> None:
        with pytest.raises(Exception):  # noqa: B017 - however the connection breaks
            served_by(settings, hold=30)

    request = threading.Thread(target=ask)
    request.start()
    until(lambda: requests_in_flight(handle) == 1)
    chosen("new")
    switch_model(settings, said.append, never, drain_s=0.5)
    request.join()
    assert served_by(settings) == "new" and any("cut off" in line for line in said)


def test_weights_that_do_not_come_up_are_taken_back(settings, chosen):
    started(settings)
    chosen("new", broken=True)
    undone = []

    def undo() -> None:
        undone.append(served_nothing(settings))
        chosen("old")

    with pytest.raises(ModelUnavailable, match="these weights do not load"):
        switch_model(settings, print, undo)
    assert undone == [True] and served_by(settings) == "old"
    log = serving_process.find(settings).log
    assert "these weights do not load" in failed_log(log).read_text()


def served_nothing(settings) -> bool:
    return serving_process.find(settings) is None


def test_the_record_of_the_stack_goes_over_to_the_new_server(settings, chosen, monkeypatch):
    mark = new_mark("model")
    with monkeypatch.context() as patch:
        patch.setenv(MARK, mark)
        before = started(settings)
    path = settings.run_dir / "model.json"
    record_of("model", before.pid, before.log, mark, "http://here").save(path)
    chosen("new")
    switch_model(settings, print, never)
    record, after = read_record(path), serving_process.find(settings)
    assert record.alive and (record.pid, record.mark, record.address) == (after.pid, mark, "http://here")
    assert has_mark(after.pid, mark)


def test_the_record_is_right_after_weights_that_did_not_come_up(settings, chosen):
    before = started(settings)
    path = settings.run_dir / "model.json"
    record_of("model", before.pid, before.log, new_mark("model"), "http://here").save(path)
    chosen("new", broken=True)
    with pytest.raises(ModelUnavailable):
        switch_model(settings, print, lambda: chosen("old"))
    assert read_record(path).alive and read_record(path).pid == serving_process.find(settings).pid


def test_a_server_that_nobody_of_the_stack_started_gets_no_record(settings, chosen, monkeypatch):
    monkeypatch.setenv(MARK, "api-1234")  # a promotion that the API started
    started(settings)
    chosen("new")
    switch_model(settings, print, never)
    assert not (settings.run_dir / "model.json").exists()
    assert not has_mark(serving_process.find(settings).pid, "api-1234"), "the end of the API would be the model server's"


@pytest.fixture
def signals():
    """`keepsake serve` takes them over; pytest gets them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_server_in_the_foreground_goes_on_with_the_new_weights_and_ends_with_its_command(settings, chosen, signals):
    said = []

    def elsewhere() -> None:
        until(lambda: any("Ctrl-C ends it" in line for line in said), 20)
        chosen("new")
        switch_model(settings, said.append, never)
        until(lambda: any("new is served now" in line for line in said))
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert serve(settings, "production", said.append)
    thread.join()
    assert serving_process.find(settings) is None
