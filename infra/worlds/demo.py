"""The standing example sites: a shop with a pleasant catalogue, a tracker with some tickets, and tasks on them that work at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from agents.web.storage import save_profile
from app.config import Settings
from app.schemas import Policy, Site
from infra.worlds import tracker
from infra.worlds.base import Product, Ticket
from infra.worlds.shop.server import ShopServer
from infra.worlds.shop.store import seed_shop
from infra.worlds.tracker import TrackerServer

PROFILE = "tracker"

CATALOGUE = (
    Product("Copper Kettle", "Kitchen", 3_450, 24),
    Product("Enamel Kettle", "Kitchen", 2_290, 31),
    Product("Copper Saucepan", "Kitchen", 5_900, 12),
    Product("Oak Cutting Board", "Kitchen", 1_895, 40),
    Product("Linen Apron", "Kitchen", 2_200, 18),
    Product("Walnut Salad Bowl", "Kitchen", 4_125, 9),
    Product("Steel Watering Can", "Garden", 2_875, 15),
    Product("Cedar Seed Tray", "Garden", 495, 120),
    Product("Garden Fork", "Garden", 1_650, 22),
    Product("Wool Garden Gloves", "Garden", 1_190, 60),
    Product("Terracotta Flower Pot", "Garden", 780, 75),
    Product("Brass Desk Lamp", "Study", 6_490, 8),
    Product("Walnut Pen Tray", "Study", 1_450, 33),
    Product("Linen Notebook", "Study", 990, 150),
    Product("Cork Pin Board", "Study", 1_725, 26),
    Product("Canvas Backpack", "Travel", 7_900, 14),
    Product("Steel Lunch Box", "Travel", 1_835, 48),
    Product("Wool Travel Blanket", "Travel", 4_650, 17),
    Product("Bicycle Bell", "Travel", 640, 90),
    Product("Leather Luggage Tag", "Travel", 1_275, 52),
)
TICKETS = (
    Ticket("Checkout forgets the delivery address", "Bug", "Severe", "Open"),
    Ticket("Explain the return policy in the help pages", "Documentation", "Minor", "Open"),
    Ticket("Add a wish list", "Feature", "Cosmetic", "Deferred"),
    Ticket("Search ignores umlauts", "Bug", "Important", "Verified"),
    Ticket("Order mail arrives twice", "Bug", "Minor", "Fixed"),
    Ticket("Payment page down on Sunday morning", "Incident", "Critical", "Closed"),
    Ticket("How can I change the invoice address", "Question", "Minor", "Open"),
    Ticket("Show stock on the category page", "Feature", "Important", "Review"),
)
_INVOICES = """number,client,amount,status
4101,Harbour Studio,1240.00,paid
4102,Millstone Works,389.90,overdue
4103,Harbour Studio,75.50,overdue
4104,Lantern Group,2210.00,sent
4105,Millstone Works,640.25,paid
4106,Lantern Group,118.00,overdue
"""
_NOTE = """Subject: Cart loses items after login

Seen by the support team on two phones.
Type: Bug
Severity: important
"""
_ORDER = """For the reading room

Item: Brass Desk Lamp
Count: 3
Limit: 200
"""


def examples(settings: Settings) -> list[dict[str, Any]]:
    """Tasks for the example sites: {title, text, files: {name: content}, sites, policy}."""
    shop = Site(name="shop", url=f"http://127.0.0.1:{settings.shop_port}").model_dump()
    board = Site(name="tracker", url=f"http://127.0.0.1:{settings.tracker_port}", profile=PROFILE).model_dump()
    tasks: list[tuple[str, str, dict[str, str], list[dict[str, Any]]]] = [
        ("Price an order", "Find the price of Copper Kettle in the shop, multiply it by 7 and write the total to kettles.txt.", {}, [shop]),
        ("Add two prices", "What do Linen Apron and Oak Cutting Board cost together in the shop? Write the sum to gift.txt.", {}, [shop]),
        (
            "Sum overdue invoices",
            "Add up amount over the overdue invoices in invoices.csv and write the total to overdue.txt.",
            {"invoices.csv": _INVOICES},
            [],
        ),
        ("File a ticket from a note", "Read note.txt and file a ticket for it in the tracker.", {"note.txt": _NOTE}, [board]),
        ("Order within a budget", "Order 4 Linen Notebook from the shop, but only if the total is at most 50.", {}, [shop]),
        (
            "Order from a note",
            "Read order.txt and order what it asks for in the shop, if it is within the limit.",
            {"order.txt": _ORDER},
            [shop],
        ),
        (
            "Ticket summary",
            "Make a CSV file backlog.csv of the tracker tickets with status Open, with the columns title and severity.",
            {},
            [board],
        ),
    ]
    return [
        {"title": title, "text": text, "files": files, "sites": sites, "policy": Policy.ASK_WRITES.value}
        for title, text, files, sites in tasks
    ]


class ExampleSites:
    """The two sites on their settings' ports. Shop orders and filed tickets are kept between starts; `fresh` begins anew."""

    def __init__(self, settings: Settings, host: str = "127.0.0.1", *, fresh: bool = False) -> None:
        self.settings = settings
        folder = settings.data_dir / "worlds"
        self._shop_file, self._tracker_file = folder / "shop.sqlite", folder / "tracker.fossil"
        self._fresh = fresh
        self._servers: list[ShopServer | TrackerServer] = [
            ShopServer(self._shop_file, settings.shop_port, host),
            TrackerServer(self._tracker_file, settings.tracker_port, public=host != "127.0.0.1"),
        ]

    def start(self) -> None:
        """Return when both answer. Raises SetupError without Fossil, ToolError when a port is taken."""
        self._shop_file.parent.mkdir(parents=True, exist_ok=True)
        if self._fresh or not self._shop_file.exists():
            seed_shop(self._shop_file, "examples", CATALOGUE)
        if self._fresh or not self._tracker_file.exists():
            tracker.create_tracker(self._tracker_file, TICKETS)
        save_profile(self.settings, PROFILE, tracker.profile())
        try:
            for server in self._servers:
                server.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    @property
    def urls(self) -> dict[str, str]:
        return dict(zip(("shop", "tracker"), (server.url for server in self._servers), strict=True))


def serve_examples(settings: Settings, host: str = "127.0.0.1", *, fresh: bool = False, then: Callable[[], None] | None = None) -> None:
    """Start both sites, write the tracker's profile, call `then`, and serve until SIGTERM or SIGINT. Same errors as ExampleSites.start."""
    done = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        done.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    sites = ExampleSites(settings, host, fresh=fresh)
    sites.start()
    try:
        if then is not None:
            then()
        done.wait()
    finally:
        sites.stop()
