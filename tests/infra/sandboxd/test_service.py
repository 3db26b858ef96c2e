"""sandboxd over real HTTP: who is let in, what is refused, what happens when a caller goes away. What programs may do is the contract suite's."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agents.sandbox.base import MIB, Limits
from agents.sandbox.bubblewrap import Bubblewrap
from agents.sandbox.remote import RemoteSandbox
from agents.sandbox.wire import Incoming, Order, Reply, frame
from app.config import Settings
from app.errors import InvalidInput, SandboxFailed, SandboxUnavailable
from infra.sandboxd.__main__ import main
from infra.sandboxd.service import create_service
from tests.agents.sandbox.conftest import TOKEN, serving
from tests.agents.sandbox.test_contract import gone, running

pytestmark = pytest.mark.sandbox
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def client(sandboxd_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandboxd_url, timeout=60) as client:
        yield client


@pytest.fixture
async def remote(sandboxd_url: str) -> AsyncIterator[RemoteSandbox]:
    async with RemoteSandbox(sandboxd_url, TOKEN) as sandbox:
        yield sandbox


async def test_livez_needs_no_token_and_nothing_else_is_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "ok"}
    for path in ("/", "/docs", "/openapi.json", "/exec/../containers", "/containers/json", "/v1.41/info"):
        assert (await client.get(path, headers=AUTHORISED)).status_code in {404, 405}


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN} "[:-2]}]
)
async def test_without_the_token_nothing_runs(client: httpx.AsyncClient, header: dict[str, str]) -> None:
    answer = await client.post("/exec", headers=header, content=frame(Order(argv=["true"])))
    assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthorised"


async def test_a_wrong_token_is_unavailable_with_a_hint(sandboxd_url: str) -> None:
    sandbox = RemoteSandbox(sandboxd_url, "another token, not theirs")
    with pytest.raises(SandboxUnavailable, match="token") as caught:
        await sandbox.start()
    assert "KEEPSAKE_SANDBOXD_TOKEN_FILE" in caught.value.hint
    await sandbox.stop()


async def test_nobody_at_the_address_is_unavailable_at_start_and_retryable_later() -> None:
    sandbox = RemoteSandbox("http://127.0.0.1:9", TOKEN)  # the discard port
    with pytest.raises(SandboxUnavailable, match="does not answer"):
        await sandbox.start()
    with pytest.raises(SandboxFailed) as caught:
        await sandbox.exec(["true"], workspace=None)
    assert caught.value.retryable
    await sandbox.stop()


async def test_an_order_can_be_sent_by_hand(client: httpx.AsyncClient) -> None:
    order = Order(argv=["cat", "in.txt", "-"], files=[("in.txt", 5, False, 0)], stdin_size=4)
    answer = await client.post("/exec", headers=AUTHORISED, content=frame(order) + b"text" + b"file\n")
    incoming = Incoming(answer.aiter_bytes())
    reply = Reply.model_validate_json(await incoming.header())
    assert (await incoming.exactly(reply.stdout_size), reply.exit_code, reply.changed) == (b"file\ntext", 0, [])


def framed(header: object) -> bytes:
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(body).to_bytes(8, "big") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0",
        b"\xff" * 100,
        framed(b"not json"),
        framed({}),
        framed({"argv": []}),
        framed({"argv": "true"}),
        framed({"argv": ["true"], "image": "other"}),
        framed({"argv": ["true"], "limits": {"network": True}}),
        framed({"argv": ["true"], "limits": {"wall_s": 121}}),
        framed({"argv": ["true"], "limits": {"memory_bytes": 4096 * MIB}}),
        framed({"argv": ["true"], "limits": {"pids": 0}}),
        framed({"argv": ["true"], "files": [["../x", 1, False, 0]]}),
        framed({"argv": ["true"], "files": [["/x", 1, False, 0]]}),
        framed({"argv": ["true"], "files": [["x", 10**12, False, 0]]}),
        framed({"argv": ["true"], "dirs": ["a/../.."]}),
        framed({"argv": ["true"], "stdin_size": 10**9}),
        framed({"argv": ["true"], "files": [["x", 100, False, 0]]}) + b"only a part",
    ],
)
async def test_a_malformed_or_greedy_order_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/exec", headers=AUTHORISED, content=body)
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_input", answer.text
    assert (await client.get("/livez")).status_code == 200


async def test_the_client_gets_the_services_refusal_as_its_own_type(remote: RemoteSandbox, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (20 * MIB))  # the refusal comes while this is still being sent
    with pytest.raises(InvalidInput, match=r"limits\.wall_s is more than this sandboxd allows"):
        await remote.exec(["true"], workspace=tmp_path, limits=Limits(wall_s=600))


async def test_nobody_can_name_the_supervisors_own_settings(client: httpx.AsyncClient) -> None:
    order = Order(
        argv=["sh", "-c", "grep -h -e Seccomp: -e 'Max processes' /proc/self/status /proc/self/limits"], count_processes=False, filter=""
    )
    answer = await client.post("/exec", headers=AUTHORISED, content=frame(order))
    assert b"Seccomp:\t2\n" in answer.content and answer.content.split(b"Max processes")[1].split()[0] == b"64"


async def test_a_caller_that_hangs_up_has_its_program_killed(client: httpx.AsyncClient) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    order = Order(argv=["python3", "-c", "import time; time.sleep(60)", marker], limits=Limits(wall_s=60))
    task = asyncio.create_task(client.post("/exec", headers=AUTHORISED, content=frame(order)))
    while not running(marker):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)


async def test_more_orders_than_slots_wait_their_turn(remote: RemoteSandbox) -> None:
    results = await asyncio.gather(*(remote.exec(["sleep", "0.2"], workspace=None) for _ in range(7)))
    assert [result.exit_code for result in results] == [0] * 7


async def test_when_no_slot_comes_free_the_order_fails_and_may_be_tried_again(
    need_bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.sandboxd.service.QUEUE_S", 0.1)
    with serving(create_service(Bubblewrap(), TOKEN, slots=1)) as url:
        async with RemoteSandbox(url, TOKEN) as sandbox:
            first = asyncio.create_task(sandbox.exec(["sleep", "1"], workspace=None))
            await asyncio.sleep(0.3)
            with pytest.raises(SandboxFailed, match="slots") as caught:
                await sandbox.exec(["true"], workspace=None)
            assert caught.value.retryable and (await first).exit_code == 0


def test_a_service_without_a_token_does_not_start(need_bubblewrap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.model_validate({"home": tmp_path, "sandbox": "bubblewrap"})
    monkeypatch.setattr("infra.sandboxd.__main__.get_settings", lambda: settings)
    with pytest.raises(SystemExit, match="cannot start: sandboxd's token cannot be read"):
        main()


async def test_the_process_serves_on_its_port_and_runs_programs(need_bubblewrap: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "token").write_text(TOKEN + "\n")
    env = {"PATH": os.environ["PATH"], "KEEPSAKE_HOME": str(tmp_path), "KEEPSAKE_SANDBOXD_PORT": str(port)}
    env |= {"KEEPSAKE_SANDBOXD_TOKEN_FILE": str(tmp_path / "token"), "KEEPSAKE_SANDBOX": "bubblewrap"}
    process = subprocess.Popen([sys.executable, "-m", "infra.sandboxd"], cwd=Path(__file__).parents[3], env=env)
    sandbox = RemoteSandbox(f"http://127.0.0.1:{port}", TOKEN)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                await sandbox.start()
                break
            except SandboxUnavailable:
                assert process.poll() is None and time.monotonic() < deadline
                await asyncio.sleep(0.1)
        assert (await sandbox.exec(["echo", "hello"], workspace=None)).stdout == "hello\n"
    finally:
        await sandbox.stop()
        process.terminate()
        process.wait(20)
