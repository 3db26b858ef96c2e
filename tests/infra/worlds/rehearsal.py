"""Plays a task with the oracle through the real team over the fast path: real orchestrator, gate, members and prompts, no Chromium."""

from infra.training.examples import Example
from infra.worlds.fast import world_team
from infra.worlds.instance import WorldInstance
from infra.worlds.oracle_roles import OracleRoles
from infra.worlds.play import Played, play, request


async def rehearse(world: WorldInstance, slips: float = 0.0) -> tuple[Played, list[Example]]:
    """How the run ended, judged by the world, and every role call. `slips` is the share of browser steps that click a wrong link."""
    roles = OracleRoles(world.task, slips)
    wanted = request(world.task, world.sites)
    team = world_team(world.settings, wanted, world.workspace, roles, fast=True)
    try:
        _, played = await play(team, wanted)
    finally:
        await team.close()
    played.check = world.check()
    return played, roles.examples
