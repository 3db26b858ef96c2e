"""The one way out: the task's site and nothing else, hop by hop."""

import asyncio

import httpx
import pytest

from agents.web.egress import Egress
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
