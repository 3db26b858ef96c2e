"""The demo: one task across browser, sandbox and files on the running example shop, watched through the API, judged by the world's state."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from app import terminal
from app.client import KeepsakeClient
from app.config import Settings
from app.events import EventType, RunView, reduce_event
from app.schemas import Budgets, Policy, Site, TaskCreate
from infra.worlds.base import Check, WorldState, WorldTask
from infra.worlds.demo import CATALOGUE
from infra.worlds.families.lookup import PriceGoal
from infra.worlds.shop.store import ShopWorld

ITEM, COUNT, OUTPUT = "Copper Kettle", 7, "kettles.txt"
TEXT = f"Find the price of {ITEM} in the shop, multiply it by {COUNT} and write the total to {OUTPUT}."


@dataclass(frozen=True)
class Demo:
    """What came of it. `solved` is the state check's word alone; `reason` says what it missed."""

    solved: bool
    reason: str
    status: str
    answer: str | None
    run: str
    turns: int
    blocks: int
    tokens: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 1)}


def world_task() -> WorldTask:
    """The task with its check, as the worlds' families make theirs."""
    price = next(product.price for product in CATALOGUE if product.name == ITEM)
    goal = PriceGoal(OUTPUT, COUNT * price, ITEM, COUNT)
    return WorldTask("lookup", "price", 0, "train", TEXT, ("shop",), goal, products=CATALOGUE)


def play(settings: Settings, client: KeepsakeClient, say: Callable[[str], None]) -> Demo:
    """Give the task, print its trail as it grows, check the world. The stack runs. Raises what the client raises."""
    task = world_task()
    shop = ShopWorld(settings.data_dir / "worlds" / "shop.sqlite")
    orders, cart = shop.orders(), shop.cart()
    site = Site(name="shop", url=f"http://127.0.0.1:{settings.shop_port}")
    say(f"Task: {task.text}")
    started = time.monotonic()
    wanted = TaskCreate(text=task.text, sites=[site], policy=Policy.ALLOW_LISTED, budgets=Budgets(seconds=900))
    run = client.create_task(wanted).run
    assert run is not None, "a task is created with its first run"
    view = watch(client, run.id, say)
    seconds = time.monotonic() - started
    after = WorldState(
        # Visitors may have used the shop before: what counts is what this run changed.
        orders=shop.orders()[len(orders) :],
        cart=tuple((Counter(shop.cart()) - Counter(cart)).elements()),
        files=workspace_files(settings, run.id),
    )
    check: Check = task.check(after)
    say("")
    say(f"State check: {'solved' if check.solved else 'not solved, ' + check.reason}")
    done = client.run(run.id)
    return Demo(check.solved, check.reason, view.status.value, view.answer, run.id, done.turns, len(view.blocks), done.tokens, seconds)


def watch(client: KeepsakeClient, run_id: str, say: Callable[[str], None]) -> RunView:
    """Print a run until it has ended. Nobody answers here, so a run that waits for a person is cancelled."""
    view = RunView()
    for event in client.stream(run_id):
        reduce_event(view, event)
        for line in terminal.lines(event):
            say(line)
        if event.type == EventType.RUN_WAITING:
            say("The run waits for a person, and the demo has none: cancelling it.")
            client.cancel(run_id)
    return view


def workspace_files(settings: Settings, run_id: str) -> dict[str, str]:
    """Name to text of what lies in the run's workspace (backend.workspaces) now."""
    folder = settings.data_dir / "runs" / run_id / "workspace"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode("utf-8", errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
