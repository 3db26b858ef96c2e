# ruff: noqa: E501
"""The fast path: the same steps, views and notes as Chromium on pages without scripts, and an error where only a script would do."""

import time

import httpx
import pytest

from agents.web import storage
from agents.web.static_surface import StaticSurface
from app.errors import BrowserUnavailable, ElementMissing
from tests.agents.web.agreement import assert_agreement, named
from tests.agents.web.local_site import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _shop(asked) -> Reply:
    return Reply(
        f"<title>Cart</title><p>{asked.method} {sorted(asked.fields.items())}</p><p>{asked.headers.get('Cookie', 'none')}</p><a href=/>Home</a>"
    )


PAGES = {
    "/": """<title>Home</title><nav><a href=/list>List</a> <a href="/list#end">End</a> <a href="#here">Here</a></nav>
        <form action=/search><input name=q aria-label=Search><button>Search</button></form><details><summary>More</summary><p>Details</p></details>
        <button>Nothing</button>""",
    "/list": "<title>List</title><a href=/product?id=1&x=a%20b>Pot</a> <a href=/new target=_blank>New</a> <a href=/missing>Missing</a>"
    "<a href=/moved>Moved</a> <a href=/file.bin>File</a> <a href=/none>None</a> <a href=/plain>Plain</a>",
    "/search": lambda a: f"<title>Results</title><p>For {a.fields.get('q')}</p><form><input name=q aria-label=Search value='{a.fields.get('q')}'><button name=b value=1>Again</button></form>",
    "/product": """<title>Pot</title><form method=post action=/add><input type=hidden name=id value=1><label>Quantity <input name=n value=1 required></label>
        <label><input type=radio name=size value=s checked>Small</label><label><input type=radio name=size value=l>Large</label>
        <label><input type=checkbox name=gift>Gift</label><select name=colour aria-label=Colour><option value=r>Red<option value=g>Green</select>
        <textarea name=note aria-label=Note></textarea><button name=go value=add>Add</button><button type=reset>Clear</button></form>""",
    "/add": lambda a: Reply(status=303, headers={"Location": "/cart", "Set-Cookie": f"cart={a.fields['n']}-{a.fields['size']}-{a.fields.get('gift', 'off')}-{a.fields['colour']}; Path=/"}),
    "/cart": _shop,
    "/echo": _shop,
    "/new": "<title>New</title><p>in a window of its own",
    "/moved": Reply(status=302, headers={"Location": "/list?moved#end"}),
    "/file.bin": Reply(b"\0", headers={"Content-Type": "application/octet-stream"}),
    "/none": Reply(status=204),
    "/plain": Reply("first line\n  <b>second</b> & third\n", headers={"Content-Type": "text/plain; charset=utf-8"}),
    "/upload": "<title>Upload</title><form method=post action=/multi enctype=multipart/form-data><input name=a aria-label=A value='ü &'><button>Send</button></form>",
    "/multi": "<title>Multi</title>",
    "/keys": "<title>Keys</title><form action=/echo><input name=k aria-label=K><input type=submit name=s value=Go></form><form action=/echo><input name=m aria-label=M></form>"
    "<form action=/echo><input name=x aria-label=X><input name=y></form>",
    "/auto": "<title>Auto</title><form action=/echo><select name=s aria-label=Sort onchange='this.form.submit()'><option>name<option>price</select></form>",
    "/edit": "<title>Edit</title><div contenteditable=true aria-label=Edit>old <b>words</b></div>",
    "/base": "<base href=/list><title>Base</title><a href=new>New</a><form action=echo method=post><button>Send</button></form>",
}  # fmt: skip


@pytest.fixture
def pair(make_browser, make_static, make_site):
    """A browser and the fast path, each open on a site of its own making."""

    async def pair(**options):
        site = make_site(dict(PAGES))
        surfaces = make_browser(site, **options), make_static(site, **options)
        for surface in surfaces:
            await surface.open()
        return *surfaces, site

    return pair


