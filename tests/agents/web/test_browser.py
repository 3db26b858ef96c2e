"""Chromium behind the Surface: what it does, what it refuses, and what it says of pages that go wrong."""

import asyncio
import contextlib
import json
import os
import time

import pytest
from playwright.async_api import Error as PlaywrightError

from agents.web import egress, storage
from agents.web.browser import Browser
from app.config import Settings
from app.errors import BrowserUnavailable, ElementMissing, NavigationFailed, NotFound
from tests.agents.web.agreement import named
from tests.agents.web.local_site import Reply

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


@pytest.fixture
def opened(make_browser, make_site):
    """(browser, site) of the given pages, the first one open."""

    async def opened(pages: dict, **options):
        site = make_site(pages)
        browser = make_browser(site, **options)
        await browser.open()
        await browser.visit(site.url + next(iter(pages)))
        return browser, site

    return opened


async def test_a_visit_gives_the_page_with_its_status(opened):
    browser, site = await opened({"/": Reply("<title>Sorry</title><p>Broken", 503)})
    view = await browser.read()
    assert (view.url, view.title, view.status, view.text, view.problem) == (f"{site.url}/", "Sorry", 503, ["Broken"], "")


async def test_links_forms_and_selects_work(opened):
    pages = {
        "/": "<a href=/form>Form</a>",
        "/form": "<form method=post action=/done><input aria-label=Name name=name><label><input type=checkbox name=gift>Gift</label>"
        "<select name=size aria-label=Size><option>S<option disabled>M<option>L</select><button>Send</button></form>",
        "/done": lambda a: f"<title>Done</title><p>{sorted(a.fields.items())}",
    }
    browser, _ = await opened(pages)
    await browser.click(named(await browser.read(), "link", "Form").id)
    view = await browser.read()
    await browser.type(named(view, "box", "Name").id, "Ann")
    await browser.click(named(view, "check", "Gift").id)
    await browser.select(named(view, "select", "Size").id, "L")
    view = await browser.read()
    assert [e.value for e in view.elements] == ["Ann", "on", "L", ""]
    await browser.click(named(view, "button", "Send").id, write=True)
    assert (await browser.read()).text == ["[('gift', 'on'), ('name', 'Ann'), ('size', 'L')]"]


async def test_enter_sends_the_form_and_typing_alone_does_not(opened):
    browser, site = await opened({"/": "<form action=/s><input name=q aria-label=Search></form>", "/s": lambda a: f"<p>{a.fields['q']}"})
    await browser.read()
    await browser.type(1, "old")
    assert "/s" not in site.paths()
    await browser.read()
    await browser.type(1, "kettle", enter=True)
    view = await browser.read()
    assert (view.url, view.text) == (f"{site.url}/s?q=kettle", ["kettle"])


async def test_a_script_has_time_to_answer_and_no_longer(opened):
    browser, _ = await opened(
        {
            "/": """<button>Load</button><p id=p>nothing</p><script>document.querySelector("button").onclick = () => fetch("/data").then(
            (r) => r.text()).then((t) => setTimeout(() => { p.textContent = t }, 60))</script>""",
            "/data": "loaded",
        }
    )
    view = await browser.read()
    started = time.perf_counter()
    await browser.click(named(view, "button", "Load").id)
    assert (await browser.read()).text == ["loaded"]
    assert time.perf_counter() - started < 3


async def test_a_page_that_never_rests_is_read_all_the_same(opened):
    browser, _ = await opened({"/": "<p id=p>0</p><script>setInterval(() => { p.textContent = +p.textContent + 1 }, 5)</script>"})
    view = await browser.read()
    assert int(view.text[0]) > 0
    assert view.problem == ""


async def test_a_page_that_never_answers_is_a_view_with_a_problem(opened, settings):
    settings.page_timeout_s = 1
    browser, site = await opened({"/never": Reply(hang=True), "/": "<title>Fine</title>"})
    view = await browser.read()
    assert (view.url, view.status, view.elements) == (f"{site.url}/never", 0, [])
    assert view.problem == f"{site.url} did not answer within 1 s."
    assert await browser.screenshot() is None
    await browser.visit(f"{site.url}/")
    assert (await browser.read()).title == "Fine"


async def test_a_link_that_never_answers_leaves_the_page_below(opened, settings):
    settings.page_timeout_s = 1.5
    browser, site = await opened({"/": "<title>Start</title><a href=/never>Go</a>", "/never": Reply(hang=True)})
    await browser.read()
    await browser.click(1)
    assert (await browser.read()).problem == f"{site.url} did not answer within 1.5 s."
    await browser.back()
    assert (await browser.read()).title == "Start"


