"""A decision becomes the action that it is, whatever its words; an action is read back unchanged."""

import csv
import io

import pytest

from agents.roles import WebChoice
from agents.safety.gate import Gate, web_address
from agents.safety.grants import Grants
from agents.web.actions import Deed, as_csv, to_action
from agents.web.locator import Locator
from agents.web.screen.static import read_html
from app.errors import InvalidInput
from app.schemas import Effect, Policy, Site, Verdict
from tests.agents.web.agreement import named

SITES = [Site(name="shop", url="http://127.0.0.1:8713"), Site(name="tracker", url="http://127.0.0.1:8714/home")]
URL = "http://127.0.0.1:8713/page"
VIEW = read_html(
    """<title>Page</title><a href=/next>Next</a><a href="http://other.example/x">Away</a><a href=# onclick=go()>Script</a>
    <form action=/search><input aria-label=Search><label><input type=checkbox>Only new</label>
    <button>Find</button><button type=button>Fold</button></form>
    <form method=post action=/cart><input aria-label=Quantity><select aria-label=Colour><option>Red<option>Dark red<option>Green</select>
    <select aria-label=Sends onchange="this.form.submit()"><option>a</select><button>Buy</button><button disabled>Sold out</button></form>
    <input aria-label=Free><button>Alone</button><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x, "y"</td></tr></table>""",
    URL,
)


def choose(verb: str, kind: str = "", name: str = "", text: str = "", enter: bool = False):
    number = named(VIEW, kind, name).id if kind else None  # type: ignore[arg-type]
    return to_action(WebChoice(verb, number, text, enter), VIEW, SITES)


@pytest.mark.parametrize(
    ("choice", "kind", "effect", "target", "summary"),
    [
        (("visit", "", "", "shop"), "web.visit", Effect.READ, "http://127.0.0.1:8713/", "visit shop"),
        (("visit", "", "", "tracker"), "web.visit", Effect.READ, "http://127.0.0.1:8714/home", "visit tracker"),
        (("visit", "", "", "HTTP://Other.example:80"), "web.visit", Effect.READ, "http://other.example/", "visit http://other.example/"),
        (("click", "link", "Next"), "web.click", Effect.READ, "http://127.0.0.1:8713/next", "click Next"),
        (("click", "link", "Away"), "web.click", Effect.READ, "http://other.example/x", "click Away"),
        (("click", "button", "Script"), "web.click", Effect.READ, URL, "click Script"),
        (("click", "button", "Find"), "web.click", Effect.READ, "GET http://127.0.0.1:8713/search", "click Find"),
        (("click", "button", "Fold"), "web.click", Effect.READ, URL, "click Fold"),
        (("click", "check", "Only new"), "web.click", Effect.READ, URL, "click Only new"),
        (("click", "button", "Buy"), "web.click", Effect.PAY, "POST http://127.0.0.1:8713/cart", "click Buy"),
        (("click", "button", "Alone"), "web.click", Effect.READ, URL, "click Alone"),
        (("type", "box", "Search", "copper kettle"), "web.type", Effect.READ, URL, "type copper kettle"),
        (("type", "box", "Search", "k", True), "web.type", Effect.READ, "GET http://127.0.0.1:8713/search", "type k"),
        (("type", "box", "Quantity", "2"), "web.type", Effect.READ, URL, "type 2"),
        (("type", "box", "Quantity", "2", True), "web.type", Effect.PAY, "POST http://127.0.0.1:8713/cart", "type 2"),
        (("type", "box", "Free", "x", True), "web.type", Effect.WRITE, URL, "type x"),
        (("select", "select", "Colour", "Green"), "web.select", Effect.READ, URL, "select Green"),
        (("select", "select", "Sends", "a"), "web.select", Effect.SEND, "POST http://127.0.0.1:8713/cart", "select a"),
        (("scroll",), "web.scroll", Effect.READ, URL, "scroll"),
        (("back",), "web.back", Effect.READ, URL, "back"),
        (("read",), "web.read", Effect.READ, URL, "read"),
        (("save_table", "", "", "out/table.csv"), "web.save_table", Effect.WRITE, "out/table.csv", "save table out/table.csv"),
    ],
)
def test_what_a_choice_is_and_what_it_reaches(choice, kind, effect, target, summary):
    action = choose(*choice)
    assert (action.agent, action.kind, action.effect, action.target, action.summary) == ("web", kind, effect, target, summary)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "http://10.0.0.1/", "http://127.0.0.1:8710/v1"]
)
def test_a_canonical_address_becomes_an_action_and_the_gate_refuses_it(url):
    action = to_action(WebChoice("visit", text=url), None, SITES)
    assert action.target == url
    gate = Gate(Policy.ALLOW_LISTED, Grants.of_task(SITES, {8710}))
    assert gate.judge(action).verdict == Verdict.REFUSE


