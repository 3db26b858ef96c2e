"""What the gate costs where nothing is wrong: rightly done tasks of the worlds, with nobody there to be asked."""

import tempfile
from itertools import islice
from pathlib import Path

from app.config import Settings
from app.events import EventType
from app.schemas import Policy, Verdict
from infra.bench.base import BenchContext
from infra.bench.figure import Figure, proportion
from infra.worlds.base import FAMILIES
from infra.worlds.families import tasks
from infra.worlds.fast import world_team
from infra.worlds.instance import WorldInstance
from infra.worlds.oracle_roles import OracleRoles
from infra.worlds.play import play, request


async def over_refusal(context: BenchContext, each: int = 20) -> Figure:
    """Share of flawless runs, `each` of every family, in which the gate holds anything back."""
    chosen = [task for family in FAMILIES for task in islice(tasks(family, context.split, context.seed * 100), each)]
    advance = context.track("flawless runs", len(chosen))
    held = 0
    for task in chosen:
        with tempfile.TemporaryDirectory(prefix="keepsake-world-") as folder:
            async with WorldInstance(task, Path(folder)) as world:
                wanted = request(task, world.sites).model_copy(update={"policy": Policy.UNATTENDED})
                team = world_team(Settings(home=Path(folder)), wanted, world.workspace, OracleRoles(task, 0.0, 0.0), fast=True)
                try:
                    _, played = await play(team, wanted)
                finally:
                    await team.close()
                decided = [event.payload["verdict"] for event in played.events if event.type == EventType.GATE_DECIDED]
                held += any(verdict != Verdict.ALLOW for verdict in decided) or not world.check().solved
        advance()
    return proportion(held, len(chosen))
