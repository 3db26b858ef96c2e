"""Forms send what a browser would send."""

import pytest

from agents.web.forms import refused, submission, successful
from agents.web.screen.static import parse

URL = "http://shop.example/dir/page?old=1#here"


def form(markup: str):
    root = parse(markup)
    found = next(root.iter("form"))
    return found, next((b for b in root.iter("button")), None)


def test_only_successful_controls_are_sent_in_tree_order():
    found, button = form(
        """<form id=f><input name=a value=1><input name=b disabled value=2><input value=nameless><input type=hidden name=c value=3>
        <input type=checkbox name=d><input type=checkbox name=e checked><input type=checkbox name=g value=h checked>
        <input type=radio name=r value=1><input type=radio name=r value=2 checked><select name=s><option value=x>X<option selected>Y</select>
        <select name=m multiple><option selected>p<option>q<option selected>r</select><textarea name=t>
first
second</textarea><input type=submit name=no value=no><input type=file name=file><button name=go value=now>Go</button></form>
        <input name=late form=f value=z>"""
    )
    assert successful(found, button) == [
        ("a", "1"), ("c", "3"), ("e", "on"), ("g", "h"), ("r", "2"), ("s", "Y"), ("m", "p"), ("m", "r"), ("t", "first\nsecond"),
        ("go", "now"), ("late", "z"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("markup", "method", "url"),
    [
        ("<form><input name=q value='a b'></form>", "GET", "http://shop.example/dir/page?q=a+b"),
        ("<form action=/s?x=1#y><input name=q value=1></form>", "GET", "http://shop.example/s?q=1"),
        ("<form action=/s></form>", "GET", "http://shop.example/s?"),
        ("<form method=POST action=buy?x=1#y><input name=q value=1></form>", "POST", "http://shop.example/dir/buy?x=1"),
        ("<form method=post></form>", "POST", "http://shop.example/dir/page?old=1"),
        ("<form action=/a><button formaction=/b formmethod=post>x</button></form>", "POST", "http://shop.example/b"),
    ],
)
def test_where_a_form_goes(markup, method, url):
    found, button = form(markup)
    sent = submission(found, button, URL, URL)
    assert (sent.method, sent.url) == (method, url)


def test_a_dialogs_form_goes_nowhere():
    assert submission(*form("<form method=dialog><button>x</button></form>"), URL, URL) is None


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("<input required name=a>", True),
        ("<input required name=a value=1>", False),
        ("<input required name=a disabled>", False),
        ("<input type=checkbox required>", True),
        ("<input type=radio name=r required><input type=radio name=r checked>", False),
        ("<select required><option value=''>Choose</select>", True),
        ("<textarea required></textarea>", True),
        ("<input type=number value=5 min=1 max=4>", True),
        ("<input type=number value=1.5>", True),
        ("<input type=number value=1.5 step=0.5>", False),
        ("<input type=number value=7 min=1 step=3>", False),
        ("<input type=email value=nobody>", True),
        ("<input type=email value=a@b>", False),
        ("<input pattern='[0-9]+' value=12>", False),
        ("<input pattern='[0-9]+' value=x>", True),
        ("<input pattern='[' value=x>", False),
    ],
)
def test_a_browser_keeps_a_form_with_a_missing_or_wrong_field(field, kept):
    assert refused(*form(f"<form>{field}<button>x</button></form>")) is kept
    assert not refused(*form(f"<form novalidate>{field}<button>x</button></form>"))
