"""The events of one run as this browser session has them: fetched after the last seen number, folded by the one reducer."""

import time
from dataclasses import dataclass, field

import streamlit as st

from app.errors import KeepsakeError
from app.events import Event, EventType, RunView, reduce_events
from app.schemas import Run, Task
from ui.parts.api import api, task_of


@dataclass
class Feed:
    """A run, its task, and the view of its events. `problem` is the last fetch's error, None once the API answers again."""

    run: Run
    task: Task
    view: RunView = field(default_factory=RunView)
    members: list[str] = field(default_factory=list)
    model: str = ""
    problem: KeepsakeError | None = None
    fresh: float = 0.0

    @property
    def mark(self) -> tuple[str, int]:
        """How far the run is: changes whenever there is something new to show."""
        return self.run.status.value, self.view.last_seq

    def refresh(self, within_s: float = 0.0) -> None:
        """Fetch what is new, unless that was done `within_s`. A failure is kept in `problem`; what is on the page stays."""
        if time.monotonic() - self.fresh < within_s:
            return
        self.fresh = time.monotonic()
        try:
            client = api()
            # The record first: events read after it are never older than its status.
            self.run = client.run(self.run.id)
            while events := client.events(self.run.id, self.view.last_seq):
                self.take(events)
            self.problem = None
        except KeepsakeError as error:
            self.problem = error

    def take(self, events: list[Event]) -> None:
        """Fold events in; the reducer ignores redelivered ones."""
        for event in events:
            if event.type == EventType.RUN_STARTED:
                self.members = [m["name"] for m in event.payload.get("members", []) if m["name"] != "executor"]
                self.model = str(event.payload.get("model", ""))
        reduce_events(events, self.view)


def open_feed(run_id: str) -> Feed:
    """The session's feed of a run, made on the first call. Raises NotFound and the client's other errors."""
    feeds: dict[str, Feed] = st.session_state.setdefault("feeds", {})
    if run_id not in feeds:
        run = api().run(run_id)
        feeds[run_id] = Feed(run=run, task=task_of(run.task_id))
        while len(feeds) > 5:  # a session that visits many runs keeps the last few
            feeds.pop(next(iter(feeds)))
    feed = feeds[run_id]
    feed.refresh()
    return feed
