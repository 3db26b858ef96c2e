"""The client against a real API, and its event stream against one that is cut at the worst moments."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client import KeepsakeClient
from app.config import Settings
from app.errors import Conflict, InvalidInput, KeepsakeError, NotFound, SetupError, Unauthorised
from app.events import Event, EventType
from app.schemas import ApprovalDecision, ApprovalStatus, Run, RunStatus, TaskCreate
from tests.backend.house import House, check_trail, running_house, settings_of


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(settings_of(tmp_path_factory.mktemp("home"))) as running:
        yield running


class Wire:
    """A TCP relay to the API that can be cut: every connection through it breaks, and none comes through until it is mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.whole = True
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.whole = False
        for pair in self._pairs:
            for end in pair:
                with_reset(end)
        self._pairs.clear()

    def mend(self) -> None:
        self.whole = True

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self.whole:
                near.close()
                continue
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self._target))
            self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def with_reset(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        end.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            sink.sendall(data)
    except OSError:
        return
    finally:
        with_reset(sink)


@pytest.fixture
def wire(house: House) -> Iterator[Wire]:
    wire = Wire(int(house.url.rpartition(":")[2]))
    yield wire
    wire.close()


def through(wire: Wire, house: House, **more: Any) -> KeepsakeClient:
    return KeepsakeClient(f"http://127.0.0.1:{wire.port}", house.key, **more)


def test_settings_lead_to_the_api_and_its_key(house: House) -> None:
    port = int(house.url.rpartition(":")[2])
    with KeepsakeClient.from_settings(settings_of(house.settings.home, api_port=port)) as client:
        assert client.ready().status == "ready" and client.tasks().items is not None


def test_without_a_key_file_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no API key"):
        KeepsakeClient.from_settings(Settings(home=tmp_path, _env_file=None))  # type: ignore[call-arg]


def test_an_api_that_is_not_there_is_named(tmp_path: Path) -> None:
    with KeepsakeClient("http://127.0.0.1:1", "ks_x") as client, pytest.raises(SetupError, match=r"http://127\.0\.0\.1:1 does not answer"):
        client.tasks()


def test_problems_come_back_as_the_errors_they_are(house: House) -> None:
    with pytest.raises(NotFound) as caught:
        house.client.run("run_x")
    assert caught.value.hint
    with pytest.raises(InvalidInput):
        house.client.create_task(TaskCreate(text=" "))
    run = house.start("answer x")
    house.until(run)
    with pytest.raises(Conflict):
        house.client.pause(run.id)
    with KeepsakeClient(house.url, "ks_wrong") as stranger, pytest.raises(Unauthorised):
        stranger.tasks()


def test_a_foreign_answer_is_an_error_and_not_a_crash() -> None:
    with (
        answering(b"<html>proxy says no</html>", 502) as url,
        KeepsakeClient(url, "k") as client,
        pytest.raises(KeepsakeError, match="502"),
    ):
        client.tasks()


def test_every_verb_reaches_the_api(house: House) -> None:
    upload = house.client.upload("a.txt", b"a")
    started = house.client.create_task(TaskCreate(text="plan look\nsave b.txt\nask Which?\nanswer", files=[upload.id]))
    run = started.run
    assert run is not None and house.client.task(started.task.id).files == [upload.id]
    approval = house.pending(run)
    assert house.client.approval(approval.id) == approval
    house.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.APPROVED, plan=[{"agent": "scripted", "instruction": "go"}]))
    house.until(run, RunStatus.AWAITING_INPUT)
    assert house.client.pause(run.id).status == RunStatus.PAUSED
    assert house.client.resume(run.id).status == RunStatus.AWAITING_INPUT
    house.client.message(run.id, "that one")
    assert house.until(run).answer == "that one a.txt"
    (artifact,) = house.client.artifacts(run.id).items
    assert house.client.artifact(artifact.id) == artifact
    assert house.client.artifact_content(artifact.id).startswith(b"b.txt")
    assert run.id in {r.id for r in house.client.runs(status=RunStatus.SUCCEEDED).items}
    assert [r.id for r in house.client.runs(task_id=run.task_id).items] == [run.id]
    again = house.client.start_run(run.task_id)
    assert house.client.cancel(again.id).status == RunStatus.CANCELLED
    house.client.delete_task(run.task_id)
    with pytest.raises(NotFound):
        house.client.task(run.task_id)