async def test_a_page_that_never_ends_is_shown_as_far_as_it_came(opened, settings):
    settings.page_timeout_s = 1.5
    browser, site = await opened({"/": Reply("<title>Half</title><p>first half</p>" + "<!-- -->" * 20, stall=True)})
    view = await browser.read()
    assert (view.status, view.text) == (200, ["first half"])
    assert view.problem == f"{site.url} has not finished loading this page."


async def test_a_script_that_never_ends_costs_its_page_only(opened, settings):
    settings.page_timeout_s = 2
    browser, site = await opened({"/": "<button onclick='for(;;){}'>Hang</button>", "/fine": "<title>Fine</title>"})
    await browser.read()
    with contextlib.suppress(ElementMissing):  # the click itself may or may not come back
        await browser.click(1)
    assert (await browser.read()).status == 0
    await browser.visit(f"{site.url}/fine")
    assert (await browser.read()).title == "Fine"


async def test_nobody_answers(opened, make_site):
    gone = make_site({})
    gone.close()
    browser, _ = await opened({"/": f"<title>Start</title><a href={gone.url}/x>Gone</a>"}, allowed=lambda url: True)
    await browser.read()
    await browser.click(1)
    view = await browser.read()
    assert (view.url, view.status, view.problem) == (f"{gone.url}/x", 0, f"{gone.url} does not answer.")
    await browser.visit(f"{gone.url}/y")
    assert (await browser.read()).problem == f"{gone.url} does not answer."


async def test_a_dialog_is_dismissed_and_reported(opened):
    button = """<button onclick="this.textContent = confirm('Really\\nbuy?') ? 'bought' : 'kept'">Buy</button>"""
    browser, _ = await opened({"/": f"{button}<script>alert('Hello')</script>"})
    assert browser.notes() == ["Dialog dismissed: alert `Hello`."]
    await browser.read()
    await browser.click(1)
    assert named(await browser.read(), "button", "kept")
    assert browser.notes() == ["Dialog dismissed: confirm `Really buy?`."]


async def test_a_new_window_becomes_the_page_and_back_closes_it(opened):
    pages = {
        "/": "<title>Start</title><a href=/two target=_blank>Two</a><button onclick=\"window.open('/three')\">Three</button>",
        "/two": "<title>Two</title>",
        "/three": "<title>Three</title><button onclick='window.close()'>Close</button>",
    }
    browser, _ = await opened(pages)
    view = await browser.read()
    await browser.click(named(view, "link", "Two").id)
    assert (await browser.read()).title == "Two"
    await browser.back()
    assert (await browser.read()).title == "Start"
    await browser.click(named(view, "button", "Three").id)
    view = await browser.read()
    assert view.title == "Three"
    await browser.click(named(view, "button", "Close").id)
    assert (await browser.read()).title == "Start"


async def test_a_flood_of_windows_is_bounded(opened):
    browser, _ = await opened(
        {"/": "<button onclick=\"for (let i = 0; i < 12; i++) window.open('/w?' + i)\">Flood</button>", "/w": "<title>W</title>"}
    )
    await browser.read()
    await browser.click(1)
    notes: list[str] = []
    for _ in range(100):
        if notes := notes or browser.notes():
            break
        await asyncio.sleep(0.1)
    assert notes == ["Too many windows: the newest was closed."]
    assert (await browser.read()).status == 200
    assert len(browser._tabs.pages) <= 6


async def test_a_redirect_to_a_foreign_host_is_blocked_and_reported(opened, make_site):
    foreign = make_site({"/steal": "<title>Stolen</title>"})
    pages = {
        "/": "<title>Start</title><a href=/away>Away</a><a href=/hop>Hop</a>",
        "/away": Reply(status=302, headers={"Location": f"{foreign.url}/steal?secret"}),
        "/hop": Reply(status=302, headers={"Location": "/away"}),
    }
    browser, site = await opened(pages)
    told = f"Blocked: {foreign.url} is not among the task's sites."
    for name in ("Away", "Hop"):
        view = await browser.read()
        await browser.click(named(view, "link", name).id)
        assert (await browser.read()).title == "Start"
        assert browser.notes() == [told]
    await browser.visit(f"{site.url}/hop")
    view = await browser.read()
    assert (view.url, view.status, view.problem) == (f"{site.url}/hop", 0, told)
    assert foreign.asked == []


