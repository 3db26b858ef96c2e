"""The shop's pages: plain HTML forms and links, no script. Reading is GET, everything that changes a cart or places an order is POST."""

import functools
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import DictLoader, Environment, StrictUndefined

from app.errors import InvalidInput, KeepsakeError, NotFound
from infra.worlds.base import Product, money
from infra.worlds.shop.store import ShopWorld, slug_of

NAME = "Fernwood"
_COOKIE = "fernwood_session"
# Faults hit pages one reads only: a POST, or the page right after it, that failed would teach nothing but doubt about what happened.
_MAY_FAIL = ("/search", "/category/", "/product/")


@functools.cache
def _templates() -> Environment:
    folder = files("infra.worlds.shop") / "templates"
    sources = {item.name: item.read_text() for item in folder.iterdir() if item.name.endswith((".html", ".css"))}
    environment = Environment(loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"money": money, "slug": slug_of, "hue": _hue}
    return environment


def create_app(path: Path) -> FastAPI:
    """The site over the shop file at `path`, made by `seed_shop`."""
    shop = ShopWorld(path)
    app = FastAPI(title=NAME, openapi_url=None, docs_url=None, redoc_url=None)
    categories = shop.categories()

    def page(request: Request, template: str, title: str, status: int = 200, **values: object) -> HTMLResponse:
        query = request.query_params.get("q", "") if request.url.path == "/search" else ""
        html = _templates().get_template(template).render(shop=NAME, title=title, categories=categories, query=query, **values)
        return HTMLResponse(html, status)

    @app.middleware("http")
    async def session_and_faults(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.session = request.cookies.get(_COOKIE) or secrets.token_urlsafe(16)
        address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        may_fail = request.method == "GET" and (request.url.path == "/" or request.url.path.startswith(_MAY_FAIL))
        if may_fail and shop.fails(address):
            return HTMLResponse(_templates().get_template("unavailable.html").render(shop=NAME), 503, {"Retry-After": "1"})
        response = await call_next(request)
        if _COOKIE not in request.cookies:
            response.set_cookie(_COOKIE, request.state.session, httponly=True, samesite="lax")
        return response

    @app.exception_handler(KeepsakeError)
    async def problem(request: Request, error: KeepsakeError) -> HTMLResponse:
        return page(request, "message.html", "Sorry", error.status, message=error.message)

    @app.get("/")
    def home(request: Request) -> HTMLResponse:
        return page(request, "home.html", NAME, products=shop.featured())

    @app.get("/search")
    def search(request: Request, q: str = "") -> HTMLResponse:
        title = f"Results for {q.strip()}" if q.strip() else "Search"
        return page(request, "results.html", title, products=shop.search(q))

    @app.get("/category/{slug}")
    def category(request: Request, slug: str, sort: str = "") -> HTMLResponse:
        name = next((c for c in categories if slug_of(c) == slug), None)
        if name is None:
            raise NotFound(f"There is no category {slug}.")
        return page(request, "category.html", name, slug=slug, sort=sort, products=_sorted(shop.products(name), sort))

    @app.get("/product/{slug}")
    def product(request: Request, slug: str) -> HTMLResponse:
        item = shop.product(slug)
        return page(request, "product.html", item.name, product=item, related=shop.related(item))

    @app.get("/cart")
    def cart(request: Request) -> HTMLResponse:
        lines = shop.cart(request.state.session)
        return page(request, "cart.html", "Cart", lines=lines, total=sum(line.quantity * line.price for line in lines))

    @app.post("/cart/add")
    def add(request: Request, product: str = Form(""), quantity: str = Form("")) -> RedirectResponse:
        if not quantity.strip().isascii() or not quantity.strip().isdigit():
            raise InvalidInput("The quantity must be a whole number.")
        shop.add(request.state.session, product, int(quantity))
        return RedirectResponse("/cart", 303)

    @app.post("/cart/remove")
    def remove(request: Request, product: str = Form("")) -> RedirectResponse:
        shop.remove(request.state.session, product)
        return RedirectResponse("/cart", 303)

    @app.post("/orders")
    def place(request: Request) -> RedirectResponse:
        return RedirectResponse(f"/orders/{shop.place(request.state.session)}", 303)

    @app.get("/orders")
    def orders(request: Request) -> HTMLResponse:
        return page(request, "orders.html", "Orders", orders=shop.numbered_orders(request.state.session))

    @app.get("/orders/{number}")
    def order(request: Request, number: int) -> HTMLResponse:
        return page(request, "order.html", f"Order {number} placed", order=shop.order(number, request.state.session))

    @app.get("/about")
    def about(request: Request) -> HTMLResponse:
        return page(request, "about.html", "About")

    @app.get("/contact")
    def contact(request: Request) -> HTMLResponse:
        return page(request, "contact.html", "Contact")

    return app


def _sorted(products: list[Product], sort: str) -> list[Product]:
    if sort == "price":
        return sorted(products, key=lambda p: (p.price, p.name))
    if sort == "name":
        return sorted(products, key=lambda p: p.name)
    return products


def _hue(name: str) -> int:
    """A colour for a product's picture, 0 to 359."""
    return sum(ord(c) * (i + 7) for i, c in enumerate(name)) % 360
