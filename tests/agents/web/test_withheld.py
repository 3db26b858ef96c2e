"""What a page may send: nothing but safe requests in a step that reads, whatever its scripts do; anything in a step permitted to write."""

import asyncio
import threading

import pytest
import pytest_asyncio
from playwright.async_api import CDPSession

from agents.web import tabs
from agents.web.surface import LEFT_OVER, NO_SOCKET, WITHHELD
from app.errors import ElementMissing
from tests.agents.web.agreement import named
from tests.agents.web.local_site import Reply

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]

JAVASCRIPT = {"Content-Type": "text/javascript"}
SENDERS = {
    "fetch": "fetch('/w', {method: 'POST', body: 'a=1'})",
    "put": "fetch('/w', {method: 'PUT'})",
    "keepalive": "fetch('/w', {method: 'POST', keepalive: true})",
    "request": "(() => { const x = new XMLHttpRequest(); x.open('POST', '/w'); x.send('a=1') })()",
    "beacon": "navigator.sendBeacon('/w', 'a=1')",
    "form": "document.getElementById('f').submit()",
    "popup": "(() => { f.target = '_blank'; f.submit() })()",
}
SLOW_SENDERS = {
    "worker": "new Worker('/worker.js')",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: '/frame'}))",
}
FORM = "<form id=f method=post action=/w><input type=hidden name=a value=1></form>"
PARTS = {
    "/worker.js": Reply("fetch('/w', {method: 'POST'})", headers=JAVASCRIPT),
    "/frame": "<script>fetch('/w', {method: 'POST'})</script>",
    "/w": "<title>Written</title>",
    "/next": "<title>Next</title>",
}


@pytest_asyncio.fixture(loop_scope="module")
async def opened(make_browser, make_site):
    """(browser, site) with the given first page open."""

    async def opened(page: str, **more):
        site = make_site({"/": page} | PARTS | more)
        browser = make_browser(site)
        await browser.open()
        await browser.visit(f"{site.url}/")
        return browser, site

    return opened


async def told(browser) -> list[str]:
    """The notes, as soon as there are any: a worker or a frame has to load before it can send."""
    async with asyncio.timeout(10):
        while not (notes := browser.notes()):
            await asyncio.sleep(0.02)
    return notes


def written(site) -> list[tuple[str, str]]:
    return [(a.method, a.path) for a in site.asked if a.method != "GET"]


@pytest.mark.parametrize("script", (SENDERS | SLOW_SENDERS).values(), ids=SENDERS | SLOW_SENDERS)
async def test_a_script_sends_nothing_while_only_reading_is_permitted(opened, script):
    browser, site = await opened(f'<title>Start</title>{FORM}<button onclick="{script}">Order</button>')
    await browser.click(named(await browser.read(), "button", "Order").id)
    view = await browser.read()
    assert (view.url, view.title, view.problem) == (f"{site.url}/", "Start", "")
    assert await told(browser) == [WITHHELD]
    assert browser.withheld
    assert written(site) == []


@pytest.mark.parametrize("script", SENDERS.values(), ids=SENDERS)
async def test_a_step_that_may_write_sends_it(opened, script):
    browser, site = await opened(f'<title>Start</title>{FORM}<button onclick="{script}">Order</button>')
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    assert not browser.withheld
    assert browser.notes() == []
    async with asyncio.timeout(10):
        while not written(site):  # nobody waits for a beacon
            await asyncio.sleep(0.02)
    assert [path for _, path in written(site)] == ["/w"]


@pytest.mark.parametrize("script", [SENDERS[name] for name in ("fetch", "keepalive", "request", "beacon")])
async def test_a_step_that_may_write_waits_for_what_is_slow_to_come_to_the_filter(opened, script, monkeypatch):
    browser, site = await opened(f'<title>Start</title><button onclick="{script}">Order</button>')
    send = CDPSession.send

    async def slowly(self, method, params=None):
        await asyncio.sleep(0.5 * (method == "Fetch.continueRequest"))
        return await send(self, method, params)

    monkeypatch.setattr(CDPSession, "send", slowly)
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    async with asyncio.timeout(10):
        while not written(site):  # nobody waits for the answer to a beacon
            await asyncio.sleep(0.02)
    assert (browser.notes(), browser.withheld) == ([], False)