@pytest.mark.parametrize(
    "markup",
    [
        "<a id=a href={0}/x>x</a><script>a.click()</script>",
        "<img src={0}/x>",
        "<iframe src={0}/x></iframe>",
        "<script src={0}/x></script>",
        "<script>fetch('{0}/x', {{mode: 'no-cors'}}).catch(() => 0)</script>",
        "<script>navigator.sendBeacon('{0}/x', 'secret')</script>",
        "<script>new WebSocket('{0}/x'.replace('http', 'ws'))</script>",
        "<script>open('{0}/x')</script>",
        "<meta http-equiv=refresh content='0; url={0}/x'>",
        "<form id=f method=post action={0}/x><input name=a></form><script>f.submit()</script>",
        "<script>location = '{0}/x'</script>",
        "<link rel=preconnect href={0}><link rel=prefetch href={0}/x>",
        "<img src=/redirect>",
    ],
)
async def test_nothing_of_a_page_reaches_another_site(opened, make_site, markup):
    foreign = make_site({})
    there = f"{foreign.url}/x"
    browser, site = await opened(
        {"/": f"<title>Start</title><p>{markup.format(foreign.url)}", "/redirect": Reply(status=302, headers={"Location": there})}
    )
    view = await browser.read()
    assert (view.url, view.title) == (f"{site.url}/", "Start")
    assert foreign.asked == []


async def test_what_was_blocked_is_reported_once(opened, make_site):
    foreign = make_site({})
    browser, _ = await opened({"/": f"<img src={foreign.url}/1><img src={foreign.url}/2>"})
    await browser.read()
    assert browser.notes() == [f"Blocked: {foreign.url} is not among the task's sites."]
    assert browser.notes() == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "http://127.0.0.1:1/",
        "http://10.0.0.1/",
        "data:text/html,x",
        "javascript:alert(1)",
        "chrome://version",
        "view-source:http://a/",
    ],
)
async def test_other_schemes_and_private_addresses_are_not_opened(opened, url):
    browser, _ = await opened({"/": "<title>Start</title>"})
    await browser.visit(url)
    view = await browser.read()
    assert (view.url, view.status, view.elements, view.text) == (url, 0, [], [])
    assert view.problem.startswith("Blocked: ")
    await browser.back()
    assert (await browser.read()).title == "Start"


async def test_a_public_name_that_leads_to_a_private_address_is_blocked_and_reported(opened, monkeypatch):
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "rebound.example" else [host]

    monkeypatch.setattr(egress, "lookup", lookup)
    browser, site = await opened({"/": "<title>Start</title>"}, allowed=lambda url: True)
    for scheme in ("http", "https"):
        place = f"{scheme}://rebound.example:{site.port}"
        await browser.visit(f"{place}/x")
        view = await browser.read()
        assert (view.url, view.status, view.problem) == (f"{place}/x", 0, f"Blocked: {place} leads to a private address.")
        assert browser.notes() == [f"Blocked: {place} leads to a private address."]
        with pytest.raises(NavigationFailed, match="leads to a private address"):
            await browser.fetch(f"{place}/x")
    assert site.paths() == ["/"]


async def test_a_link_to_a_file_goes_nowhere(opened):
    browser, _ = await opened({"/": "<title>Start</title><script>location = 'file:///etc/passwd'</script>"})
    assert (await browser.read()).title == "Start"


async def test_downloads_are_refused(opened):
    attached = Reply(b"\0\1", headers={"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"})
    browser, site = await opened({"/": "<title>Start</title><a href=/d/file.bin>File</a>", "/d/file.bin": attached})
    await browser.read()
    await browser.click(1)
    assert (await browser.read()).title == "Start"
    assert browser.notes() == ["Download of `file.bin` refused."]
    await browser.visit(f"{site.url}/d/file.bin")
    assert (await browser.read()).problem == "Download of `file.bin` refused."


async def test_a_file_is_fetched_with_cookies_in_any_script(opened):
    pages = {
        "/": "<script>document.cookie = 'name=Zoë'</script>",
        "/file": lambda asked: Reply(asked.headers.get("Cookie", ""), headers={"Content-Type": "application/octet-stream"}),
    }
    browser, site = await opened(pages)
    await browser.read()
    assert (await browser.fetch(f"{site.url}/file")).decode().encode("latin-1").decode() == "name=Zoë"


async def test_service_workers_cannot_settle(opened):
    script = Reply("", headers={"Content-Type": "text/javascript"})
    browser, site = await opened({"/": "<script>navigator.serviceWorker.register('/sw.js')</script>", "/sw.js": script})
    page = await browser._tabs.current()
    assert await page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
    assert "/sw.js" not in site.paths()


