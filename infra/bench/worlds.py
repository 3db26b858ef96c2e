"""Whole tasks on the worlds: the team with the served model against databases and files that decide success.

Every task has a shop, a tracker and a workspace of its own; browser and sandbox are the real ones. `--set variant=base` measures the untouched
base alone, `--set family=order` one family, `--set base_n=0` leaves the base out.
"""

import asyncio
import shutil
import socket
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.journal import MemoryJournal
from agents.model import ClientConfig, MementoChatClient
from agents.profiles.compact import CompactProfile
from agents.team import open_team
from app.config import Settings
from app.errors import KeepsakeError
from app.events import EventType
from infra.bench.base import BenchContext, ItemLog
from infra.bench.figure import Figure, mean, proportion
from infra.serving_process import start, stop, wait_ready
from infra.weights.served import Variant
from infra.worlds.base import FAMILIES, SPLITS, FamilyName, Split, WorldTask
from infra.worlds.families import make_task
from infra.worlds.instance import WorldInstance
from infra.worlds.play import play, request

SLOTS = 3  # tasks at a time: the server batches their calls
BASE_N = 12


@dataclass(frozen=True)
class Served:
    """Where a model answers, and under which name."""

    url: str
    name: str


def draw(split: Split, n: int, seed: int, families: tuple[FamilyName, ...] = FAMILIES) -> list[WorldTask]:
    """`n` tasks, families in turn, seeds in order from the split's start plus `seed` × 1,000; equal instances count once."""
    tasks: list[WorldTask] = []
    seen: set[str] = set()
    seeds = SPLITS[split]
    for offset in range(len(seeds)):
        task = make_task(families[offset % len(families)], seeds[(offset + seed * 1000) % len(seeds)], split)
        if task.fingerprint not in seen:
            seen.add(task.fingerprint)
            tasks.append(task)
        if len(tasks) == n:
            break
    return tasks


async def attempt(settings: Settings, task: WorldTask, served: Served, folder: Path) -> dict[str, Any]:
    """Play one task in a fresh world; the result as a flat record."""
    shutil.rmtree(folder, ignore_errors=True)
    async with WorldInstance(task, folder) as world:
        own = settings.model_copy(update={"home": folder})
        client = MementoChatClient(ClientConfig(base_url=served.url, model=served.name, timeout_s=120.0, sessions=False))
        keeper = MemoryJournal()
        wanted = request(task, world.sites)
        team = open_team(
            own, task=wanted, workspace=world.workspace, journal=keeper, artifacts=keeper, client=client, profile=CompactProfile()
        )
        try:
            _, played = await play(team, wanted)
            played.check = world.check()
        finally:
            await team.close()
            await client.close()
    retries = sum(1 for e in played.events if e.type in {EventType.MODEL_RETRY, EventType.LEDGER_REPAIRED})
    record = {
        "family": task.family,
        "variant": task.variant,
        "seed": task.seed,
        "solved": played.check.solved,
        "cause": played.cause,
        "steps": played.turns,
        "calls": played.model_calls,
        "tokens": played.tokens,
        "seconds": round(played.seconds, 2),
        "retries": retries,
        "trail": [e.payload["text"] for e in played.events if e.type == EventType.MEMENTO],
    }
    if played.check.solved:
        shutil.rmtree(folder, ignore_errors=True)
    return record


async def measure(context: BenchContext, tasks: list[WorldTask], variant: Variant) -> list[dict[str, Any]]:
    """Play all tasks with one variant of the model (production or base), a few at a time."""
    log: ItemLog = context.items(variant)
    advance = context.track(f"{context.split} tasks, {variant} model", len(tasks))
    slots = asyncio.Semaphore(int(context.options.get("slots", SLOTS)))

    async def one(task: WorldTask, server: Served) -> dict[str, Any]:
        key = f"{task.family}-{task.seed}"
        if key not in log.done:
            async with slots:
                record: dict[str, Any]
                try:
                    record = await attempt(context.settings, task, server, context.folder / variant / key)
                except KeepsakeError as error:
                    failure: dict[str, Any] = {"solved": False, "cause": f"harness: {error.message}", "steps": 0, "calls": 0, "tokens": 0}
                    record = {"family": task.family, "variant": task.variant, "seed": task.seed, "seconds": 0.0, "retries": 0, "trail": []}
                    record |= failure
                log.add(key, record)
        advance()
        return log.done[key]

    async with _server(context, variant) as server:
        return await asyncio.gather(*(one(task, server) for task in tasks))


async def bench(context: BenchContext) -> dict[str, Figure]:
    """success, success_base, success_<family>, steps, tokens, seconds_per_task; causes of failure stand in the item log."""
    chosen = context.options.get("family")
    families: tuple[FamilyName, ...] = tuple(f for f in FAMILIES if chosen in (None, f))
    tasks = draw(context.split, context.n or 40, context.seed, families)
    only_base = context.options.get("variant") == "base"
    figures: dict[str, Figure] = {}
    if not only_base:
        records = await measure(context, tasks, "production")
        figures["success"] = proportion(sum(r["solved"] for r in records), len(records))
        for family in families:
            own = [r for r in records if r["family"] == family]
            figures[f"success_{family}"] = proportion(sum(r["solved"] for r in own), len(own))
        for key, field in (("steps", "steps"), ("tokens", "tokens"), ("seconds_per_task", "seconds"), ("retries", "retries")):
            figures[key] = mean([r[field] for r in records])
        for cause, count in Counter(r["cause"] for r in records if not r["solved"]).most_common():
            context.progress.console.print(f"{count} × {cause}")
    base_n = int(context.options.get("base_n", BASE_N if not only_base else len(tasks)))
    if base_n:
        records = await measure(context, tasks[:base_n], "base")
        figures["success_base"] = proportion(sum(r["solved"] for r in records), len(records))
    return figures


@asynccontextmanager
async def _server(context: BenchContext, variant: Variant) -> AsyncGenerator[Served]:
    """A server of that variant: `--set url=… --set name=…` for an outside one, the stack's if it runs, else one of our own for the time being."""
    url = context.options.get("url") if variant == "production" else context.options.get("url_base")
    if url:
        yield Served(url, context.options.get("name", context.settings.model_name))
        return
    handle = await asyncio.to_thread(start, context.settings, variant, None if variant == "production" else free_port())
    try:
        await asyncio.to_thread(wait_ready, handle, progress=context.progress.console.print)
        yield Served(handle.url, handle.name)
    finally:
        if not handle.already_running:
            await asyncio.to_thread(stop, context.settings, variant)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
