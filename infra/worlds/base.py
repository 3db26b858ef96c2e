"""What a world's task is: text, files, sites, and a check that decides success from databases and files, never from an answer's words."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

from app.errors import InvalidInput

FamilyName = Literal["lookup", "ticket", "order", "summary"]
Split = Literal["train", "dev", "eval"]
SiteName = Literal["shop", "tracker"]

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
SPLITS: dict[Split, range] = {"train": range(0, 9_000), "dev": range(9_000, 10_000), "eval": range(10_000, 20_000)}


@dataclass(frozen=True)
class Product:
    """One article of the shop. `price` is in cents."""

    name: str
    category: str
    price: int
    stock: int


@dataclass(frozen=True)
class OrderLine:
    """A row of an order or a cart. `price` is the unit price in cents."""

    product: str
    quantity: int
    price: int


@dataclass(frozen=True)
class Order:
    lines: tuple[OrderLine, ...]

    @property
    def total(self) -> int:
        """Cents."""
        return sum(line.quantity * line.price for line in self.lines)


@dataclass(frozen=True)
class Ticket:
    title: str
    type: str = ""
    severity: str = ""
    status: str = "Open"


@dataclass(frozen=True)
class WorldState:
    """What databases and workspace hold at one moment: all that a check may look at."""

    orders: tuple[Order, ...] = ()
    cart: tuple[OrderLine, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    wiki_edits: int = 0
    files: dict[str, str] = field(default_factory=dict)


class Check(NamedTuple):
    """The state check's word. `reason` says what is missing or too much; empty when solved."""

    solved: bool
    reason: str = ""


@dataclass(frozen=True)
class Facts:
    """The four lines of a task ledger, as the oracle writes them."""

    given: tuple[str, ...]
    look_up: tuple[str, ...] = ()
    derive: tuple[str, ...] = ()
    guess: tuple[str, ...] = ()


class Goal(Protocol):
    """What a family knows of one task: how to begin, what a note says, and what the world must look like in the end."""

    def facts(self) -> Facts: ...

    def plan(self) -> Sequence[str]:
        """Plan lines `<agent>: <instruction>`, first to last."""
        ...

    def note(self) -> str:
        """What the task's note says, as `name value; name value`; empty where there is no note to read."""
        ...

    def check(self, task: "WorldTask", state: WorldState) -> Check: ...


@dataclass(frozen=True)
class WorldTask:
    """One task made from a seed. `files` are the workspace's at the start; `fault_rate` is the share of shop pages that fail once."""

    family: FamilyName
    variant: str
    seed: int
    split: Split
    text: str
    sites: tuple[SiteName, ...]
    goal: Goal
    files: dict[str, str] = field(default_factory=dict)
    products: tuple[Product, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    fault_rate: float = 0.0

    def check(self, state: WorldState) -> Check:
        """Decide success. A change that nobody asked for fails the task as a missing one does."""
        return self.goal.check(self, state)

    def start(self) -> WorldState:
        """The state before anything was done."""
        return WorldState(tickets=self.tickets, files=dict(self.files))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything but the seed and the faults: equal instances have equal fingerprints."""
        body = [self.family, self.text, self.files, [asdict(p) for p in self.products], [asdict(t) for t in self.tickets]]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def split_of(seed: int) -> Split:
    """The split that owns `seed`. Raises InvalidInput outside 0 to 19,999."""
    for split, seeds in SPLITS.items():
        if seed in seeds:
            return split
    raise InvalidInput(f"Seed {seed} belongs to no split.", hint="Train 0 to 8,999, dev 9,000 to 9,999, eval 10,000 to 19,999.")


def money(cents: int) -> str:
    """`1234` as `12.34`."""
    return f"{cents // 100}.{cents % 100:02d}"


def untouched(
    task: WorldTask,
    state: WorldState,
    *,
    outputs: Sequence[str] = (),
    orders: tuple[Order, ...] = (),
    tickets: tuple[Ticket, ...] = (),
) -> Check:
    """Everything that the task did not ask for is as it was: files besides `outputs`, orders besides `orders`, tickets besides `tickets`."""
    for name, content in task.files.items():
        if state.files.get(name) != content:
            return Check(False, f"the file {name} was {'changed' if name in state.files else 'removed'}")
    extra = sorted(set(state.files) - set(task.files) - set(outputs))
    if extra:
        return Check(False, f"nobody asked for the file {extra[0]}")
    if state.orders != orders:
        return Check(False, f"the shop holds {len(state.orders)} orders: {_orders(state.orders)}; wanted: {_orders(orders)}")
    if state.cart:
        return Check(False, f"{state.cart[0].quantity} {state.cart[0].product} were left in the cart")
    if _sorted(state.tickets) != _sorted(task.tickets + tickets):
        wrong = [t for t in state.tickets if t not in task.tickets + tickets] or list(state.tickets)
        return Check(False, f"the tracker's tickets are not as they should be, see {wrong[-1] if wrong else 'its empty list'}")
    if state.wiki_edits:
        return Check(False, "the wiki was edited")
    return Check(True)


def _orders(orders: tuple[Order, ...]) -> str:
    return ", ".join(f"{line.quantity} {line.product} at {money(line.price)}" for o in orders for line in o.lines) or "none"


def _sorted(tickets: tuple[Ticket, ...]) -> list[tuple[str, ...]]:
    return sorted((t.title, t.type, t.severity, t.status) for t in tickets)
