"""A world that runs: sites, profiles and a workspace of its own for one task, so that many tasks can be tried at once."""

import asyncio
import shutil
from pathlib import Path
from types import TracebackType

from agents.web.storage import save_profile
from app.config import get_settings
from app.schemas import Site
from infra.worlds import tracker
from infra.worlds.base import Check, WorldState, WorldTask
from infra.worlds.shop.server import ShopServer
from infra.worlds.shop.store import ShopWorld, seed_shop
from infra.worlds.tracker import TrackerServer

PROFILE = "tracker"


class WorldInstance:
    """`async with WorldInstance(task, directory) as world:` starts what the task needs on free ports and stops it at the end.

    Leaves its files in `directory` (`workspace/`, `profiles/`, `shop.sqlite`, `tracker.fossil`) for a look afterwards. A team that works in
    it takes `settings`, whose home is this directory, so that its browser finds the tracker's profile.
    """

    def __init__(self, task: WorldTask, directory: Path) -> None:
        self.task = task
        self.directory = directory
        self.workspace = directory / "workspace"
        self.settings = get_settings().model_copy(update={"home": directory})
        self.sites: list[Site] = []
        self._shop = directory / "shop.sqlite"
        self._tracker = directory / "tracker.fossil"
        self._servers: list[ShopServer | TrackerServer] = []

    async def __aenter__(self) -> "WorldInstance":
        try:
            await asyncio.to_thread(self.start)
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Make files and databases anew and start the servers. Raises SetupError without Fossil, ToolError when a server does not start."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        self.workspace.mkdir(parents=True)
        for name, content in self.task.files.items():
            (self.workspace / name).write_text(content, encoding="utf-8", newline="")
        if "shop" in self.task.sites:
            seed_shop(self._shop, f"{self.task.family} {self.task.seed}", self.task.products, self.task.fault_rate)
            server = self._serve(ShopServer(self._shop))
            self.sites.append(Site(name="shop", url=server.url))
        if "tracker" in self.task.sites:
            tracker.create_tracker(self._tracker, self.task.tickets)
            server = self._serve(TrackerServer(self._tracker))
            save_profile(self.settings, PROFILE, tracker.profile())
            self.sites.append(Site(name="tracker", url=server.url, profile=PROFILE))

    def stop(self) -> None:
        while self._servers:
            self._servers.pop().stop()
        self.sites.clear()

    def state(self) -> WorldState:
        """What databases and workspace hold now."""
        files = {
            path.relative_to(self.workspace).as_posix(): path.read_bytes().decode("utf-8", errors="replace")
            for path in sorted(self.workspace.rglob("*"))
            if path.is_file()
        }
        state = WorldState(files=files)
        if "shop" in self.task.sites:
            shop = ShopWorld(self._shop)
            state = WorldState(shop.orders(), shop.cart(), files=files)
        if "tracker" in self.task.sites:
            state = WorldState(state.orders, state.cart, tracker.tickets(self._tracker), tracker.wiki_edits(self._tracker), files)
        return state

    def check(self) -> Check:
        """Whether the task is solved now."""
        return self.task.check(self.state())

    def _serve(self, server: ShopServer | TrackerServer) -> ShopServer | TrackerServer:
        self._servers.append(server)
        server.start()
        return server