async def test_a_write_that_never_comes_to_the_filter_keeps_nobody_waiting(opened, monkeypatch):
    browser, site = await opened(f'<title>Start</title><button onclick="{SENDERS["fetch"]}">Order</button>')
    monkeypatch.setattr(tabs, "_ARRIVAL_S", 0.3)
    monkeypatch.setattr(CDPSession, "send", lambda *_: asyncio.sleep(60))
    began = asyncio.get_running_loop().time()
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    assert asyncio.get_running_loop().time() - began < 2.5
    assert written(site) == []


async def test_a_write_that_the_filter_turns_away_is_not_waited_for(opened, make_site):
    foreign = make_site({})
    script = f"fetch('{foreign.url}/w', {{method: 'POST', mode: 'no-cors'}})"
    browser, _ = await opened(f'<title>Start</title><button onclick="{script}">Order</button>')
    began = asyncio.get_running_loop().time()
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    assert asyncio.get_running_loop().time() - began < tabs._ARRIVAL_S
    assert foreign.asked == []


@pytest.mark.parametrize("script", [SENDERS["fetch"], SENDERS["request"], SENDERS["form"], SLOW_SENDERS["worker"]])
async def test_a_page_sends_nothing_when_it_is_opened(opened, script):
    browser, site = await opened(f"<title>Start</title>{FORM}<script>{script}</script>")
    assert (await browser.read()).title == "Start"
    assert await told(browser) == [WITHHELD]
    assert browser.withheld
    assert written(site) == []


@pytest.mark.parametrize("event", ["pagehide", "visibilitychange", "beforeunload"])
@pytest.mark.parametrize("script", [SENDERS["beacon"], SENDERS["keepalive"]], ids=["beacon", "keepalive"])
async def test_a_page_sends_nothing_when_it_is_left(opened, event, script, monkeypatch):
    browser, site = await opened(f"<title>Start</title><script>addEventListener('{event}', () => {script})</script>")
    monkeypatch.setattr(browser._egress, "may_send", lambda *_: True)  # an encrypted request shows its method to nothing below the browser
    await browser.read()
    await browser.visit(f"{site.url}/next")
    await browser.visit(f"{site.url}/next")
    assert (await browser.read()).title == "Next"
    assert written(site) == []


async def test_what_slips_through_the_browser_is_stopped_at_the_way_out(opened):
    browser, site = await opened("<title>Start</title>")
    page = await browser._tabs.current()
    await page.context.unroute_all()
    await page.evaluate("fetch('/w', {method: 'POST'}).then((answer) => { document.title = answer.status })")
    await page.wait_for_function("document.title === '403'")
    assert written(site) == []


async def test_typing_and_choosing_send_nothing_either(opened):
    save = "fetch('/w', {method: 'POST'})"
    browser, site = await opened(
        f'<input aria-label=Note oninput="{save}"><select aria-label=Size onchange="{save}"><option>S<option>L</select>'
        f'<label><input type=checkbox onchange="{save}">Gift</label>'
    )
    view = await browser.read()
    for step in (
        browser.type(named(view, "box", "Note").id, "x"),
        browser.select(named(view, "select", "Size").id, "L"),
        browser.click(named(view, "check", "Gift").id),
    ):
        await step
        assert browser.notes() == [WITHHELD]
    assert written(site) == []


async def test_a_form_filled_in_again_sends_nothing(opened, make_browser):
    browser, site = await opened("<input aria-label=Note oninput=\"fetch('/w', {method: 'POST'})\">")
    view = await browser.read()
    await browser.type(named(view, "box", "Note").id, "x", write=True)
    memory = await browser.memory()
    assert len(written(site)) == 1
    later = make_browser(site)
    await later.open(memory)
    assert (await later.read()).elements[0].value == "x"
    assert len(written(site)) == 1


async def test_leave_to_write_ends_when_the_step_has_settled(opened):
    late = "fetch('/w', {method: 'POST'}); setTimeout(() => fetch('/late', {method: 'POST'}).catch(() => { document.title = 'late' }), 900)"
    browser, site = await opened(f'<title>Start</title><button onclick="{late}">Order</button>')
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    await (await browser._tabs.current()).wait_for_function("document.title === 'late'")
    assert written(site) == [("POST", "/w")]
    assert browser.notes() == [LEFT_OVER]