def test_all_events_come_over_several_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    run = house.until(house.start(*["think"] * 5, "answer x"))
    fetch = house.client.events
    monkeypatch.setattr(house.client, "events", lambda run_id, after=0: fetch(run_id, after, limit=3))
    events = list(house.client.all_events(run.id))
    assert len(events) == 8
    check_trail(events)


def test_a_stream_follows_a_run_to_its_end(house: House) -> None:
    run = house.start("think 0.2", "think 0.2", "answer done")
    check_trail(list(house.client.stream(run.id)))


def test_line_separators_in_the_data_do_not_end_a_line() -> None:
    odd = "one\u2028two\u2029three\u0085four"
    event = Event(
        run_id="run_1", seq=1, time=datetime.now(UTC), type=EventType.RUN_FINISHED, payload={"status": "succeeded", "answer": odd}
    )
    frame = f"id: 1\nevent: run.finished\ndata: {event.model_dump_json()}\n\n".encode()
    run = Run(id="run_1", task_id="task_1", status=RunStatus.SUCCEEDED, created_at=event.time, updated_at=event.time)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(200, content=frame)
        return httpx.Response(200, json={"items": []} if request.url.path.endswith("/events") else run.model_dump(mode="json"))

    with KeepsakeClient("http://127.0.0.1", "k", transport=httpx.MockTransport(answer)) as client:
        assert list(client.stream("run_1")) == [event]


def test_a_stream_that_is_cut_again_and_again_still_tells_everything_once(house: House, wire: Wire) -> None:
    run = house.start(*["think 0.15"] * 12, "answer done")
    events: list[Event] = []
    with through(wire, house) as client:
        for event in client.stream(run.id):
            events.append(event)
            if len(events) % 3 == 0:
                wire.cut()
                threading.Timer(0.3, wire.mend).start()
    check_trail(events)
    assert len(events) == 15 and wire.connections >= 4


def test_a_stream_may_start_in_the_middle_and_after_the_end(house: House) -> None:
    run = house.until(house.start("think", "answer done"))
    assert [e.seq for e in house.client.stream(run.id, after=2)] == [3, 4]
    assert list(house.client.stream(run.id, after=4)) == []


def test_a_stream_goes_on_over_a_wait_and_a_second_attempt_after_failure(house: House) -> None:
    run = house.until(house.start("model", "answer up"))
    (house.settings.data_dir / "runs" / run.id / "workspace" / "model-up").touch()
    house.client.resume(run.id)
    events = list(house.client.stream(run.id))
    assert [e.payload["status"] for e in events if e.type == EventType.RUN_FINISHED] == ["failed", "succeeded"]


def test_a_stream_gives_up_when_the_api_stays_away(house: House, wire: Wire) -> None:
    run = house.start("think 5", "answer done")
    with through(wire, house, patience_s=0.5) as client:
        stream = client.stream(run.id)
        assert next(stream).seq == 1
        wire.cut()
        started = time.monotonic()
        with pytest.raises(SetupError):
            list(stream)
    assert time.monotonic() - started < 10
    house.client.cancel(run.id)


def test_a_stream_of_nothing_is_not_found(house: House) -> None:
    with pytest.raises(NotFound):
        next(house.client.stream("run_x"))


def test_a_post_whose_answer_was_lost_is_not_done_twice(house: House) -> None:
    before = {t.id for t in house.client.tasks(limit=200).items}
    with losing_first_answer(int(house.url.rpartition(":")[2])) as url, KeepsakeClient(url, house.key) as client:
        made = client.create_task(TaskCreate(text="answer once"), start=False)
    assert {t.id for t in house.client.tasks(limit=200).items} - before == {made.task.id}


@contextmanager
def answering(body: bytes, status: int) -> Iterator[str]:
    """A server that says the same to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def losing_first_answer(port: int) -> Iterator[str]:
    """A relay that carries the first request to the API and breaks the connection instead of bringing the answer back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        for number in range(2):
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_pump, args=(near, far), daemon=True).start()
            if number == 0:
                far.recv(65536)  # the API has done it
                with_reset(near)
                with_reset(far)
            else:
                _pump(far, near)

    threading.Thread(target=relay, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
