"""A browser and a parser read the same page byte for byte alike."""

import pytest

from agents.web.screen.static import read_html
from tests.agents.web.agreement import assert_equal_views
from tests.agents.web.screen.pages import PAGES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.browser]


@pytest.mark.parametrize("name", PAGES)
async def test_dom_and_markup_give_the_same_view(name, make_browser, make_site):
    site = make_site({"/dir/page": PAGES[name]})
    browser = make_browser(site)
    await browser.open()
    url = f"{site.url}/dir/page?q=1#here"
    await browser.visit(url)
    seen = await browser.read()
    assert seen.status == 200
    assert_equal_views(seen, read_html(PAGES[name], url))


async def test_a_difference_is_reported_with_a_diff():
    one = read_html("<p>one", "http://a.example/")
    with pytest.raises(AssertionError, match=r'\+  "two"'):
        assert_equal_views(one, read_html("<p>two", "http://a.example/"))
