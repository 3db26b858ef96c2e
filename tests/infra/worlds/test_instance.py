"""Running worlds: quick to start, apart from each other, judged by what they hold."""

import json
import shutil
import stat
import time
from dataclasses import replace

import httpx
import pytest

from infra.worlds.families import make_task, tasks
from infra.worlds.instance import WorldInstance

needs_fossil = pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")


def order(seed=0):
    return next(t for t in tasks("order", "train", seed) if t.goal.within and t.variant == "text")


async def place(world):
    goal = world.task.goal
    slug = goal.item.lower().replace(" ", "-")
    async with httpx.AsyncClient(base_url=world.sites[0].url, follow_redirects=True) as client:
        await client.post("/cart/add", data={"product": slug, "quantity": str(goal.count)})
        return await client.post("/orders")


async def test_several_worlds_at_once_do_not_touch_each_other(tmp_path):
    task = replace(order(), fault_rate=0.0)
    async with WorldInstance(task, tmp_path / "a") as a, WorldInstance(task, tmp_path / "b") as b, WorldInstance(task, tmp_path / "c") as c:
        assert len({w.sites[0].url for w in (a, b, c)}) == 3
        await place(b)
        assert [w.check().solved for w in (a, b, c)] == [False, True, False]
        await place(b)
        assert not b.check().solved, "an order too many"


@needs_fossil
async def test_a_tracker_world_comes_with_its_profile_for_its_owner_only(tmp_path):
    task = make_task("ticket", 3)
    async with WorldInstance(task, tmp_path) as world:
        assert [s.profile for s in world.sites] == ["tracker"]
        path = world.settings.home / "profiles" / "tracker.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600 and json.loads(path.read_text())["cookies"]
        assert world.state().tickets == task.tickets and world.state().files == task.files
        assert not world.check().solved


async def test_a_world_begins_anew_each_time(tmp_path):
    task = replace(order(), fault_rate=0.0)
    async with WorldInstance(task, tmp_path) as world:
        await place(world)
        (world.workspace / "left").mkdir()
        (world.workspace / "left" / "over.txt").write_text("x")
        assert "left/over.txt" in world.state().files
    async with WorldInstance(task, tmp_path) as world:
        assert world.state() == task.start()


@needs_fossil
async def test_worlds_start_quickly(tmp_path):
    shop, ticket = order(), make_task("ticket", 3)
    async with WorldInstance(shop, tmp_path / "warm"), WorldInstance(ticket, tmp_path / "warm2"):
        pass
    seconds = {}
    for name, task in (("shop", shop), ("tracker", ticket)):
        best = []
        for n in range(3):
            started = time.perf_counter()
            async with WorldInstance(task, tmp_path / f"{name}{n}"):
                best.append(time.perf_counter() - started)
        seconds[name] = min(best)
    assert seconds["shop"] < 0.3 and seconds["tracker"] < 0.5, seconds


async def test_nothing_answers_after_the_end(tmp_path):
    async with WorldInstance(order(), tmp_path) as world:
        url = world.sites[0].url
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(url)
    assert world.sites == []


async def test_a_world_without_sites_is_its_workspace(tmp_path):
    task = next(t for t in tasks("lookup", "train") if t.variant == "status")
    async with WorldInstance(task, tmp_path) as world:
        assert world.sites == [] and not world.check().solved
        (world.workspace / task.goal.output).write_text(f"{task.goal.total / 100:.2f}\n")
        assert world.check().solved