async def test_an_element_that_is_gone_or_covered_is_missing(opened):
    browser, site = await opened(
        {
            "/": "<button id=b onclick=\"fetch('/clicked')\">Go</button><button onclick='b.remove()'>Remove</button>",
            "/covered": "<button onclick=\"fetch('/clicked')\">Under</button><div style='position:fixed;inset:0;background:#fff'></div>",
        }
    )
    view = await browser.read()
    await browser.click(named(view, "button", "Remove").id)
    with pytest.raises(ElementMissing):
        await browser.click(named(view, "button", "Go").id)
    await browser.visit(f"{site.url}/covered")
    view = await browser.read()
    with pytest.raises(ElementMissing, match="covers"):
        await browser.click(1)
    with pytest.raises(ElementMissing):
        await browser.click(99)
    assert "/clicked" not in site.paths()


async def test_a_form_that_is_not_complete_is_not_sent_and_said_so(opened):
    browser, site = await opened(
        {"/": "<form action=/s><input name=q required aria-label=Q><button>Go</button></form>", "/s": "<title>Sent</title>"}
    )
    view = await browser.read()
    await browser.click(named(view, "button", "Go").id)
    assert browser.notes() == ["The form was not sent: a field is missing or wrong."]
    assert "/s" not in site.paths()


async def test_no_way_back_is_said(opened):
    browser, _ = await opened({"/": "<title>Start</title>"})
    await browser.back()
    assert browser.notes() == ["There is no page to go back to."]
    assert (await browser.read()).title == "Start"


async def test_a_screenshot_is_a_small_jpeg(opened):
    noise = "".join(f"<i style='background:hsl({i * 37 % 360} 90% {i * 53 % 90}%)'></i>" for i in range(6000))
    browser, _ = await opened({"/": f"<style>body{{margin:0;font-size:0}}i{{display:inline-block;width:14px;height:14px}}</style>{noise}"})
    picture = await browser.screenshot()
    assert picture[:3] == b"\xff\xd8\xff"
    assert len(picture) <= 100_000


