"""Addresses are read the way Chromium reads them."""

import pytest

from agents.web.screen.address import absolute, canonical, query_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "http://shop.example:8080/dir/page?q=1#f"
REFERENCES = [
    "", "#", "#a b", "?", "?x=y z", "?#", "??", "/a b", "x/../y", "./", "../", "../../..", "/a//b", "/a/./b/../", "/%2e%2e/x", "/x/%2E/y",
    "/\\evil.example/p", "\\\\evil.example", "//evil.example", "///evil.example", "http:/evil.example", "http:page", "https:page",
    "HTTP://EVIL.example", "ht\ntp://evil.example/a", " http://a.example ", "http:\\\\x.example\\y", "http://x.example\\@y.example/",
    "http://a.example:80/", "http://a.example:443", "https://a.example:443/x", "http://a.example:0080/", "http://a.example:99999/",
    "http://a.example:/x", "http://a.example:x/", "http://user:pw@a.example/", "http://user@b@a.example/", "http://a.example?x",
    "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://08.1/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://[::1]:80/",
    "http://[::ffff:1.2.3.4]/", "http://[::1", "http://[1::2:0:0:0:3]/", "http://a%00b/", "http://ex%61mple.example/",
    "http://b\u00fccher.example/\u00fc?\u00fc#\u00fc", "http://ex\u00adample.example/", "http://", "http:", "http://.", "http://a_b.example/",
    "/%zz", "/a|b", "/a^b", "/a`b", "/a{b}", '/a"b', "/a<b>", "/a'b", "?a|b^c`d{e}\"f<g>'h", "#a|b^c`d{e}\"f<g>'h", "/[x]", "/x\x7f", "/~u",
    "/a;b,c=d:e@f&g+h$i!j*k(l)", "a\\b?c\\d", "\u00a0/x", "\x01/x", "/a\x1fb", "1:2", "javascript:alert(1)", "mailto:a@b.example",
    "data:text/html,x", "file:///etc/passwd",
]  # fmt: skip


@pytest.mark.browser
async def test_absolute_addresses_are_those_of_chromium(make_browser, make_site):
    browser = make_browser(make_site({"/": "<title>x</title>"}))
    await browser.open()
    page = await browser._tabs.current()
    script = "([base, all]) => all.map((r) => { try { return new URL(r, base).href } catch { return '' } })"
    theirs = await page.evaluate(script, [BASE, REFERENCES])
    assert {r: absolute(BASE, r) for r in REFERENCES} == dict(zip(REFERENCES, theirs, strict=True))


@pytest.mark.parametrize(
    "spelling", ["http://2130706433:8710/", "http://0x7f.0.0.1:8710/", "http://127.1:8710", "HTTP://127.0.0.1:8710/x/.."]
)
async def test_one_spelling_for_one_address(spelling):
    assert canonical(spelling) == "http://127.0.0.1:8710/"


@pytest.mark.parametrize("broken", ["http://", "http://a b.example/", "http://[::1", "http://x:99999/", "no scheme", ""])
async def test_a_broken_address_is_empty(broken):
    assert canonical(broken) == ""


async def test_form_fields_are_written_as_browsers_write_them():
    assert query_of([("q", "a b~*-._&=\u00fc"), ("n", "1\n2")]) == "q=a+b%7E*-._%26%3D%C3%BC&n=1%0D%0A2"
