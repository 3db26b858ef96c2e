"""The standing example sites: they start, keep their state, and their example tasks can be done on them."""

import shutil
import socket

import httpx
import pytest

from agents.web.storage import load_profiles
from app.config import Settings
from app.errors import ToolError
from app.schemas import TaskCreate
from infra.worlds import tracker
from infra.worlds.demo import CATALOGUE, TICKETS, ExampleSites, examples
from infra.worlds.shop.store import ShopWorld

needs_fossil = pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, shop_port=free_port(), tracker_port=free_port())


@needs_fossil
def test_both_sites_answer_and_the_profile_is_saved(settings):
    sites = ExampleSites(settings)
    sites.start()
    try:
        assert "Fernwood" in httpx.get(sites.urls["shop"]).text
        assert "Tracker" in httpx.get(sites.urls["tracker"], follow_redirects=True).text
        assert load_profiles(settings, ["tracker"])["cookies"]
    finally:
        sites.stop()


@needs_fossil
def test_orders_are_kept_between_starts_unless_asked_to_forget(settings):
    first = ExampleSites(settings)
    first.start()
    shop = ShopWorld(settings.data_dir / "worlds" / "shop.sqlite")
    shop.add("me", "copper-kettle", 1)
    shop.place("me")
    first.stop()
    for fresh, kept in ((False, 1), (True, 0)):
        again = ExampleSites(settings, fresh=fresh)
        again.start()
        again.stop()
        assert len(shop.orders()) == kept
    assert tracker.tickets(settings.data_dir / "worlds" / "tracker.fossil") == TICKETS


def test_a_taken_port_is_said_and_leaves_nothing_running(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.shop_port))
        taken.listen()
        with pytest.raises(ToolError, match=str(settings.shop_port)):
            ExampleSites(settings).start()


def test_examples_are_tasks_on_what_the_sites_have(settings):
    names, titles = {p.name for p in CATALOGUE}, [e["title"] for e in examples(settings)]
    assert len(titles) == len(set(titles)) >= 5
    for example in examples(settings):
        task = TaskCreate(**{k: v for k, v in example.items() if k not in {"title", "files"}})
        assert all(name in task.text for name in example["files"])
        assert all(str(settings.shop_port) in s.url or str(settings.tracker_port) in s.url for s in task.sites)
    assert sum(name in e["text"] for e in examples(settings) for name in names) >= 4