WALKS = {
    "links": [("click", "link", "List"), ("click", "link", "Pot"), ("back",), ("click", "link", "Missing"), ("back",), ("back",), ("back",)],
    "fragments": [("click", "link", "Here"), ("click", "link", "End"), ("back",), ("back",), ("back",)],
    "windows": [("click", "link", "List"), ("click", "link", "New"), ("back",), ("click", "link", "Moved"), ("back",)],
    "nothing": [("click", "link", "List"), ("click", "link", "File"), ("click", "link", "None"), ("visit", "/file.bin"), ("back",), ("visit", "/none")],
    "plain": [("click", "link", "List"), ("click", "link", "Plain")],
    "search": [("type", "box", "Search", "copper kettle ü~*'(&"), ("click", "button", "Search"), ("click", "button", "Again"), ("back",), ("back",)],
    "details": [("click", "button", "More"), ("click", "button", "More"), ("click", "button", "Nothing"), ("scroll",)],
    "form": [
        ("visit", "/product?id=1"),
        ("type", "box", "Quantity", "3"),
        ("click", "radio", "Large"),
        ("click", "check", "Gift"),
        ("select", "select", "Colour", "Green"),
        ("type", "box", "Note", "two\nlines"),
        ("click", "button", "Add"),
        ("back",),
    ],
    "refused": [("visit", "/product"), ("type", "box", "Quantity", ""), ("click", "button", "Add"), ("click", "button", "Clear")],
    "same page": [("visit", "/list"), ("visit", "/list"), ("visit", "/list#end"), ("back",), ("back",)],
    "enter": [("visit", "/keys"), ("enter", "box", "K", "1"), ("visit", "/keys"), ("enter", "box", "M", "2"), ("visit", "/keys"), ("enter", "box", "X", "3")],
    "editable": [("visit", "/edit"), ("type", "box", "Edit", "new words")],
    "sends itself": [("visit", "/auto"), ("select", "select", "Sort", "price")],
    "base": [("visit", "/base"), ("click", "link", "New"), ("visit", "/base"), ("click", "button", "Send")],
    "abroad": [("visit", "http://127.0.0.1:1/"), ("back",), ("visit", "file:///etc/passwd"), ("visit", "/list")],
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize("name", WALKS)
async def test_both_surfaces_show_the_same_on_every_step(name, pair):
    browser, static, site = await pair()
    steps = [(verb, site.url + rest[0]) if verb == "visit" and rest[0].startswith("/") else (verb, *rest) for verb, *rest in WALKS[name]]
    await assert_agreement(browser, static, [("visit", f"{site.url}/"), *steps])


@pytest.mark.browser
async def test_both_send_the_same_requests(pair):
    browser, static, site = await pair()
    for surface in (browser, static):
        site.asked.clear()
        await surface.visit(f"{site.url}/upload")
        await surface.click(named(await surface.read(), "button", "Send").id, write=True)
        sent = [(a.method, a.path, a.headers.get("Origin"), a.headers.get("Referer")) for a in site.asked]
        assert sent == [("GET", "/upload", None, None), ("POST", "/multi", site.url, f"{site.url}/upload")]
        assert "multipart/form-data" in site.asked[-1].headers["Content-Type"]


@pytest.mark.browser
async def test_a_run_can_change_from_one_surface_to_the_other(pair, make_browser, make_static):
    browser, static, site = await pair()
    for first, make in ((browser, make_static), (static, make_browser)):
        await first.visit(f"{site.url}/product")
        await first.click(named(await first.read(), "button", "Add").id, write=True)
        await first.visit(f"{site.url}/product")
        await first.read()
        await first.type(1, "7")
        second = make(site)
        await second.open(await first.memory())
        assert (await second.read()).elements[0].value == "7"
        await second.visit(f"{site.url}/cart")
        assert (await second.read()).text[1] == "cart=1-s-off-r"


async def test_a_profile_logs_in(make_static, make_site, settings):
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
    site = make_site(PAGES)
    static = make_static(site, profiles=["shop"])
    await static.open()
    await static.visit(f"{site.url}/cart")
    assert (await static.read()).text[1] == "login=ann"


async def test_a_redirect_to_a_foreign_host_is_blocked(make_static, make_site):
    foreign = make_site({})
    site = make_site(
        {"/": "<title>Start</title><a href=/away>Away</a>", "/away": Reply(status=302, headers={"Location": f"{foreign.url}/x"})}
    )
    static = make_static(site)
    await static.open()
    await static.visit(f"{site.url}/")
    await static.read()
    await static.click(1)
    assert (await static.read()).title == "Start"
    assert static.notes() == [f"Blocked: {foreign.url} is not among the task's sites."]
    assert foreign.asked == []


async def test_a_redirect_without_end_and_a_silent_page_are_views_with_a_problem(make_static, make_site, settings):
    settings.page_timeout_s = 0.5
    site = make_site({"/loop": Reply(status=302, headers={"Location": "/loop"}), "/never": Reply(hang=True)})
    static = make_static(site)
    await static.open()
    await static.visit(f"{site.url}/loop")
    assert (await static.read()).problem == f"{site.url} does not answer."
    await static.visit(f"{site.url}/never")
    assert (await static.read()).problem == f"{site.url} did not answer within 0.5 s."


async def test_what_needs_a_script_needs_a_browser(make_static, make_site):
    site = make_site(
        {"/": "<button onclick=go()>Go</button><form onsubmit=go()><button>Send</button></form><button>Plain</button><script>1</script>"}
    )
    static = make_static(site)
    await static.open()
    await static.visit(f"{site.url}/")
    await static.read()
    for number in (1, 2, 3):
        with pytest.raises(BrowserUnavailable):
            await static.click(number)


async def test_elements_that_are_not_there_are_missing(make_static, make_site):
    site = make_site({"/": "<select aria-label=S><option>a</select>"})
    static = make_static(site)
    await static.open()
    with pytest.raises(ElementMissing):
        await static.click(1)
    await static.visit(f"{site.url}/")
    await static.read()
    with pytest.raises(ElementMissing):
        await static.select(1, "b")
    with pytest.raises(ElementMissing):
        await static.click(2)
    await static.close()
    with pytest.raises(BrowserUnavailable):
        await static.visit(f"{site.url}/")


async def test_an_application_can_be_walked_without_a_network(make_static, settings):
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html=f"<title>{request.url.path}</title><a href=/next>Next</a>")

    static = StaticSurface(settings, lambda url: True, transport=httpx.MockTransport(answer))
    await static.open()
    await static.visit("http://shop.example/")
    await static.read()
    await static.click(1)
    assert (await static.read()).title == "/next"
    await static.close()


async def test_a_step_is_quick(make_static, make_site):
    site = make_site(PAGES)
    static = make_static(site)
    await static.open()
    await static.visit(f"{site.url}/list")
    started = time.process_time()
    for _ in range(50):
        await static.visit(f"{site.url}/list")
        await static.read()
    assert (time.process_time() - started) / 50 < 0.05  # seconds of this process, the site's thread included