@pytest.mark.parametrize(
    "text", ["", "market", "shop2", "shop.example/x", "/page", "http://", "http://a b/", "two words", "x" * 3000, "ht\ntp://a/"]
)
def test_what_is_neither_site_nor_address_is_no_action(text):
    with pytest.raises(InvalidInput):
        to_action(WebChoice("visit", text=text), None, SITES)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (WebChoice("click", 99), r"no element \[99\]"),
        (WebChoice("click"), r"no element \[None\]"),
        (WebChoice("click", named(VIEW, "box", "Search").id), "cannot click"),
        (WebChoice("type", named(VIEW, "link", "Next").id, "x"), "cannot type"),
        (WebChoice("click", named(VIEW, "button", "Sold out").id), "disabled"),
        (WebChoice("select", named(VIEW, "select", "Colour").id, "Blue"), "no option"),
        (WebChoice("type", named(VIEW, "box", "Free").id, "x" * 30_000), "too many"),
        (WebChoice("save_table", text=""), "file name"),
        (WebChoice("download", named(VIEW, "link", "Next").id), "file name"),
        (WebChoice("download", named(VIEW, "button", "Find").id, "a.pdf"), "no link"),
        (WebChoice("download", 99, "a.pdf"), "no link"),
        (WebChoice("hover", named(VIEW, "link", "Next").id), "nothing a browser does"),
    ],
)
def test_a_choice_that_means_nothing_is_refused_with_a_reason(choice, message):
    with pytest.raises(InvalidInput, match=message):
        to_action(choice, VIEW, SITES)


def test_without_a_page_one_can_only_visit():
    for verb in ("click", "type", "select", "scroll", "back", "read", "save_table", "download"):
        with pytest.raises(InvalidInput, match="No page is open"):
            to_action(WebChoice(verb, 1, "x"), None, SITES)


def test_a_page_without_a_table_cannot_be_saved():
    with pytest.raises(InvalidInput, match="no table"):
        to_action(WebChoice("save_table", text="x.csv"), read_html("<p>x", URL), SITES)


@pytest.mark.parametrize(("text", "option"), [("Green", "Green"), ("green", "Green"), ("dark", "Dark red"), ("red", "Red")])
def test_an_option_is_found_exactly_or_if_only_one_can_be_meant(text, option):
    assert choose("select", "select", "Colour", text).arguments["text"] == option


def test_a_download_is_of_a_link_or_of_the_page_and_reads_back():
    link = named(VIEW, "link", "Next")
    action = to_action(WebChoice("download", link.id, " out/a.pdf "), VIEW, SITES)
    assert (action.kind, action.effect, action.target) == ("web.download", Effect.WRITE, link.href)
    assert (Deed.of(action).url, Deed.of(action).text) == (link.href, "out/a.pdf")
    assert to_action(WebChoice("download", text="a.pdf"), VIEW, SITES).target == URL


def test_leaving_a_page_that_never_loaded_is_no_matter_of_its_address():
    failed = VIEW.model_copy(update={"url": "http://10.0.0.1/", "status": 0})
    assert web_address(to_action(WebChoice("back"), failed, SITES)) == ""


def test_an_action_is_read_back_whole():
    action = choose("type", "box", "Quantity", "2", True)
    deed = Deed.of(action)
    assert deed == Deed(verb="type", page_url=URL, locator=Locator.of(VIEW, named(VIEW, "box", "Quantity")), text="2", enter=True)
    assert Deed.of(choose("visit", text="shop")).text == "http://127.0.0.1:8713/"
    assert Deed.of(choose("save_table", text="a.csv")).text == "a.csv"


def test_the_digest_binds_element_page_and_text():
    digests = {
        choose("type", "box", "Quantity", "2").digest,
        choose("type", "box", "Quantity", "3").digest,
        choose("type", "box", "Quantity", "2", True).digest,
        choose("type", "box", "Search", "2").digest,
        to_action(WebChoice("type", named(VIEW, "box", "Quantity").id, "2"), VIEW.model_copy(update={"url": URL + "?x"}), SITES).digest,
    }
    assert len(digests) == 5
    assert choose("type", "box", "Quantity", "2").digest in digests


def test_another_members_action_is_not_ours():
    with pytest.raises(InvalidInput):
        Deed.of(choose("read").model_copy(update={"agent": "files", "kind": "files.read"}))


def test_a_table_survives_csv():
    table = [*VIEW.table, ["line\nbreak", "ünï"]]
    assert list(csv.reader(io.StringIO(as_csv(table)))) == table
