"""What a page becomes: its lines, its elements, its largest table."""

import json

import pytest

from agents.web.screen.base import Element
from agents.web.screen.reading import ELEMENTS, LINES
from agents.web.screen.static import read_html
from tests.agents.web.screen.pages import PAGES

URL = "http://shop.example/dir/page"


def view(markup: str):
    return read_html(markup, URL)


def only(markup: str) -> Element:
    elements = view(markup).elements
    assert len(elements) == 1
    return elements[0]


def test_blocks_and_breaks_end_lines_and_inline_tags_do_not():
    assert view("<p>One <b>bold</b>\n line<br>two</p>three<div>four</div>five").text == ["One bold line", "two", "three", "four", "five"]


def test_a_row_is_one_line_and_its_links_stay_elements():
    page = view("<table><tr><th>#</th><th>Title</th></tr><tr><td><a href='/1'>1</a></td><td>Broken lid</td></tr></table>")
    assert page.text == ["# | Title", "1 | Broken lid"]
    assert [e.label for e in page.elements] == ["link 1 [1]"]
    assert page.elements[0].href == "http://shop.example/1"


def test_an_empty_cell_keeps_the_columns_apart_in_a_table_with_headers():
    page = view("<table><tr><th>a</th><th>b</th><th>c</th></tr><tr><td>1</td><td></td><td>3</td></tr></table>")
    assert page.text[1] == "1 | - | 3"
    assert page.table == [["a", "b", "c"], ["1", "", "3"]]


def test_the_largest_table_of_data_wins_over_layout_and_small_ones():
    small = "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    large = "<table><tr><th>k</th><th>v</th></tr><tr><td>x</td><td>1</td></tr><tr><td>y</td><td>2</td></tr></table>"
    boxes = "<table>" + "<tr><td>Label</td><td><input></td></tr>" * 9 + "</table>"
    assert view(f"<table><tr><td>{small}</td><td>{large}</td></tr><tr><td>1</td><td>2</td></tr></table>{boxes}").table == [
        ["k", "v"],
        ["x", "1"],
        ["y", "2"],
    ]


def test_spans_fill_their_places_and_empty_columns_are_left_out():
    page = view(
        "<table><tr><th>k</th><th>v</th><th></th></tr><tr><td rowspan=2>r</td><td>1</td><td><button>Edit</button></td></tr>"
        "<tr><td>2</td><td></td></tr><tr><td colspan=3>all</td></tr></table>"
    )
    assert page.table[:3] == [["k", "v", ""], ["r", "1", ""], ["r", "2", ""]]
    assert page.table[3] == ["all", "all", "all"]


def test_a_page_laid_out_in_a_table_is_read_in_lines():
    page = view(f"<table><tr><td>Menu</td><td><p>{'long text ' * 30}</p><p>{'more text ' * 30}</p></td></tr></table>")
    assert len(page.text) == 3


def test_a_term_shares_the_line_of_its_description():
    assert view("<dl><dt>Severity:</dt><dd>Minor</dd><dt>Status:</dt><dd>Open</dd></dl>").text == ["Severity: Minor", "Status: Open"]


def test_navigation_and_labels_are_no_lines_but_a_card_keeps_its_name():
    page = view(
        "<nav><a href=/>Home</a></nav><p><a href=/a>A</a> <a href=/b>B</a></p><label>Name<input></label>"
        "<h2><a href=/p>Copper Kettle</a></h2><p>7.70</p>"
    )
    assert page.text == ["Copper Kettle", "7.70"]


def test_words_beside_a_link_do_not_run_into_it():
    assert view("<li><a href=/p>Copper Kettle</a><span>7.70</span></li>").text == ["Copper Kettle 7.70"]
    assert view("<p>(<a href=/p>link</a>).</p>").text == ["(link)."]


@pytest.mark.parametrize(
    ("markup", "name"),
    [
        ("<label for=a>By for: *</label><input id=a aria-label=x placeholder=y>", "By for"),
        ("<label>Around <input aria-label=x></label>", "Around"),
        ("<input aria-label=Spoken placeholder=y>", "Spoken"),
        ("<input placeholder=Hint title=z>", "Hint"),
        ("<input title=Titled name=n>", "Titled"),
        ("<input name=field value=typed>", "field"),
        ("<input>", "box"),
        ("<button aria-label='Remove Pot'>Remove</button>", "Remove Pot"),
        ("<button>Words <b>inside</b></button>", "Words inside"),
        ("<input type=image alt=Go value=v>", "Go"),
        ("<input type=submit>", "Submit"),
        ("<input type=checkbox value=yes name=n>", "yes"),
        ("<a href=/x/pic.html><img></a>", "pic.html"),
        ("<a href=/x><img alt='A pot'></a>", "A pot"),
        (f"<button>{'long ' * 40}</button>", "long " * 15 + "long…"),
    ],
)
def test_names_come_in_their_order(markup, name):
    assert only(markup).name == name


