"""The shop's pages and what they leave in its database."""

import re

import pytest
from fastapi.testclient import TestClient

from app.errors import Conflict, InvalidInput, NotFound
from infra.worlds.base import Order, OrderLine, Product
from infra.worlds.shop import cart, create_app, orders, seed_shop
from infra.worlds.shop.store import slug_of

PRODUCTS = (
    Product("Copper Kettle", "Kitchen", 770, 14),
    Product("Steel Kettle", "Kitchen", 1_250, 9),
    Product("Copper Pan", "Kitchen", 3_990, 3),
    Product("Garden Fork", "Garden", 1_650, 11),
)


@pytest.fixture
def path(tmp_path):
    seed_shop(tmp_path / "shop.sqlite", 1, PRODUCTS)
    return tmp_path / "shop.sqlite"


@pytest.fixture
def browser(path):
    return TestClient(create_app(path))


def test_search_finds_by_any_word_and_shows_no_price(browser):
    page = browser.get("/search", params={"q": "copper kettle"}).text
    found = set(re.findall(r'href="/product/([^"]+)"', page))
    assert found == {"copper-kettle", "steel-kettle", "copper-pan"}
    assert not re.search(r"\d+\.\d\d", page.split("<main>")[1])


def test_search_is_shuffled_the_same_way_every_time(tmp_path):
    many = [Product(f"Blue Thing{n}", "All", 100 + n, 5) for n in range(30)] + [Product("Blue Lamp", "All", 999, 5)]
    shop = seed_shop(tmp_path / "many.sqlite", 7, many)
    first = [p.name for p in shop.search("Blue Lamp")]
    assert first == [p.name for p in shop.search("blue lamp")]
    assert len(first) == 10 and "Blue Lamp" in first and first != [p.name for p in many[:10]]


def test_a_category_lists_prices_and_sorts(browser):
    page = browser.get("/category/kitchen?sort=price").text
    assert re.findall(r'class="price">([\d.]+)', page) == ["7.70", "12.50", "39.90"]
    names = re.findall(r'href="/product/([^"]+)"', browser.get("/category/kitchen?sort=name").text)
    assert names == ["copper-kettle", "copper-pan", "steel-kettle"]


def test_a_product_says_price_and_stock_in_plain_lines(browser):
    page = browser.get("/product/copper-kettle").text
    assert ">Price: 7.70<" in page and ">Stock: 14<" in page


def test_an_order_goes_from_cart_to_database_and_takes_from_stock(browser, path):
    browser.post("/cart/add", data={"product": "copper-kettle", "quantity": "3"})
    assert cart(path) == (OrderLine("Copper Kettle", 3, 770),)
    page = browser.post("/orders")
    assert "Order 1 placed" in page.text and "Total: 23.10" in page.text
    assert orders(path) == (Order((OrderLine("Copper Kettle", 3, 770),)),) and orders(path)[0].total == 2_310
    assert cart(path) == ()
    assert "Stock: 11" in browser.get("/product/copper-kettle").text
    assert "Order 1" in browser.get("/orders").text


def test_adding_twice_adds_up_and_remove_takes_it_all_out(browser, path):
    for _ in range(2):
        browser.post("/cart/add", data={"product": "garden-fork", "quantity": "2"})
    assert cart(path) == (OrderLine("Garden Fork", 4, 1_650),)
    assert "The cart is empty" in browser.post("/cart/remove", data={"product": "garden-fork"}).text
    assert cart(path) == ()


@pytest.mark.parametrize("quantity", ["", "0", "-1", "1.5", "two", "1000", "١"])
def test_a_bad_quantity_is_said_and_changes_nothing(browser, path, quantity):
    page = browser.post("/cart/add", data={"product": "copper-kettle", "quantity": quantity})
    assert page.status_code == 422 and "quantity" in page.text
    assert cart(path) == ()


def test_more_than_the_stock_cannot_be_bought(browser, path):
    page = browser.post("/cart/add", data={"product": "copper-pan", "quantity": "4"})
    assert page.status_code == 409 and "Only 3 of Copper Pan" in page.text
    assert cart(path) == ()


def test_an_empty_cart_cannot_be_ordered(browser, path):
    assert browser.post("/orders").status_code == 409
    assert orders(path) == ()


def test_visitors_do_not_see_each_other(browser, path):
    browser.post("/cart/add", data={"product": "copper-kettle", "quantity": "1"})
    browser.post("/orders")
    stranger = TestClient(create_app(path))
    assert "The cart is empty" in stranger.get("/cart").text
    assert stranger.get("/orders/1").status_code == 404 and "No orders yet" in stranger.get("/orders").text


def test_unknown_pages_answer_with_a_page(browser):
    for address in ("/product/nothing", "/category/nothing", "/orders/99"):
        page = browser.get(address)
        assert page.status_code == 404 and "Sorry" in page.text


def test_names_and_queries_are_escaped(tmp_path):
    path = tmp_path / "odd.sqlite"
    seed_shop(path, 1, [Product("<b>Bold</b> Lamp", "A & B", 100, 1)])
    browser = TestClient(create_app(path))
    page = browser.get("/search", params={"q": '"><script>lamp'}).text
    assert "<script>" not in page and "<b>Bold" not in browser.get("/search?q=lamp").text


def test_the_same_pages_fail_once_for_the_same_seed(tmp_path):
    def failures(seed):
        seed_shop(tmp_path / "f.sqlite", seed, PRODUCTS, fault_rate=0.5)
        browser = TestClient(create_app(tmp_path / "f.sqlite"))
        pages = ["/", "/category/kitchen", "/category/garden", *(f"/product/{slug_of(p.name)}" for p in PRODUCTS)]
        first = [browser.get(page).status_code for page in pages]
        assert all(browser.get(page).status_code == 200 for page in pages), "a second request never fails"
        return first

    assert failures("a") == failures("a") and {200, 503} == set(failures("a")) and failures("a") != failures("b")


def test_what_changes_the_shop_never_fails_by_itself(tmp_path):
    seed_shop(tmp_path / "f.sqlite", 1, PRODUCTS, fault_rate=1.0)
    browser = TestClient(create_app(tmp_path / "f.sqlite"))
    assert browser.get("/product/copper-kettle").status_code == 503
    assert browser.post("/cart/add", data={"product": "copper-kettle", "quantity": "1"}).status_code == 200
    assert "Order 1 placed" in browser.post("/orders").text


def test_two_products_of_one_name_are_refused(tmp_path):
    with pytest.raises(InvalidInput):
        seed_shop(tmp_path / "x.sqlite", 1, [Product("A B", "C", 1, 1), Product("a b", "C", 1, 1)])


def test_the_store_itself_refuses_what_the_pages_refuse(tmp_path):
    shop = seed_shop(tmp_path / "s.sqlite", 1, PRODUCTS)
    with pytest.raises(NotFound):
        shop.add("me", "nothing", 1)
    with pytest.raises(Conflict):
        shop.place("me")
    with pytest.raises(InvalidInput):
        shop.add("me", "copper-kettle", 0)
