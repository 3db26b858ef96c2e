"""What the shop knows: catalogue, carts and orders in one SQLite file. Prices are in cents."""

import hashlib
import random
import re
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import Conflict, InvalidInput, NotFound
from infra.worlds.base import Order, OrderLine, Product

MAX_RESULTS = 10
MAX_QUANTITY = 999
_SCHEMA = """
CREATE TABLE meta(seed TEXT NOT NULL, fault_rate REAL NOT NULL);
CREATE TABLE product(slug TEXT PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price INTEGER NOT NULL, stock INTEGER NOT NULL);
CREATE TABLE cart(session TEXT NOT NULL, slug TEXT NOT NULL REFERENCES product, quantity INTEGER NOT NULL, PRIMARY KEY(session, slug));
CREATE TABLE orders(id INTEGER PRIMARY KEY, session TEXT NOT NULL);
CREATE TABLE line(order_id INTEGER NOT NULL REFERENCES orders, slug TEXT NOT NULL, quantity INTEGER NOT NULL, price INTEGER NOT NULL);
CREATE TABLE failed(page TEXT PRIMARY KEY);
"""
_LINES = "SELECT p.name, x.quantity, {price} FROM {table} x JOIN product p USING(slug)"


def slug_of(name: str) -> str:
    """`Copper Kettle` as `copper-kettle`: a product's or a category's part of an address."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def seed_shop(path: Path, seed: int | str, catalogue: Sequence[Product], fault_rate: float = 0.0) -> "ShopWorld":
    """Make the shop's file anew. `fault_rate` is the share of pages whose first request fails with 503.

    Raises InvalidInput when two products share an address.
    """
    for ending in ("", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with sqlite3.connect(path) as db:
        db.executescript(f"PRAGMA synchronous=OFF; BEGIN; {_SCHEMA} COMMIT;")
        db.execute("INSERT INTO meta VALUES(?, ?)", (str(seed), fault_rate))
        rows = [(slug_of(p.name), p.name, p.category, p.price, p.stock) for p in catalogue]
        try:
            db.executemany("INSERT INTO product VALUES(?, ?, ?, ?, ?)", rows)
        except sqlite3.IntegrityError as error:
            raise InvalidInput("Two products of the catalogue share a name.", hint="Give every product a name of its own.") from error
    db.close()
    return ShopWorld(path)


def orders(path: Path) -> tuple[Order, ...]:
    """All orders of the shop, oldest first."""
    return ShopWorld(path).orders()


def cart(path: Path) -> tuple[OrderLine, ...]:
    """What lies in any visitor's cart."""
    return ShopWorld(path).cart()


