"""An element is found again, or it is missing: never another in its place."""

import pytest

from agents.web.locator import Locator
from agents.web.screen.static import read_html
from app.errors import ElementMissing

URL = "http://shop.example/"
PAGE = "<a href=/a>Edit</a><a href=/b>Edit</a><form method=post action=/buy><button>Buy</button></form>"


def locator(number: int) -> Locator:
    view = read_html(PAGE, URL)
    return Locator.of(view, view.elements[number - 1])


def test_the_second_of_two_alike_is_found_after_the_page_grew():
    view = read_html(f"<p>news<a href=/n>News</a>{PAGE}", URL)
    assert locator(2).find(view).href == "http://shop.example/b"
    assert locator(2).find(view).id == 3


@pytest.mark.parametrize(
    ("number", "page"),
    [
        (2, "<a href=/a>Edit</a>"),
        (1, "<a href=/evil>Edit</a><a href=/b>Edit</a>"),
        (1, "<button>Edit</button>"),
        (3, "<form method=post action=/other><button>Buy</button></form>"),
        (3, "<form method=get action=/buy><button>Buy</button></form>"),
        (3, "<form method=post action=/buy><button type=button>Buy</button></form>"),
        (3, "<form method=post action=/buy><button disabled>Buy</button></form>"),
        (3, ""),
    ],
)
def test_gone_changed_or_disabled_is_missing(number, page):
    with pytest.raises(ElementMissing):
        locator(number).find(read_html(page, URL))


def test_a_locator_is_json():
    assert Locator.model_validate_json(locator(3).model_dump_json()) == locator(3)
