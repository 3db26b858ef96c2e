"""The API's manners: keys, hosts, problems, idempotency, pages, uploads, artifacts. One API without a worker is enough for that."""

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from agents.state import TeamState
from agents.web import storage
from app.schemas import Example, TaskCreate
from backend.store import Store
from backend.tables import RunRow
from tests.backend.house import House, running_house, settings_of


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = settings_of(tmp_path_factory.mktemp("home"), databases(request.param, "api"), max_upload_bytes=100_000)
    with running_house(settings, worker=False) as running:
        yield running


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, checked for its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == code and body["status"] == status and body["type"] == f"urn:keepsake:problem:{code}"
    assert body["detail"] and body["title"]
    return body


def test_the_first_key_is_for_its_owner_only(house: House) -> None:
    mode = stat.S_IMODE(os.stat(house.settings.key_path).st_mode)
    assert mode == 0o600
    assert house.http.get("/v1/tasks").status_code == 200


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer nonsense", "Bearer ks_0123456789abcdef_" + "A" * 43, "Basic {key}", "Bearer {key}x", "{key}"]
)
def test_anything_but_a_valid_key_is_401(house: House, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(key=house.key)}
    answer = httpx.get(f"{house.url}/v1/tasks", headers=headers)
    problem(answer, 401, "unauthorised")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_key_and_names_a_missing_worker(house: House) -> None:
    assert httpx.get(f"{house.url}/livez").json()["status"] == "alive"
    ready = httpx.get(f"{house.url}/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"database": "ok", "worker": "none", "steps": "ok"}}


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Host": ""}, {"Origin": "https://evil.example"}, {"Origin": "null"}],
)
def test_foreign_hosts_and_origins_are_turned_away(
    house: House,
    headers: dict[
        str,
        str,
    ],
) -> None:
    problem(house.http.get("/v1/tasks", headers=headers), 401, "unauthorised")
    problem(house.http.get("/livez", headers=headers), 401, "unauthorised")


def test_own_origins_are_served(house: House) -> None:
    assert house.http.get("/v1/tasks", headers={"Origin": "http://localhost:8711"}).status_code == 200


def test_what_is_not_there_and_what_is_not_allowed_are_problems(house: House) -> None:
    problem(house.http.get("/nowhere"), 404, "not_found")
    problem(house.http.get("/v1/nowhere"), 404, "not_found")
    for path, allowed in (("/v1/tasks", "GET, POST"), ("/v1/tasks/x", "DELETE, GET"), ("/v1/runs/x/cancel", "POST"), ("/livez", "GET")):
        answer = house.http.put(path, json={})
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed
    for path in (
        "tasks/task_x",
        "runs/run_x",
        "runs/run_x/events",
        "approvals/appr_x",
        "artifacts/art_x",
        "files/file_x",
        "runs/%00",
        "runs/%ff",
    ):
        problem(house.http.get(f"/v1/{path}"), 404, "not_found")
    problem(house.http.post("/v1/runs/run_x/cancel"), 404, "not_found")
    problem(house.http.delete("/v1/tasks/task_x"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": ""}, "at least 1"),
        ({"text": "   \n "}, "no text"),
        ({"text": "x" * 1_000_000}, "1,000,000 characters"),
        ({"text": "a\0b"}, "NUL"),
        ({}, "body.text"),
        ({"text": 5}, "body.text"),
        ({"text": "go", "files": ["file_unknown"]}, "no file `file_unknown`"),
        ({"text": "go", "files": ["\0"]}, "no file"),
        ({"text": "go", "nonsense": 1}, "body.nonsense"),
        ({"text": "go", "policy": "yolo"}, "no policy `yolo`"),
        ({"text": "go", "budgets": {"steps": 0}}, "body.budgets.steps"),
        ({"text": "go", "sites": [{"name": "x", "url": "file:///etc/passwd"}]}, "not the address"),
        ({"text": "go", "sites": [{"name": "x", "url": "http://user:pw@host/"}]}, "not the address"),
        ({"text": "go", "sites": [{"name": "x", "url": "http://a/"}, {"name": "x", "url": "http://b/"}]}, "same name"),
        ([1], "body"),
    ],
)
def test_a_bad_task_is_a_typed_422_that_says_what_to_mend(house: House, body: Any, words: str) -> None:
    found = problem(house.http.post("/v1/tasks", json=body), 422, "invalid_input")
    assert words in found["detail"] and found["hint"]
    assert len(str(found)) < 2000  # the mistake is named, not sent back


