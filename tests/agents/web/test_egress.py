"""The one way out: the task's site and nothing else, hop by hop."""

import asyncio
import socket
import threading

import httpx
import pytest

from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.web import egress as egress_module
from agents.web.egress import Egress
from app.schemas import Policy, Site
from tests.agents.web.local_site import LocalSite, Reply


@pytest.fixture
async def through(make_site):
    """An egress filter before one site; gives (site, client through it, addresses turned away)."""
    opened = []

    async def through(pages: dict):
        site = make_site(pages)
        turned_away: list[str] = []
        egress = Egress(site.allows, turned_away.append)
        client = httpx.AsyncClient(proxy=await egress.start(), trust_env=False, timeout=5)
        opened.append((egress, client))
        return site, client, turned_away

    yield through
    for egress, client in opened:
        await client.aclose()
        await egress.close()


async def test_the_tasks_site_is_reached_with_its_body_and_headers(through):
    site, client, turned_away = await through({"/p": lambda a: Reply(a.fields["x"], headers={"X-Seen": a.headers["Host"]})})
    answer = await client.post(f"{site.url}/p", data={"x": "y" * 200_000})
    assert (answer.text, answer.headers["X-Seen"]) == ("y" * 200_000, f"127.0.0.1:{site.port}")
    assert turned_away == []


async def test_another_host_or_port_is_never_connected_to(through, make_site):
    other = make_site({"/": "secret"})
    _, client, turned_away = await through({})
    for url in (f"{other.url}/", f"http://localhost:{other.port}/", "http://169.254.169.254/latest/meta-data"):
        assert (await client.get(url)).status_code == 204
    assert turned_away == [f"{other.url}/", f"http://localhost:{other.port}/", "http://169.254.169.254/latest/meta-data"]
    assert other.asked == []


async def test_tunnels_are_filtered_too(through, make_site):
    other = make_site({})
    _, client, turned_away = await through({})
    with pytest.raises(httpx.ProxyError):
        await client.get(f"https://127.0.0.1:{other.port}/")
    assert turned_away == [f"https://127.0.0.1:{other.port}/"]


async def test_a_second_request_on_one_connection_is_not_passed_on_unseen(through):
    site, client, _ = await through({"/one": "1", "/two": "2"})
    port = int(str(next(iter(client._mounts.values()))._pool._proxy_url.port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\n\r\n"
    writer.write(f"GET {site.url}/one {head}GET /two {head}".encode())
    answer = await reader.read()
    writer.close()
    assert answer.count(b"HTTP/1.1 200") == 1
    assert site.paths() == ["/one"]


async def test_a_dead_site_closes_the_connection(through):
    site, client, _ = await through({})
    site.close()
    with pytest.raises(httpx.TransportError):
        await client.get(f"{site.url}/")


@pytest.fixture
def names(monkeypatch):
    """A name service of our own: {host: addresses}; what is not in it goes to nobody. Gives the list of names that were asked for."""

    def names(known: dict[str, list[str]]) -> list[str]:
        asked: list[str] = []

        async def lookup(host: str, port: int) -> list[str]:
            asked.append(host)
            return known[host]

        monkeypatch.setattr(egress_module, "lookup", lookup)
        return asked

    return names


@pytest.fixture
async def through_gate():
    """An egress filter under the gate of a task with one site; gives (egress, client through it, addresses turned away)."""
    opened = []

    async def through_gate(url: str):
        turned_away: list[str] = []
        gate = Gate(Policy.ALLOW_LISTED, Grants.of_task([Site(name="site", url=url)], {8710}))
        egress = Egress(gate.allows_request, turned_away.append)
        client = httpx.AsyncClient(proxy=await egress.start(), trust_env=False, timeout=5)
        opened.append((egress, client))
        return egress, client, turned_away

    yield through_gate
    for egress, client in opened:
        await client.aclose()
        await egress.close()


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["0.0.0.0"]])
async def test_a_public_name_with_a_private_address_is_turned_away(through_gate, make_site, names, addresses):
    site = make_site({"/": "secret"})
    names({"shop.example": addresses})
    egress, client, turned_away = await through_gate(f"http://shop.example:{site.port}/")
    assert (await client.get(f"http://shop.example:{site.port}/x")).status_code == 204
    with pytest.raises(httpx.ProxyError):
        await client.get(f"https://shop.example:{site.port}/x")
    assert turned_away == [f"http://shop.example:{site.port}/x", f"https://shop.example:{site.port}/"]
    assert egress.private == {f"http://shop.example:{site.port}", f"https://shop.example:{site.port}"}
    assert site.asked == []


