"""What goes into a prompt: what matters, little enough, the same every time."""

import random

import pytest

from agents.web.screen.base import Element, PageView
from agents.web.screen.excerpt import TOKENS, element_line, estimate, excerpt, lines, stems
from agents.web.screen.static import read_html

URL = "http://shop.example/"


def page(markup: str) -> PageView:
    return read_html(markup, URL)


SHOP = page(
    "<title>Copper Kettle - Shop</title><nav>"
    + "".join(f"<a href=/c{i}>Category {i}</a>" for i in range(30))
    + "</nav><form action=/search><input name=q aria-label=Search><button>Search</button></form>"
    + "".join(f"<p>Some sentence number {i}.</p>" for i in range(40))
    + "<h1>Copper Kettle</h1><p>Price: 7.70</p><p>In stock</p><form method=post action=/cart><label>Quantity <input name=n value=1></label>"
    + "<select name=colour><option>Red<option>Green</select><button>Add to cart</button></form>"
)


def test_lines_show_title_text_and_elements_in_their_form():
    view = page(
        "<title>T</title><p>Some text</p><a href=/>Home</a><input aria-label=Search value=kettle><input aria-label=Empty>"
        "<select aria-label=Severity><option selected>Minor<option>Critical<option>Severe<option>Important</select>"
        "<label><input type=checkbox checked> Gift wrap</label><button disabled>Buy</button>"
    )
    assert lines(view) == [
        "Page: T",
        "Some text",
        "link Home [1]",
        "box Search [2] = kettle",
        "box Empty [3]",
        "select Severity [4] = Minor (Critical, Severe, Important)",
        "check Gift wrap [5] = on",
        "button Buy [6] (disabled)",
    ]


def test_a_problem_is_shown():
    view = PageView(url=URL, title="", status=0, problem="http://shop.example does not answer.")
    assert lines(view) == ["Page: http://shop.example/", "Problem: http://shop.example does not answer."]


def test_what_the_instruction_speaks_of_is_kept_far_down_the_page():
    shown = excerpt(SHOP, "find the price of the copper kettle in shop")
    assert "Copper Kettle" in shown.text
    assert "Price: 7.70" in shown.text
    assert shown.truncated


def test_order_and_ids_are_those_of_the_page():
    shown = excerpt(SHOP, "put 2 copper kettles into the cart, colour green")
    ids = [e.id for e in shown.elements]
    assert ids == sorted(ids)
    assert all(SHOP.element(e.id).name == e.name for e in shown.elements)
    places = [SHOP.text.index(line) for line in shown.text]
    assert places == sorted(places)


def test_boxes_selects_and_buttons_come_before_far_links():
    shown = excerpt(SHOP, "anything at all", max_elements=6)
    assert {"Search", "Quantity", "colour", "Add to cart"} <= {e.name for e in shown.elements}


def test_a_link_that_is_named_comes_before_everything():
    assert "Category 17" in {e.name for e in excerpt(SHOP, "open category 17", max_elements=2).elements}


def test_plural_and_verb_endings_do_not_matter():
    assert stems("Kettles boxes categories placed adding") == stems("kettle box category plac add")


def test_a_row_brings_its_header():
    rows = "".join(f"<tr><td>{i}</td><td>Ticket about thing {i}</td><td>Open</td></tr>" for i in range(60))
    shown = excerpt(page(f"<table><tr><th>#</th><th>Title</th><th>Status</th></tr>{rows}</table>"), "status of ticket about thing 47")
    assert shown.text[0] == "# | Title | Status"
    assert "47 | Ticket about thing 47 | Open" in shown.text


def test_a_text_that_repeats_a_link_is_left_to_the_link():
    view = page("".join(f"<li><a href=/p{i}>Product {i}</a></li>" for i in range(20)) + "<p>Found 20 products in all of them.</p>")
    assert excerpt(view, "product", max_text=1).text == ["Found 20 products in all of them."]


def test_a_card_keeps_its_name_above_its_price():
    view = page("".join(f"<div><a href=/p{i}>Product {i}</a></div><div>{i}.50</div>" for i in range(8)))
    assert excerpt(view, "price of product 3", max_text=2).text == ["Product 3", "3.50"]


def test_long_lines_are_cut_around_what_is_wanted():
    view = page(f"<p>{'filler words ' * 30}the secret kettle is here {'more words ' * 30}</p>")
    (line,) = excerpt(view, "secret kettle").text
    assert len(line) <= 120
    assert "secret kettle" in line


def test_long_option_lists_are_cut_around_the_relevant_ones():
    options = "".join(f"<option{' selected' if i == 90 else ''}>Option {i}</option>" for i in range(100))
    (select,) = excerpt(page(f"<select>{options}</select>"), "choose option 41").elements
    assert len(select.options) == 8
    assert {"Option 41", "Option 90"} <= set(select.options)


def test_the_page_itself_stays_as_it_is():
    before = SHOP.model_dump_json()
    excerpt(SHOP, "copper kettle")
    assert SHOP.model_dump_json() == before


def test_the_same_question_gives_the_same_excerpt():
    assert excerpt(SHOP, "kettle").model_dump_json() == excerpt(SHOP.model_copy(deep=True), "kettle").model_dump_json()


@pytest.mark.parametrize("seed", range(5))
def test_any_page_stays_within_the_token_budget(seed):
    draw = random.Random(seed)
    text = [
        " ".join(draw.choices(["kettle", "12.50", "Severity", "a", "|", "unpronounceablelongword"], k=draw.randint(1, 60)))
        for _ in range(50)
    ]
    elements = [
        Element(
            id=i + 1,
            kind=draw.choice(["link", "box", "select"]),
            name=draw.choice(text)[:80],
            value=draw.choice(text),
            options=draw.sample(text, 9),
        )
        for i in range(50)
    ]
    shown = excerpt(PageView(url=URL, title=text[0], text=text, elements=elements), "severity of the kettle")
    assert sum(estimate(line) for line in lines(shown)) <= TOKENS
    assert len(shown.text) <= 14
    assert len(shown.elements) <= 24
    assert all(len(line) <= 120 for line in shown.text)


def test_an_empty_page_has_an_empty_excerpt():
    shown = excerpt(page(""), "")
    assert (shown.text, shown.elements, shown.truncated) == ([], [], False)


def test_a_long_value_is_cut():
    assert element_line(Element(id=1, kind="box", name="n", value="v" * 100)).endswith("…")