async def test_a_step_that_writes_waits_for_the_answer_and_what_follows_from_it(opened):
    chain = "fetch('/one', {method: 'POST'}).then(() => fetch('/two', {method: 'POST'})).then(() => { document.title = 'Both' })"
    never = threading.Event()

    def slow(_) -> str:
        never.wait(0.4)
        return "ok"

    browser, site = await opened(f'<title>Start</title><button onclick="{chain}">Order</button>', **{"/one": slow, "/two": slow})
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    assert (await browser.read()).title == "Both"
    assert written(site) == [("POST", "/one"), ("POST", "/two")]


async def test_an_element_that_cannot_be_used_leaves_no_leave_behind(opened):
    late = "setTimeout(() => fetch('/w', {method: 'POST'}).catch(() => { document.title = 'kept' }), 4500)"
    cover = "<div style='position:fixed;inset:0'></div>"
    browser, site = await opened(f"<title>Start</title><button>Under</button>{cover}<script>{late}</script>")
    view = await browser.read()
    with pytest.raises(ElementMissing):
        await browser.click(named(view, "button", "Under").id, write=True)
    await (await browser._tabs.current()).wait_for_function("document.title === 'kept'")
    assert written(site) == []


async def test_a_get_form_stays_a_read(opened):
    browser, site = await opened("<form action=/next><input name=q aria-label=Q><button>Go</button></form>")
    await browser.click(named(await browser.read(), "button", "Go").id)
    view = await browser.read()
    assert (view.title, view.url) == ("Next", f"{site.url}/next?q=")
    assert not browser.withheld
    assert browser.notes() == []


async def test_going_back_never_sends_a_form_again(opened):
    browser, site = await opened(
        "<title>Start</title><form method=post action=/answer><button>Order</button></form>",
        **{"/answer": lambda asked: f"<title>Answer to {asked.method}</title><a href=/next>Next</a>"},
    )
    await browser.click(named(await browser.read(), "button", "Order").id, write=True)
    await browser.click(named(await browser.read(), "link", "Next").id)
    await browser.back()
    assert (await browser.read()).title == "Answer to GET"
    assert browser.notes() == []
    assert written(site) == [("POST", "/answer")]


async def test_no_web_socket_is_opened_by_a_page_or_its_worker(opened):
    script = "new WebSocket(location.origin.replace('http', 'ws') + '/socket').onclose = () => { document.title = 'closed' }"
    worker = "new WebSocket(location.origin.replace('http', 'ws') + '/socket').onclose = () => postMessage('closed')"
    page = f"<title>Start</title><script>{script}</script>"
    other = "<title>Start</title><script>new Worker('/socket.js').onmessage = () => { document.title = 'closed' }</script>"
    browser, site = await opened(page, **{"/other": other, "/socket.js": Reply(worker, headers=JAVASCRIPT)})
    await (await browser._tabs.current()).wait_for_function("document.title === 'closed'")
    assert browser.notes() == [NO_SOCKET]
    await browser.visit(f"{site.url}/other")
    await (await browser._tabs.current()).wait_for_function("document.title === 'closed'")
    assert "/socket" not in site.paths()


async def test_pages_have_no_way_to_send_that_outlives_them(opened):
    browser, _ = await opened("<script>document.title = [typeof SharedWorker, typeof fetchLater].join()</script>")
    assert (await browser.read()).title == "undefined,undefined"


async def test_a_form_is_not_sent_by_the_fast_surface_either(make_static, make_site):
    site = make_site({"/": "<form method=post action=/w><input name=a aria-label=A><button>Order</button></form>"} | PARTS)
    static = make_static(site)
    await static.open()
    await static.visit(f"{site.url}/")
    view = await static.read()
    await static.click(named(view, "button", "Order").id)
    assert static.withheld
    assert static.notes() == [WITHHELD]
    await static.read()
    await static.type(named(view, "box", "A").id, "x", enter=True)
    assert static.notes() == [WITHHELD]
    assert written(site) == []
    await static.click(named(await static.read(), "button", "Order").id, write=True)
    assert not static.withheld
    assert written(site) == [("POST", "/w")]