def test_broken_bodies_are_422_and_endless_ones_413(house: House) -> None:
    problem(house.http.post("/v1/tasks", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid_input")
    problem(house.http.post("/v1/tasks", content=b"\xff\xfe", headers={"Content-Type": "application/json"}), 422, "invalid_input")
    surrogate = b'{"text": "\\ud800"}'
    problem(house.http.post("/v1/tasks", content=surrogate, headers={"Content-Type": "application/json"}), 422, "invalid_input")
    problem(house.http.post("/v1/tasks", content=b" " * 9_000_000), 413, "too_large")
    problem(house.http.post("/v1/tasks", content=iter([b" " * 1_000_000] * 9)), 413, "too_large")


def test_any_bytes_can_be_uploaded_up_to_the_limit(house: House) -> None:
    answer = house.http.post("/v1/files", files={"file": ("a:pic.png", bytes(range(256)))})
    assert answer.status_code == 201 and answer.headers["location"] == f"/v1/files/{answer.json()['id']}"
    assert answer.json()["name"] == "a_pic.png" and answer.json()["size"] == 256
    problem(house.http.post("/v1/files", files={"file": ("big", b"x" * 100_001)}), 413, "too_large")
    problem(house.http.post("/v1/files", files={"file": ("big", b"x" * 900_000)}), 413, "too_large")
    problem(house.http.post("/v1/files", files={"other": ("x", b"x")}), 422, "invalid_input")
    problem(house.http.post("/v1/files", files={"file": ("..", b"x")}), 422, "invalid_input")


def test_an_upload_in_use_stays_and_an_unused_one_goes(house: House) -> None:
    used, unused = house.client.upload("a.txt", b"same"), house.client.upload("b.txt", b"same")
    task = house.client.create_task(TaskCreate(text="go", files=[used.id]), start=False).task
    problem(house.http.delete(f"/v1/files/{used.id}"), 409, "conflict")
    assert house.http.delete(f"/v1/files/{unused.id}").status_code == 204
    blob = house.settings.data_dir / "blobs" / used.sha256[:2] / used.sha256
    assert blob.exists()  # the other file has the same content
    house.client.delete_task(task.id)
    assert not blob.exists()


def test_a_policy_of_ones_own_is_kept_with_its_task_as_it_was(house: House) -> None:
    folder = house.settings.policies_dir
    folder.mkdir(exist_ok=True)
    file = folder / "mine.yaml"
    file.write_text("title: Mine\nrules: [{effects: pay, then: refuse}]\notherwise: words\n")
    names = [item["name"] for item in house.http.get("/v1/policies").json()["items"]]
    assert names == ["ask_all", "ask_writes", "allow_listed", "unattended", "mine"]
    task = house.http.post("/v1/tasks", json={"text": "x", "policy": "mine"}, params={"start": False}).json()["task"]
    file.write_text("otherwise: refuse\n")
    kept = house.http.get(f"/v1/tasks/{task['id']}").json()["policy"]
    assert (kept["name"], kept["otherwise"], kept["rules"][0]["then"]) == ("mine", "words", "refuse")
    file.write_text("otherwise: allow\n")
    assert "otherwise" in problem(house.http.post("/v1/tasks", json={"text": "x", "policy": "mine"}), 422, "invalid_input")["detail"]
    file.unlink()
    assert "no policy" in problem(house.http.post("/v1/tasks", json={"text": "x", "policy": "mine"}), 422, "invalid_input")["detail"]
    full = {"name": "inline", "otherwise": "ask"}
    run = house.http.post("/v1/tasks", json={"text": "x", "policy": full}).json()["run"]
    queued = house.http.get(f"/v1/runs/{run['id']}/events").json()["items"][0]
    assert queued["payload"]["task"]["policy"] == "inline"


def test_a_policy_is_tried_on_runs_and_says_what_is_wrong_with_it(house: House) -> None:
    run = house.http.post("/v1/tasks", json={"text": "Try me."}).json()["run"]["id"]
    tried = house.http.post("/v1/policies/try", json={"policy": "ask_all", "runs": [run]}).json()
    assert (tried["runs"], tried["actions"], tried["differing"]) == (1, 0, {})
    problem(house.http.post("/v1/policies/try", json={"policy": "ask_all", "runs": ["run_none"]}), 404, "not_found")
    problem(house.http.post("/v1/policies/try", json={"policy": "none"}), 422, "invalid_input")
    problem(house.http.post("/v1/policies/try", json={"policy": {"name": "x", "otherwise": "allow"}}), 422, "invalid_input")
    assert house.http.post("/v1/policies/try", json={"policy": "unattended", "last": 5}).status_code == 200


def test_a_task_is_created_with_its_location(house: House) -> None:
    answer = house.http.post("/v1/tasks", json={"text": "go"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/tasks/{answer.json()['task']['id']}"
    assert answer.json()["run"]["status"] == "queued"


def test_the_same_key_and_body_are_carried_out_once(house: House) -> None:
    headers = {"Idempotency-Key": "once-1"}
    first = house.http.post("/v1/tasks", json={"text": "once"}, headers=headers)
    again = house.http.post("/v1/tasks", json={"text": "once"}, headers=headers)
    assert again.status_code == 201 and again.content == first.content and again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    problem(house.http.post("/v1/tasks", json={"text": "other"}, headers=headers), 422, "invalid_input")
    problem(house.http.post("/v1/tasks?start=false", json={"text": "once"}, headers=headers), 422, "invalid_input")


def test_an_upload_may_be_repeated_although_its_boundary_differs(house: House) -> None:
    answers = [house.http.post("/v1/files", files={"file": ("a.txt", b"a")}, headers={"Idempotency-Key": "up-1"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()


def test_mistakes_are_remembered_too_and_bad_keys_refused(house: House) -> None:
    for _ in range(2):
        problem(house.http.post("/v1/tasks", json={"text": ""}, headers={"Idempotency-Key": "bad-1"}), 422, "invalid_input")
    problem(house.http.post("/v1/tasks", json={"text": "go"}, headers={"Idempotency-Key": "x" * 256}), 422, "invalid_input")
    problem(house.http.post("/v1/tasks", json={"text": "go"}, headers={"Idempotency-Key": ""}), 422, "invalid_input")


def test_many_at_once_under_one_key_make_one_task(house: House) -> None:
    def post(_: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {house.key}", "Idempotency-Key": "race-1"}
        return httpx.post(f"{house.url}/v1/tasks", json={"text": "race"}, headers=headers, timeout=20)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    made = {a.json()["task"]["id"] for a in answers if a.status_code == 201}
    assert len(made) == 1
    assert {a.status_code for a in answers} <= {201, 409}
    assert sum("idempotent-replayed" not in a.headers for a in answers if a.status_code == 201) == 1


def test_a_deleted_task_is_gone_from_remembered_answers(house: House) -> None:
    made = house.http.post("/v1/tasks", json={"text": "forget me"}, headers={"Idempotency-Key": "forget-1"}).json()
    house.client.delete_task(made["task"]["id"])
    again = house.http.post("/v1/tasks", json={"text": "forget me"}, headers={"Idempotency-Key": "forget-1"}).json()
    assert again["task"]["id"] != made["task"]["id"]


def test_pages_follow_each_other_without_gap_or_double(house: House) -> None:
    made = [house.client.create_task(TaskCreate(text=f"page {n}"), start=False).task.id for n in range(7)]
    seen, cursor = [], None
    while True:
        page = house.client.tasks(cursor, limit=3)
        seen += [task.id for task in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen[:7] == made[::-1] and len(seen) == len(set(seen))
    for bad in ("!!!", "AAAA", "a" * 300, ""):
        problem(house.http.get("/v1/tasks", params={"cursor": bad}), 422, "invalid_input")
    for bad_limit in (0, 201, "x"):
        problem(house.http.get("/v1/tasks", params={"limit": bad_limit}), 422, "invalid_input")


def test_runs_are_listed_by_status_and_task(house: House) -> None:
    run = house.start("go")
    house.client.cancel(run.id)
    assert run.id in {r["id"] for r in house.http.get("/v1/runs", params={"status": "cancelled"}).json()["items"]}
    assert house.http.get(f"/v1/tasks/{run.task_id}/runs").json()["items"][0]["status"] == "cancelled"
    problem(house.http.get("/v1/tasks/task_x/runs"), 404, "not_found")


def test_a_queued_run_can_be_paused_resumed_steered_and_cancelled(house: House) -> None:
    run = house.start("go")
    problem(house.http.post(f"/v1/runs/{run.id}/messages", json={"text": ""}), 422, "invalid_input")
    problem(house.http.post(f"/v1/runs/{run.id}/messages", json={"text": " \n"}), 422, "invalid_input")
    assert house.http.post(f"/v1/runs/{run.id}/messages", json={"text": "hello"}).status_code == 202
    verbs = ["pause", "pause", "resume", "resume", "cancel", "cancel"]
    expected = ["paused", "paused", "queued", "queued", "cancelled", "cancelled"]
    assert [house.http.post(f"/v1/runs/{run.id}/{verb}").json()["status"] for verb in verbs] == expected
    for verb in ("pause", "resume"):
        problem(house.http.post(f"/v1/runs/{run.id}/{verb}"), 409, "conflict")
    problem(house.http.post(f"/v1/runs/{run.id}/messages", json={"text": "late"}), 409, "conflict")


async def _artifact(settings: Any, run_id: str, name: str, media_type: str, data: bytes) -> str:
    store = Store(settings)
    try:
        return await store.files.save_artifact(run_id, name, media_type, data)
    finally:
        await store.close()


def test_a_deleted_task_leaves_the_files_of_an_example(house: House) -> None:
    upload = house.client.upload("note.txt", b"kept")
    path = house.settings.data_dir / "examples.json"
    path.write_text(Example(title="Note", text="read it", files=[upload.id]).model_dump_json().join("[]"))
    try:
        house.client.delete_task(house.start("go", files=[upload.id]).task_id)
        assert house.client.examples()[0].files == [upload.id]
        assert house.http.get(f"/v1/files/{upload.id}").status_code == 200
    finally:
        path.unlink()


async def test_a_deleted_task_takes_its_log_ins_along(house: House) -> None:
    run, name, store = house.start("go"), storage.new_session(), Store(house.settings)
    storage.save_session(house.settings, name, {"cookies": [], "origins": []})
    async with store.database.write() as session:
        row = await session.get_one(RunRow, run.id)
        row.state = TeamState(task="go", memory={"web": {"storage": name}}).model_dump(mode="json")
    await store.close()
    assert storage.load_session(house.settings, name) is not None
    house.client.delete_task(run.task_id)
    assert storage.load_session(house.settings, name) is None


async def test_artifacts_come_with_etag_and_range(house: House) -> None:
    run = house.start("go")
    ids = [await _artifact(house.settings, run.id, "shot.png", "image/png", b"0123456789") for _ in range(2)]
    assert ids[0] == ids[1]
    other = await _artifact(house.settings, house.start("go").id, "shot.png", "image/png", b"0123456789")
    assert other != ids[0]
    content = f"/v1/artifacts/{ids[0]}/content"
    whole = house.http.get(content)
    assert whole.content == b"0123456789" and whole.headers["content-type"] == "image/png"
    sha256 = house.http.get(f"/v1/artifacts/{ids[0]}").json()["sha256"]
    assert whole.headers["etag"] == f'"{sha256}"'
    assert house.http.get(content, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = house.http.get(content, headers={"Range": "bytes=2-4"})
    assert part.status_code == 206 and part.content == b"234" and part.headers["content-range"] == "bytes 2-4/10"
    assert house.http.get(content, headers={"Range": "bytes=-3"}).content == b"789"
    beyond = house.http.get(content, headers={"Range": "bytes=10-"})
    problem(beyond, 416, "range_not_satisfiable")
    assert beyond.headers["content-range"] == "bytes */10"
    for odd in ("bytes=4-2", "items=1-2", "bytes=a-b", "bytes="):
        assert house.http.get(content, headers={"Range": odd}).content == b"0123456789"


async def test_a_page_kept_as_artifact_is_never_shown_as_a_page(house: House) -> None:
    run = house.start("go")
    artifact = await _artifact(house.settings, run.id, "a/../b\n.html", "text/html", b"<script>1</script>")
    answer = house.http.get(f"/v1/artifacts/{artifact}/content")
    assert answer.headers["content-disposition"].startswith("attachment") and answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def read_stream(house: House, run_id: str, **headers: str) -> list[str]:
    """Lines of a stream until the server ends it."""
    with house.http.stream("GET", f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream", **headers}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return list(stream.iter_lines())


def test_a_stream_tells_everything_once_and_ends_with_the_run(house: House) -> None:
    run = house.start("go")
    threading.Timer(0.5, lambda: house.client.cancel(run.id)).start()
    lines = read_stream(house, run.id)
    assert [line for line in lines if line.startswith("event:")] == ["event: run.queued", "event: run.finished"]
    assert [line for line in lines if line.startswith("id:")] == ["id: 1", "id: 2"]


def test_last_event_id_wins_over_after(house: House) -> None:
    run = house.start("go")
    house.client.message(run.id, "one")
    house.client.cancel(run.id)
    lines = read_stream(house, run.id, **{"Last-Event-ID": "2"})
    assert [line for line in lines if line.startswith("id:")] == ["id: 3"]
    with house.http.stream(
        "GET", f"/v1/runs/{run.id}/events?after=3", headers={"Accept": "text/event-stream", "Last-Event-ID": "1"}
    ) as stream:
        assert [line for line in stream.iter_lines() if line.startswith("id:")] == ["id: 2", "id: 3"]
    assert not any(line.startswith("id:") for line in read_stream(house, run.id, **{"Last-Event-ID": "99"}))
    for bad in ("x", "-1", "9" * 30, "¹"):
        answer = house.http.get(f"/v1/runs/{run.id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": bad.encode()})  # type: ignore[dict-item]
        problem(answer, 422, "invalid_input")


def test_events_are_also_a_page(house: House) -> None:
    run = house.start("go")
    for n in range(4):
        house.client.message(run.id, f"word {n}")
    page = house.http.get(f"/v1/runs/{run.id}/events", params={"limit": 2}).json()
    assert [e["seq"] for e in page["items"]] == [1, 2] and page["next_cursor"] == "2"
    rest = house.http.get(f"/v1/runs/{run.id}/events", params={"after": 2}).json()
    assert [e["seq"] for e in rest["items"]] == [3, 4, 5] and rest["next_cursor"] is None
    problem(house.http.get(f"/v1/runs/{run.id}/events", params={"after": -1}), 422, "invalid_input")


def test_a_stream_ends_when_its_task_is_deleted(house: House) -> None:
    run = house.start("go")
    threading.Timer(0.3, lambda: house.client.delete_task(run.task_id)).start()
    started = time.monotonic()
    assert any(line == "id: 1" for line in read_stream(house, run.id))
    assert time.monotonic() - started < 3


def test_a_silent_stream_is_pinged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.api.events.PING_S", 0.2)
    run = house.start("go")
    threading.Timer(3.0, lambda: house.client.cancel(run.id)).start()
    assert read_stream(house, run.id).count(": ping") >= 2


def test_a_client_that_goes_away_in_mid_request_harms_nobody(house: House) -> None:
    port = int(house.url.rpartition(":")[2])
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(
                f"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.key}\r\nContent-Length: 500\r\n\r\n{{".encode()
            )
    assert house.http.get("/v1/tasks").status_code == 200


def test_examples_come_from_the_worlds_or_not_at_all(house: House) -> None:
    path = house.settings.data_dir / "examples.json"
    assert house.client.examples() == []
    path.write_text('[{"title": "Look", "text": "look it up", "sites": [{"name": "shop", "url": "http://127.0.0.1:8713"}]}]')
    assert house.client.examples()[0].title == "Look"
    path.write_text("{")
    problem(house.http.get("/v1/examples"), 503, "setup_error")
    path.unlink()


def test_openapi_names_the_key_and_the_problems(house: House) -> None:
    document = httpx.get(f"{house.url}/openapi.json").json()
    post = document["paths"]["/v1/tasks"]["post"]
    assert post["security"] == [{"apiKey": []}]
    assert {"201", "400", "401", "409", "413", "422"} <= set(post["responses"])
    assert "application/problem+json" in post["responses"]["422"]["content"]
    assert any(p["name"] == "Idempotency-Key" for p in post["parameters"])