async def test_the_address_that_was_checked_is_the_one_connected_to(through_gate, make_site, names, monkeypatch):
    """A name that means something else the next moment changes nothing: there is no next question."""
    site = make_site({"/": "fine"})
    asked = names({"shop.example": ["203.0.113.7", "127.0.0.1"]})
    monkeypatch.setattr(egress_module, "is_public", lambda address: True)
    reached = []

    async def connect(host: str, port: int, **options):
        reached.append(host)
        if host != "127.0.0.1":
            raise ConnectionRefusedError
        return await asyncio.open_connection(host, port, **options)

    monkeypatch.setattr(egress_module, "open_connection", connect)
    _, client, _ = await through_gate(f"http://shop.example:{site.port}/")
    assert (await client.get(f"http://shop.example.:{site.port}/")).text == "fine"
    assert reached == ["203.0.113.7", "127.0.0.1"]
    assert asked == ["shop.example"]


@pytest.mark.parametrize("host", ["localhost", "shop", "shop.localhost", "shop.internal"])
async def test_a_local_name_that_the_task_itself_names_may_be_private(through_gate, make_site, names, host):
    site = make_site({"/": "local"})
    names({host: ["127.0.0.1"]})
    egress, client, _ = await through_gate(f"http://{host}:{site.port}/")
    assert (await client.get(f"http://{host}:{site.port}/")).text == "local"
    assert egress.private == set()


async def test_closed_ports_are_closed_under_every_name(through_gate, names):
    asked = names({"api": ["127.0.0.1"], "api.example": ["127.0.0.1"]})
    for host in ("api", "localhost", "127.0.0.1", "api.example"):
        _, client, turned_away = await through_gate(f"http://{host}:8710/")
        assert (await client.get(f"http://{host}:8710/")).status_code == 204
        assert turned_away == [f"http://{host}:8710/"]
    assert asked == ["api.example"]


async def test_a_name_that_nobody_knows_closes_the_connection(through_gate):
    egress, client, turned_away = await through_gate("http://nobody.invalid/")
    with pytest.raises(httpx.TransportError):
        await client.get("http://nobody.invalid/")
    assert (turned_away, egress.private) == ([], set())


async def test_looking_up_a_name_keeps_nobody_waiting(monkeypatch):
    asleep, awake = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> list:
        asleep.set()
        awake.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80)), (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 80, 0, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    found = asyncio.ensure_future(egress_module.lookup("shop.example", 80))
    while not asleep.is_set():
        await asyncio.sleep(0)
    assert not found.done()
    awake.set()
    assert await found == ["192.0.2.1", "2001:db8::1"]


async def test_what_may_not_be_sent_is_answered_so_and_goes_nowhere(make_site):
    site = make_site({"/p": "fine"})
    egress = Egress(site.allows, lambda _: None, lambda method, url: method == "GET" and url.endswith("/p"))
    async with httpx.AsyncClient(proxy=await egress.start(), trust_env=False, timeout=5) as client:
        assert (await client.post(f"{site.url}/p")).status_code == 403
        assert (await client.get(f"{site.url}/p")).text == "fine"
    await egress.close()
    assert [a.method for a in site.asked] == ["GET"]


async def test_a_tunnel_carries_tls_and_nothing_else(through):
    site, client, _ = await through({"/": "x"})
    port = int(str(next(iter(client._mounts.values()))._pool._proxy_url.port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT 127.0.0.1:{site.port} HTTP/1.1\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUpgrade: websocket\r\n\r\n".encode())
    assert await reader.read() == b""
    writer.close()
    assert site.asked == []


@pytest.mark.parametrize(
    "request_", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"CONNECT x HTTP/1.1\r\n\r\n", b"\xff" * 70_000]
)
async def test_a_broken_request_reaches_nothing(request_):
    egress = Egress(lambda url: True, lambda url: None)
    port = int((await egress.start()).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_)
    writer.write_eof()
    assert b"200" not in await reader.read()
    writer.close()
    await egress.close()


def test_the_local_site_is_what_the_filter_allows():
    site = LocalSite({})
    assert site.allows(f"{site.url}/x")
    assert not site.allows(f"{site.url}1/x")
    site.close()