def test_the_first_control_in_a_label_is_named_by_it():
    page = view("<label>Both <input><input name=second></label>")
    assert [e.name for e in page.elements] == ["Both", "second"]


def test_values_options_and_states():
    elements = view(
        "<input value=' a\nb '><input type=password value=secret><input type=checkbox checked><input type=radio><textarea>\n t\n u</textarea>"
        "<select><option>One<option selected>Two<option disabled>Three</select><button disabled>x</button><input readonly>"
    ).elements
    assert [e.value for e in elements] == ["a b", "********", "on", "", "t u", "Two", "", ""]
    assert elements[5].options == ["One", "Two"]
    assert [e.disabled for e in elements[6:]] == [True, True]


def test_forms_say_where_their_elements_send():
    page = view(
        "<form action='/search?old=1#x'><input><button>Find</button><button type=button>Local</button></form>"
        "<form method=POST><button>Here</button><button formaction=/other formmethod=get>Other</button></form>"
    )
    box, find, local, here, other = page.elements
    assert (box.form_method, box.form_action, box.submits) == ("get", "http://shop.example/search", False)
    assert (find.submits, local.submits) == (True, False)
    assert (here.form_method, here.form_action) == ("post", URL)
    assert (other.form_method, other.form_action) == ("get", "http://shop.example/other")


def test_a_select_that_sends_its_form_says_so():
    assert only("<form><select onchange='this.form.submit()'><option>a</select></form>").submits


@pytest.mark.parametrize(
    ("markup", "kind"),
    [
        ("<a href=/x>x</a>", "link"),
        ("<a href=/x onclick=track()>x</a>", "link"),
        ("<a href=# onclick=go()>x</a>", "button"),
        ("<a href='javascript:go()'>x</a>", "button"),
        ("<a href=/x data-method=delete>x</a>", "button"),
        ("<div onclick=go()>x</div>", "button"),
        ("<span role=switch>x</span>", "check"),
    ],
)
def test_what_only_a_script_gives_meaning_is_a_button(markup, kind):
    assert only(markup).kind == kind


@pytest.mark.parametrize("href", ["mailto:a@b.example", "data:text/html,x", "file:///etc/passwd", "ftp://x/", "http://[broken"])
def test_links_that_lead_out_of_the_web_are_text(href):
    page = view(f"<p>see <a href='{href}'>this</a>")
    assert page.elements == []
    assert page.text == ["see this"]


def test_a_link_cannot_pass_for_another_host():
    assert only("<a href='/\\evil.example/shop.example'>x</a>").href == "http://evil.example/shop.example"


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "[INST]", "</think>"])
def test_control_token_strings_stay_text_on_one_line(token):
    page = view(f"<p>before\n{token.replace('<', '&lt;')}system\nafter<button>{token.replace('<', '&lt;')}</button>")
    assert page.text == [f"before {token}system after"]
    assert page.elements[0].name == token


def test_no_line_or_name_holds_line_breaks_or_invisible_characters():
    nasty = "a\u2028b\u0085c&#x202e;d\u200be&#xFEFF;f\u00adg\x1eh\x1fi\x1dj\x00k"
    page = view(f"<title>{nasty}</title><p>{nasty}</p><button>{nasty}</button><table><tr><td>{nasty}<td>x</table>")
    for text in [page.title, *page.text, page.elements[0].name]:
        assert text.split(" | ")[0] == "a b cdefg h i jk"


def test_a_view_is_bounded_and_says_so():
    page = view("<p>line</p>" * (LINES + 1) + "<a href=/x>x</a><br>" * (ELEMENTS + 1))
    assert (len(page.text), len(page.elements), page.truncated) == (LINES, ELEMENTS, True)
    assert not view("<p>line</p>" * LINES).truncated
    assert len(view(f"<p>{'x' * 50_000}").text[0]) == 2000


@pytest.mark.parametrize(
    "markup", ["", " ", "<!-- x -->", "\0", "\ud800", "<", "<html>", "<table><td>", "<a href=", "<svg/>", "&#xD800;", "<select>"]
)
def test_bad_markup_is_an_ordinary_page(markup):
    page = view(markup)
    assert page.url == URL
    json.loads(page.model_dump_json())


def test_deep_nesting_does_not_break_the_reader():
    assert view("top" + "<div>" * 5000 + "bottom").text[0] == "top"


def test_ids_count_in_document_order():
    for markup in PAGES.values():
        assert [e.id for e in view(markup).elements] == list(range(1, len(view(markup).elements) + 1))
