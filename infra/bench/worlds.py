"""Whole tasks on the worlds: the team with the served model against databases and files that decide success.

Every task has a shop, a tracker and a workspace of its own; browser and sandbox are the real ones. `--set variant=base` measures the untouched
base alone, `--set weights=DIR` other weights in place of production's, `--set family=order` one family, `--set base_n=0` leaves the base out.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.context import Context
from agents.journal import MemoryJournal
from agents.model import ClientConfig, MementoChatClient
from agents.profiles.compact import CompactProfile
from agents.team import open_team
from app.config import Settings
from app.errors import InvalidInput, KeepsakeError
from app.events import EventType
from infra.bench.base import BenchContext, ItemLog
from infra.bench.figure import Figure, mean, proportion
from infra.bench.model_process import NAME, free_port, model_process
from infra.serving_env import ensure_serving_env
from infra.serving_process import start, stop, wait_ready
from infra.weights.manifest import read_manifest
from infra.weights.served import Variant
from infra.worlds.base import FAMILIES, SPLITS, FamilyName, Split, WorldTask
from infra.worlds.families import make_task
from infra.worlds.instance import WorldInstance
from infra.worlds.play import play, request

SLOTS = 3  # tasks at a time: the server batches their calls
BASE_N = 12
UNANSWERED = ("failed model_unavailable", "failed model_timeout", "harness: ")


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


async def attempt(settings: Settings, task: WorldTask, served: Served, folder: Path, context: Context = "text") -> dict[str, Any]:
    """Play one task in a fresh world; the result as a flat record.

    `computed`: tokens of all calls that the server did not find in its cache. `peak`: most keys that one call held; `logical`: what the longest
    would have held with nothing evicted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    async with WorldInstance(task, folder) as world:
        own = settings.model_copy(update={"home": folder, "model_context": context})
        client = MementoChatClient(ClientConfig(base_url=served.url, model=served.name, timeout_s=120.0, sessions=False))
        keeper = MemoryJournal()
        wanted = request(task, world.sites)
        team = open_team(
            own, task=wanted, workspace=world.workspace, journal=keeper, artifacts=keeper, client=client, profile=CompactProfile()
        )
        try:
            state, played = await play(team, wanted)
            played.check = world.check()
        finally:
            await team.close()
            await client.close()
    calls = [e.payload for e in played.events if e.type == EventType.MODEL_CALL]
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
        "computed": sum(call.get("computed_tokens", 0) for call in calls),
        "peak": max((call.get("peak_kv_tokens", 0) for call in calls), default=0),
        "logical": max((call["prompt_tokens"] + call["completion_tokens"] - 1 for call in calls), default=0),
        "rollovers": state.stream.rollovers if state.stream else 0,
        "seconds": round(played.seconds, 2),
        "retries": retries,
        "trail": [e.payload["text"] for e in played.events if e.type == EventType.MEMENTO],
    }
    if played.check.solved:
        shutil.rmtree(folder, ignore_errors=True)
    return record


async def measure(context: BenchContext, tasks: list[WorldTask], variant: Variant) -> list[dict[str, Any]]:
    """Play all tasks with one variant of the model (production or base), a few at a time."""
    async with server_of(context, variant) as server:
        return await play_all(context, tasks, server, part_of(context, variant))


async def play_all(
    context: BenchContext, tasks: list[WorldTask], server: Served, part: str, shown: Context = "text"
) -> list[dict[str, Any]]:
    """Play all tasks on one server, a few at a time; `part` is where finished ones are kept, `shown` what the model is shown of a run."""
    log: ItemLog = context.items(part)
    advance = context.track(f"{context.split} tasks, {part}", len(tasks))
    slots = asyncio.Semaphore(int(context.options.get("slots", SLOTS)))

    async def one(task: WorldTask) -> dict[str, Any]:
        key = f"{task.family}-{task.seed}"
        if key not in log.done:
            async with slots:
                record: dict[str, Any]
                try:
                    record = await attempt(context.settings, task, server, context.folder / part / key, shown)
                except KeepsakeError as error:
                    failure: dict[str, Any] = {"solved": False, "cause": f"harness: {error.message}", "steps": 0, "calls": 0, "tokens": 0}
                    record = {"family": task.family, "variant": task.variant, "seed": task.seed, "seconds": 0.0, "retries": 0, "trail": []}
                    record |= {**failure, "computed": 0, "peak": 0, "logical": 0, "rollovers": 0}
                log.add(key, record)
        advance()
        return log.done[key]

    return await asyncio.gather(*(one(task) for task in tasks))


async def bench(context: BenchContext) -> dict[str, Figure]:
    """success, success_base, success_<family>, steps, tokens, seconds_per_task; causes of failure stand in the item log.

    `unanswered`: tasks that failed because the model server was away or took too long, or the bench itself broke: that says nothing of weights.
    """
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
        figures["unanswered"] = Figure(value=sum(r["cause"].startswith(UNANSWERED) for r in records), n=len(records))
        for cause, count in Counter(r["cause"] for r in records if not r["solved"]).most_common():
            context.progress.console.print(f"{count} × {cause}")
    base_n = int(context.options.get("base_n", BASE_N if not only_base else len(tasks)))
    if base_n:
        records = await measure(context, tasks[:base_n], "base")
        figures["success_base"] = proportion(sum(r["solved"] for r in records), len(records))
    return figures


@asynccontextmanager
async def server_of(context: BenchContext, variant: Variant) -> AsyncGenerator[Served]:
    """A server of that variant: `--set url=… --set name=…` for an outside one, the stack's if it runs, else one of our own for the time being.
    `--set weights=…` is served by a process beside all these."""
    if (weights := _weights(context)) and variant == "production":
        python = await asyncio.to_thread(ensure_serving_env, context.settings)
        with ExitStack() as stack:
            own = model_process(python, weights, context.folder, part_of(context, variant))
            server = await asyncio.to_thread(lambda: stack.enter_context(own))
            yield Served(server.url, NAME)
        return
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


def _weights(context: BenchContext) -> Path | None:
    """The directory that `--set weights=` names. Raises InvalidInput when it holds none of ours."""
    chosen = context.options.get("weights")
    if chosen is None:
        return None
    if not (Path(chosen) / "config.json").is_file() or read_manifest(Path(chosen)) is None:
        raise InvalidInput(f"There are no weights at {chosen}.", hint="Give a directory with config.json and manifest.json.")
    return Path(chosen).resolve()


def part_of(context: BenchContext, variant: Variant) -> str:
    """Name under which finished items are kept: those of other weights are never taken for these."""
    weights = _weights(context)
    manifest = read_manifest(weights) if weights and variant == "production" else None
    return f"weights-{manifest.weights[:12]}" if manifest else variant