async def test_a_profile_logs_in_and_cookies_of_the_run_are_kept(opened, make_browser, settings):
    def page(asked):
        return Reply(f"<p>{asked.headers.get('Cookie', 'none')}", headers={"Set-Cookie": "cart=7; Path=/; HttpOnly"})

    cookie = {
        "name": "login",
        "value": "ann",
        "domain": "127.0.0.1",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    storage.save_profile(settings, "shop", {"cookies": [cookie], "origins": []})
    browser, site = await opened({"/": page}, profiles=["shop"])
    assert (await browser.read()).text == ["login=ann"]
    memory = json.loads(json.dumps(await browser.memory()))
    assert "ann" not in json.dumps(memory)
    await browser.close()
    later = make_browser(site, profiles=["shop"])
    await later.open(memory)
    assert (await later.read()).text == ["login=ann; cart=7"]


async def test_a_lost_session_is_said_and_a_missing_profile_is_an_error(make_browser, make_site):
    site = make_site({"/": "<p>x"})
    browser = make_browser(site)
    await browser.open({"url": f"{site.url}/", "storage": storage.new_session(), "inputs": []})
    assert browser.notes() == ["The browser's session was lost; it starts anew."]
    with pytest.raises(NotFound):
        await make_browser(site, profiles=["nobody"]).open()


async def test_a_form_is_filled_in_again_and_what_is_gone_is_said(opened, make_browser):
    fields = "<input name=a aria-label=Name><input type=password aria-label=Secret><label><input type=checkbox>Gift</label>"
    more = "<label><input type=radio name=r checked>One</label><label><input type=radio name=r>Two</label>"
    more += "<select aria-label=Size><option>S<option>L</select>"
    browser, site = await opened({"/": f"<form method=post action=/send>{fields}{more}<input aria-label=Old></form>", "/send": "<p>sent"})
    view = await browser.read()
    await browser.type(named(view, "box", "Name").id, "Ann")
    await browser.type(named(view, "box", "Name").id, "Bob")
    await browser.type(named(view, "box", "Secret").id, "hunter2")
    await browser.type(named(view, "box", "Old").id, "gone")
    await browser.click(named(view, "check", "Gift").id)
    await browser.click(named(view, "radio", "Two").id)
    await browser.select(named(view, "select", "Size").id, "L")
    memory = await browser.memory()
    assert "hunter2" not in json.dumps(memory)
    site.pages["/"] = f"<form method=post action=/send>{fields}{more}</form>"
    later = make_browser(site)
    await later.open(memory)
    assert [e.value for e in (await later.read()).elements] == ["Bob", "", "on", "", "on", "L"]
    assert later.notes() == ["`Old` could not be filled in again."]
    assert site.paths("POST") == []


async def test_inputs_are_forgotten_when_the_page_changes(opened):
    browser, site = await opened({"/": "<form action=/next><input name=q aria-label=Q><button>Go</button></form>", "/next": "<p>x"})
    view = await browser.read()
    await browser.type(1, "typed")
    assert len((await browser.memory())["inputs"]) == 1
    await browser.click(named(view, "button", "Go").id)
    assert await browser.memory() == {"url": f"{site.url}/next?q=typed", "storage": "", "inputs": []}


async def test_runs_do_not_share_cookies(opened, make_browser):
    browser, site = await opened({"/": lambda a: Reply(f"<p>{a.headers.get('Cookie', 'none')}", headers={"Set-Cookie": "id=1"})})
    other = make_browser(site)
    await other.open()
    await other.visit(f"{site.url}/")
    assert (await other.read()).text == ["none"]
    await browser.visit(f"{site.url}/")
    assert (await browser.read()).text == ["id=1"]


async def test_a_browser_that_died_is_opened_again(opened):
    browser, _ = await opened({"/": "<title>Start</title><input aria-label=Q>"})
    await browser.read()
    await browser.type(1, "typed")
    memory = await browser.memory()
    await browser._lease.browser.close()  # what a crash of Chromium looks like from here
    assert await browser.open(memory)
    assert (await browser.read()).elements[0].value == "typed"


async def test_a_page_that_crashed_is_replaced(opened):
    browser, site = await opened({"/": "<title>Start</title>"})
    page = await browser._tabs.current()
    session = await page.context.new_cdp_session(page)
    with contextlib.suppress(PlaywrightError, TimeoutError):
        await asyncio.wait_for(session.send("Page.crash"), 3)
    await browser.visit(f"{site.url}/")
    assert (await browser.read()).title == "Start"
    assert browser.notes() == ["The page crashed."]


async def test_a_browser_that_breaks_in_mid_step_is_a_typed_error(opened):
    browser, site = await opened({"/": "<title>Start</title><a href=/>x</a>"})
    await browser.read()
    await browser._context.close()
    with pytest.raises(NavigationFailed, match="broke down") as caught:
        await browser.visit(f"{site.url}/")
    assert "may or may not" in caught.value.hint
    assert await browser.open()


async def test_without_chromium_there_is_a_hint(tmp_path):
    browser = Browser(Settings(home=tmp_path, chromium=tmp_path / "none"), lambda url: True)
    with pytest.raises(BrowserUnavailable) as caught:
        await browser.open()
    assert "apt-get install chromium" in caught.value.hint
    with pytest.raises(BrowserUnavailable):
        await browser.visit("http://127.0.0.1/")


async def test_what_does_not_start_is_no_browser(tmp_path):
    fake = tmp_path / "chromium"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    with pytest.raises(BrowserUnavailable, match="does not start"):
        await Browser(Settings(home=tmp_path, chromium=fake), lambda url: True).open()


async def test_a_driver_that_does_not_start_is_no_browser(tmp_path, monkeypatch):
    driver = tmp_path / "driver"
    driver.write_text("#!/bin/sh\necho no library >&2; exit 127\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", str(driver))
    with pytest.raises(BrowserUnavailable, match="driver does not start"):
        await Browser(Settings(home=tmp_path, chromium=driver), lambda url: True).open()


async def test_a_step_takes_less_than_a_second(opened):
    page = "<title>{0}</title><nav><a href=/>One</a> <a href=/two>Two</a></nav><table>" + "<tr><td>a<td>b</tr>" * 40 + "</table>"
    browser, _ = await opened({"/": page.format("One"), "/two": page.format("Two")})
    await browser.read()
    took = []
    for turn in range(10):
        started = time.perf_counter()
        await browser.click(2 - turn % 2)
        view = await browser.read()
        await browser.screenshot()
        await browser.memory()
        took.append(time.perf_counter() - started)
        assert view.title == ("Two", "One")[turn % 2]
    contention = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert sorted(took)[5] < contention


async def test_two_browsers_work_at_once(opened, make_browser):
    browser, site = await opened({"/": "<title>Start</title>", "/a": "<title>A</title>", "/b": "<title>B</title>"})
    other = make_browser(site)
    await other.open()
    await asyncio.gather(browser.visit(f"{site.url}/a"), other.visit(f"{site.url}/b"))
    assert [(await b.read()).title for b in (browser, other)] == ["A", "B"]