class ShopWorld:
    """One shop. Every call opens its own short connection, so that server threads and checks can share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as db:
            self.seed, self.fault_rate = db.execute("SELECT seed, fault_rate FROM meta").fetchone()

    # Catalogue

    def categories(self) -> list[str]:
        with self._open() as db:
            return [name for (name,) in db.execute("SELECT category FROM product GROUP BY category ORDER BY min(rowid)")]

    def products(self, category: str | None = None) -> list[Product]:
        """Products in catalogue order, of one category or all."""
        with self._open() as db:
            where, values = ("WHERE category = ?", (category,)) if category else ("", ())
            return [Product(*row) for row in db.execute(f"SELECT name, category, price, stock FROM product {where} ORDER BY rowid", values)]

    def product(self, slug: str) -> Product:
        """Raises NotFound."""
        with self._open() as db:
            row = db.execute("SELECT name, category, price, stock FROM product WHERE slug = ?", (slug,)).fetchone()
        if row is None:
            raise NotFound(f"There is no product {slug}.")
        return Product(*row)

    def featured(self, count: int = 4) -> list[Product]:
        """The home page's products: the same for the same seed."""
        products = self.products()
        return random.Random(f"{self.seed} home").sample(products, min(count, len(products)))

    def related(self, product: Product, count: int = 3) -> list[Product]:
        others = [p for p in self.products(product.category) if p.name != product.name]
        return random.Random(f"{self.seed} {product.name}").sample(others, min(count, len(others)))

    def search(self, query: str) -> list[Product]:
        """At most ten products that share a word with the query, shuffled; one with all the words is always among them."""
        words = set(query.lower().split())
        shared = [(len(words & set(p.name.lower().split())), p) for p in self.products()]
        found = sorted((x for x in shared if x[0]), key=lambda x: -x[0])[:MAX_RESULTS]
        results = [product for _, product in found]
        random.Random(f"{self.seed} {query.lower()}").shuffle(results)
        return results

    # Carts and orders

    def cart(self, session: str | None = None) -> tuple[OrderLine, ...]:
        """Rows of one visitor's cart, or of all."""
        with self._open() as db:
            where, values = (" WHERE session = ?", (session,)) if session is not None else ("", ())
            return _lines(db, f"{_LINES.format(price='p.price', table='cart')}{where} ORDER BY x.rowid", values)

    def add(self, session: str, slug: str, quantity: int) -> None:
        """Put into the cart, on top of what is there. Raises NotFound, InvalidInput for a bad quantity, Conflict when stock is short."""
        product = self.product(slug)
        if not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidInput(f"The quantity must be a number from 1 to {MAX_QUANTITY}.")
        with self._open() as db:
            row = db.execute("SELECT quantity FROM cart WHERE session = ? AND slug = ?", (session, slug)).fetchone()
            wanted = quantity + (row[0] if row else 0)
            if wanted > product.stock:
                raise Conflict(f"Only {product.stock} of {product.name} are in stock.")
            db.execute("REPLACE INTO cart VALUES(?, ?, ?)", (session, slug, wanted))

    def remove(self, session: str, slug: str) -> None:
        with self._open() as db:
            db.execute("DELETE FROM cart WHERE session = ? AND slug = ?", (session, slug))

    def place(self, session: str) -> int:
        """Turn the cart into an order and return its number, in one transaction. Raises Conflict for an empty cart or missing stock."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            rows = db.execute(
                "SELECT slug, quantity, price, stock, name FROM cart JOIN product USING(slug) WHERE session = ?", (session,)
            ).fetchall()
            if not rows:
                raise Conflict("The cart is empty.")
            short = next((name for _, quantity, _, stock, name in rows if quantity > stock), None)
            if short:
                raise Conflict(f"There is not enough of {short} in stock.")
            number = db.execute("INSERT INTO orders(session) VALUES(?)", (session,)).lastrowid
            assert number is not None
            db.executemany("INSERT INTO line VALUES(?, ?, ?, ?)", [(number, slug, quantity, price) for slug, quantity, price, _, _ in rows])
            db.executemany("UPDATE product SET stock = stock - ? WHERE slug = ?", [(quantity, slug) for slug, quantity, *_ in rows])
            db.execute("DELETE FROM cart WHERE session = ?", (session,))
        return number

    def order(self, number: int, session: str) -> Order:
        """A visitor's own order. Raises NotFound."""
        with self._open() as db:
            found = db.execute("SELECT 1 FROM orders WHERE id = ? AND session = ?", (number, session)).fetchone()
            if not found:
                raise NotFound(f"There is no order {number}.")
            return self._order(db, number)

    def orders(self, session: str | None = None) -> tuple[Order, ...]:
        """Orders of one visitor, or of all, oldest first."""
        return tuple(order for _, order in self.numbered_orders(session))

    def numbered_orders(self, session: str | None = None) -> list[tuple[int, Order]]:
        with self._open() as db:
            where, values = ("WHERE session = ?", (session,)) if session is not None else ("", ())
            numbers = [n for (n,) in db.execute(f"SELECT id FROM orders {where} ORDER BY id", values)]
            return [(n, self._order(db, n)) for n in numbers]

    # Faults

    def fails(self, page: str) -> bool:
        """Whether this request of `page` fails. The choice follows from seed and page; only the first request of a chosen page fails."""
        if not self.fault_rate:
            return False
        draw = int.from_bytes(hashlib.sha256(f"{self.seed} {page}".encode()).digest()[:8], "big") / 2**64
        if draw >= self.fault_rate:
            return False
        with self._open() as db:
            return db.execute("INSERT OR IGNORE INTO failed VALUES(?)", (page,)).rowcount == 1

    def _order(self, db: sqlite3.Connection, number: int) -> Order:
        return Order(_lines(db, f"{_LINES.format(price='x.price', table='line')} WHERE x.order_id = ? ORDER BY x.rowid", (number,)))

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=10)
        db.execute("PRAGMA synchronous=OFF")  # a world is made anew for every task; power cuts do not matter
        try:
            with db:
                yield db
        finally:
            db.close()


def _lines(db: sqlite3.Connection, query: str, values: tuple[object, ...]) -> tuple[OrderLine, ...]:
    return tuple(OrderLine(*row) for row in db.execute(query, values))
