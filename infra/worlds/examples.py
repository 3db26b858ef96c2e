"""Training examples from oracle runs through the real team. Deterministic by seed; regenerated, never committed.

At least one run in twenty goes through Chromium and the sandbox, the rest over the fast path (infra.worlds.fast), whose prompts are the same byte
for byte. Every run is checked by its world: a run that did not solve its task is a bug and stops the generation.
"""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from app.config import Settings
from app.errors import ToolError
from infra.training.examples import Example
from infra.worlds.base import FAMILIES, FamilyName, Split
from infra.worlds.families import make_task
from infra.worlds.fast import world_team
from infra.worlds.instance import WorldInstance
from infra.worlds.oracle_roles import OracleRoles
from infra.worlds.play import play, request

REAL_EVERY = 20
SLIPS = 0.04  # share of browser decisions that go wrong on purpose
BREAKS = 0.06  # share of ledgers at which a run's conversation begins anew


async def episode(family: FamilyName, seed: int, split: Split, folder: Path, *, real: bool = False, slips: float = SLIPS) -> list[Example]:
    """Examples of one oracle run. Raises ToolError when the run did not solve its task, with what the state check missed."""
    task = make_task(family, seed, split)
    async with WorldInstance(task, folder) as world:
        settings = Settings(home=folder)
        wanted = request(task, world.sites)
        roles = OracleRoles(task, slips, BREAKS)
        team = world_team(settings, wanted, world.workspace, roles, fast=not real, context="stream")
        try:
            _, played = await play(team, wanted, keep_events=False, approves=True)
            played.check = world.check()
        finally:
            await team.close()
    if not played.check.solved:
        raise ToolError(f"The oracle did not solve {family} {seed}: {played.cause}", hint="Mend infra.worlds.oracle.")
    return [*roles.examples, *roles.conversations]


def episodes(work: tuple[tuple[FamilyName, int], ...], split: Split, real_every: int) -> list[Example]:
    """Examples of several runs, in order; one event loop, one run at a time."""

    async def all_of_them() -> list[Example]:
        found: list[Example] = []
        for family, seed in work:
            with tempfile.TemporaryDirectory(prefix="keepsake-world-") as folder:
                found += await episode(family, seed, split, Path(folder), real=bool(real_every) and seed % real_every == 0)
        return found

    return asyncio.run(all_of_them())


def generate(
    split: Split,
    seeds: range,
    workers: int = 2,
    families: Sequence[FamilyName] = FAMILIES,
    real_every: int = REAL_EVERY,
) -> Iterator[Example]:
    """Examples of every family for every seed, seed by seed, in an order that does not depend on `workers`."""
    work = [tuple((family, seed) for family in families) for seed in seeds]
    if workers <= 1:
        for part in work:
            yield from episodes(part, split, real_every)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for found in pool.map(episodes, work, [split] * len(work), [real_every] * len(work), chunksize=4):
            yield from found
