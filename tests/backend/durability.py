"""Kill a worker again and again (`kill -9`) while runs are on their way, and look whether anything was lost or done twice.

`KillLoop` works against any API, worker and tasks (`command` starts a real `keepsake worker`); the test beside this uses it with a scripted
team. To try a database by hand:

    python -m tests.backend.durability --kills 10 [--real] [--database-url postgresql://user:password@127.0.0.1/name]

`--real`: the house team in a real `keepsake worker`, with Chromium, the example shop, and a scripted model behind an endpoint.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.client import KeepsakeClient
from app.config import Settings
from app.events import EventType
from app.schemas import Approval, ApprovalDecision, ApprovalKind, ApprovalStatus, Run, RunStatus, TaskCreate
from infra.worlds.base import Product
from infra.worlds.demo import CATALOGUE
from infra.worlds.shop.server import ShopServer
from infra.worlds.shop.store import ShopWorld, seed_shop
from tests.agents.endpoint import serve
from tests.backend.house import check_trail, running_house, settings_of
from tests.backend.orders import Orders, open_shop
from tests.backend.scripted_model import answer
from tests.backend.scripted_worker import spawn

Decide = Callable[[Approval], ApprovalDecision]


class Victim(Protocol):
    """A running worker process."""

    @property
    def exitcode(self) -> int | None: ...

    def kill(self) -> None: ...

    def join(self) -> None: ...


class Command:
    """A worker started as a command, e.g. `Command(["keepsake", "worker"], log, KEEPSAKE_HOME=...)`."""

    def __init__(self, argv: list[str], log: Path, **env: str) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(argv, env={**os.environ, **env}, stdout=output, stderr=output)

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()

    def join(self) -> None:
        self._process.wait()


@dataclass
class KillReport:
    """What came of it. `unknown` counts effects that were cut off between intent and outcome, `happened` those among them that had happened."""

    kills: int = 0
    seconds: float = 0.0
    unknown: int = 0
    happened: int = 0
    resumed: int = 0
    runs: list[Run] = field(default_factory=list)


class KillLoop:
    """`tasks` gives the next task whenever fewer than `abreast` runs are open; `decide` is the person, who answers also while no worker lives."""

    def __init__(
        self, client: KeepsakeClient, spawn: Callable[[], Victim], tasks: Callable[[], TaskCreate], decide: Decide, *, abreast: int = 3
    ) -> None:
        self.client = client
        self.spawn = spawn
        self.tasks = tasks
        self.decide = decide
        self.abreast = abreast
        self.report = KillReport()
        self._open: dict[str, Run] = {}
        self._victim: Victim | None = None

    def run(self, kills: int, seed: int = 0, within_s: float = 2.0, patience_s: float = 60.0) -> KillReport:
        """Kill `kills` times, each at a random moment of the `within_s` seconds after the new worker's first event (every fifth time already
        while it starts), then let all runs end. Raises AssertionError when one does not, or when its trail has a gap, a double or no end."""
        random_ = random.Random(seed)
        started = time.monotonic()
        try:
            for number in range(kills):
                self._feed()
                self._victim = self.spawn()
                if number % 5 != 4:
                    self._until_progress(patience_s)
                self._live(random_.uniform(0, within_s))
                self._kill()
            self._victim = self.spawn()
            deadline = time.monotonic() + patience_s
            while self._open:
                assert time.monotonic() < deadline, f"runs that did not end: {[self.client.run(r) for r in self._open]}"
                self._live(0.1)
        finally:
            self._kill()
        self.report.kills, self.report.seconds = kills, round(time.monotonic() - started, 1)
        self._check()
        return self.report

    def _kill(self) -> None:
        if self._victim is not None:
            assert self._victim.exitcode is None, "the worker ended by itself"
            self._victim.kill()
            self._victim.join()
            self._victim = None

    def _feed(self) -> None:
        self._tend()
        while len(self._open) < self.abreast:
            run = self.client.create_task(self.tasks()).run
            assert run is not None
            self._open[run.id] = run
            self.report.runs.append(run)

    def _until_progress(self, patience_s: float) -> None:
        before = self._turns()
        deadline = time.monotonic() + patience_s
        while self._turns() == before:
            assert time.monotonic() < deadline, "the restarted worker took nothing up"
            self._live(0.05)

    def _live(self, seconds: float) -> None:
        """Let time pass, deciding what runs ask."""
        deadline = time.monotonic() + seconds
        while True:
            self._tend()
            rest = deadline - time.monotonic()
            if rest <= 0:
                return
            time.sleep(min(rest, 0.1))

    def _tend(self) -> None:
        for approval in self.client.approvals(status=ApprovalStatus.PENDING).items:
            if approval.run_id in self._open:
                decision = self.decide(approval)
                if approval.kind == ApprovalKind.UNKNOWN_OUTCOME:
                    self.report.unknown += 1
                    self.report.happened += decision.decision == ApprovalStatus.REJECTED
                self.client.decide(approval.id, decision)
        for run_id in list(self._open):
            if self.client.run(run_id).status.ended:
                del self._open[run_id]

    def _turns(self) -> int:
        return sum(self.client.run(run.id).turns for run in self.report.runs)

    def _check(self) -> None:
        for number, run in enumerate(self.report.runs):
            events = list(self.client.all_events(run.id))
            check_trail(events)
            self.report.resumed += sum(e.type == EventType.RUN_RESUMED for e in events)
            self.report.runs[number] = self.client.run(run.id)


def ordering_tasks(shop: Orders, orders: int = 6) -> Callable[[], TaskCreate]:
    """Scripted tasks that order `orders` things each, every thing under a name of its own."""
    count = 0

    def next_task() -> TaskCreate:
        nonlocal count
        count += 1
        lines = [line for n in range(orders) for line in ("think 0.05", f"order {count}-{n}")]
        return TaskCreate.model_validate({"text": "\n".join([*lines, "answer done"]), "sites": [{"name": "shop", "url": shop.url}]})

    return next_task


def look_into(shop: Orders) -> Decide:
    """A person who looks into the shop: what is there counts as done, what is not is tried again."""

    def decide(approval: Approval) -> ApprovalDecision:
        assert approval.action is not None
        there = shop.has(approval.action.id)
        return ApprovalDecision(decision=ApprovalStatus.REJECTED if there else ApprovalStatus.APPROVED)

    return decide


def check_orders(shop: Orders, report: KillReport) -> None:
    """Every run succeeded, and everything was ordered exactly once."""
    assert {run.status for run in report.runs} == {RunStatus.SUCCEEDED}, [run.error for run in report.runs]
    items = [item for item, _ in shop.made]
    assert sorted(items) == sorted(set(items)), "something was ordered twice"
    assert len(items) == 6 * len(report.runs), "an order is missing"


def kill_scripted_worker(settings: Settings, kills: int, seed: int) -> KillReport:
    """API and shop in this process, the worker in its own, killed `kills` times."""
    with running_house(settings, worker=False) as house, open_shop() as shop:
        loop = KillLoop(house.client, lambda: spawn(settings, settings.home / "worker.log"), ordering_tasks(shop), look_into(shop))
        report = loop.run(kills, seed)
        check_orders(shop, report)
    return report


COUNT = 2  # of each thing that a run of the house team orders


def shopping_tasks(products: list[Product], url: str) -> Callable[[], TaskCreate]:
    """A task for each product in turn, so that an order tells whose it is."""
    left = iter(products)

    def next_task() -> TaskCreate:
        spec = {"text": f"Order {COUNT} {next(left).name} in shop", "sites": [{"name": "shop", "url": url}], "policy": "allow_listed"}
        return TaskCreate.model_validate(spec)

    return next_task


def look_into_shop(shop: ShopWorld, client: KeepsakeClient) -> Decide:
    """A person who looks into cart and orders: what is there counts as done, what is not is tried again."""

    def decide(approval: Approval) -> ApprovalDecision:
        assert approval.action is not None
        text = client.task(client.run(approval.run_id).task_id).text
        placed = [line.product for order in shop.orders() for line in order.lines]
        seen = placed if "Place order" in approval.action.summary else [*placed, *(line.product for line in shop.cart())]
        there = any(f" {name} " in text for name in seen)
        return ApprovalDecision(decision=ApprovalStatus.REJECTED if there else ApprovalStatus.APPROVED)

    return decide


def kill_real_worker(settings: Settings, kills: int, seed: int) -> KillReport:
    """API, shop and model endpoint in this process; `keepsake worker` with the house team and Chromium in its own, killed `kills` times."""
    path = settings.home / "shop.sqlite"
    settings.home.mkdir(parents=True, exist_ok=True)
    seed_shop(path, "kills", CATALOGUE)
    server, shop = ShopServer(path), ShopWorld(path)
    server.start()
    try:
        with serve(answer) as model, running_house(settings, worker=False) as house:
            keepsake = Path(sys.executable).with_name("keepsake")
            env = {"KEEPSAKE_HOME": str(settings.home), "KEEPSAKE_DATABASE_URL": settings.database_url, "KEEPSAKE_MODEL_URL": model.url}
            env |= {"KEEPSAKE_WORKER_SLOTS": "3"}

            def spawn_command() -> Victim:
                return Command([str(keepsake), "worker"], settings.home / "worker.log", **env)

            tasks = shopping_tasks(list(CATALOGUE), server.url)
            loop = KillLoop(house.client, spawn_command, tasks, look_into_shop(shop, house.client))
            report = loop.run(kills, seed, within_s=4.0, patience_s=120.0)
    finally:
        server.stop()
    assert {run.status for run in report.runs} == {RunStatus.SUCCEEDED}, [(run.status, run.error) for run in report.runs]
    ordered = sorted((line.product, line.quantity) for order in shop.orders() for line in order.lines)
    assert ordered == sorted((product.name, COUNT) for product in CATALOGUE[: len(report.runs)]), "ordered twice, or not at all"
    assert shop.cart() == ()
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--real", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kill = kill_real_worker if chosen.real else kill_scripted_worker
        result = kill(settings_of(Path(folder), chosen.database_url, worker_slots=3), chosen.kills, chosen.seed)
    figures = {**vars(result), "runs": len(result.runs), "seed": chosen.seed}
    sys.stdout.write(json.dumps(figures) + "\n")
