"""Carries segments out: keeps one open team per run, takes its turns, and cuts one off when the person or a budget says so."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from agents.journal import ArtifactSink, Journal
from agents.state import Inbox, TeamState, TurnResult
from app.config import Settings
from app.errors import BudgetExceeded, KeepsakeError, StorageError
from app.events import EventType, NewEvent
from app.lock import held as is_locked
from app.schemas import RunStatus, TaskCreate
from backend.journal import RunJournal
from backend.store import Store
from backend.store.turns import Claim, Superseded
from backend.workspaces import Workspaces

log = logging.getLogger("keepsake.worker")

REPLACED = "The model server is being replaced by one with other weights; the run goes on when that answers."


class RunTeam(Protocol):
    """What the worker needs of a team (agents.team.MementoTeam has it). `members` have a `description`."""

    @property
    def members(self) -> Mapping[str, Any]: ...

    def initial_state(self, task: TaskCreate) -> TeamState: ...

    async def turn(self, state: TeamState, inbox: Inbox | None = None) -> TurnResult: ...

    async def close(self) -> None: ...


class TeamFactory(Protocol):
    """Opens the team of one run; may raise KeepsakeError."""

    def __call__(self, settings: Settings, *, task: TaskCreate, workspace: Path, journal: Journal, artifacts: ArtifactSink) -> RunTeam: ...


@dataclass(frozen=True)
class Patience:
    """Bounds of one turn. A retryable error is tried again after `backoff_s`, each time twice as long."""

    retries: int = 3
    backoff_s: float = 1.0
    look_s: float = 0.3  # how often a turn in flight asks whether it may go on
    stop_s: float = 2.0  # how long a cut-off turn may take to stop


@dataclass
class _Held:
    team: RunTeam
    journal: RunJournal


class Segments:
    """See backend.engine.SegmentRunner. Raises StorageError out of a step only when the database is away."""

    def __init__(self, settings: Settings, store: Store, open_team: TeamFactory, patience: Patience | None = None) -> None:
        self.settings = settings
        self.store = store
        self.patience = patience or Patience()
        self.workspaces = Workspaces(settings.data_dir, store.files.blobs)
        self.stopping = False
        self._open_team = open_team
        self._held: dict[tuple[str, int], _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._active: set[tuple[str, int]] = set()
        self._parked: dict[tuple[str, int], asyncio.Task[Any]] = {}
        self.returned: set[tuple[str, int]] = set()  # segments whose steps nobody needs any more

    # The three verbs of a segment

    async def first_turn(self, run_id: str, segment: int) -> int | None:
        self._active.add((run_id, segment))
        return await self.store.turns.next_turn(run_id, segment)

    async def take_turn(self, run_id: str, segment: int, turn: int) -> int | None:
        """Take turn number `turn` unless an earlier try committed it; returns the next one's number, None when the segment is done."""
        self._active.add((run_id, segment))
        if self.stopping:
            await self._park(run_id, segment)
        async with self._locks.setdefault(run_id, asyncio.Lock()):
            current = await self.store.turns.next_turn(run_id, segment)
            if current is None or current > turn:
                return current
            started = time.monotonic()
            try:
                claim = await self.store.turns.claim(run_id, segment)
                return await self._supervised(claim, segment, started)
            except Superseded:
                await self.store.turns.spend(run_id, time.monotonic() - started)
                return None

    async def leave(self, run_id: str, segment: int) -> None:
        """Close the team of a segment that is done; of a run that was deleted meanwhile, no workspace stays."""
        self._active.discard((run_id, segment))
        if self.stopping:
            return
        await self._close(run_id, segment)
        self.returned.add((run_id, segment))
        lock = self._locks.get(run_id)
        if lock is not None and not lock.locked():
            del self._locks[run_id]
        with contextlib.suppress(StorageError):  # the sweep at the next start finds what is left
            if await self.store.turns.is_gone(run_id):
                await asyncio.to_thread(self.workspaces.remove, run_id)

    async def stop(self, grace_s: float) -> None:
        """Let turns in flight commit for `grace_s` seconds, start no new ones, cut off the rest and close all teams."""
        self.stopping = True
        await self._until_parked(grace_s)
        for task in list(self._in_flight):
            await self._cut_off(task)
        await self._until_parked(self.patience.stop_s)
        for run_id, segment in list(self._held):
            await self._close(run_id, segment)

    async def _until_parked(self, seconds: float) -> None:
        """Wait until no segment is between its claim and its next turn: there DBOS must not be taken away from it."""
        deadline = time.monotonic() + seconds
        while self._active - self._parked.keys() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """End what `stop` left parked; DBOS takes a cancellation as the end of the process and keeps the segment for the next one."""
        for task in self._parked.values():
            task.cancel()
        await asyncio.gather(*self._parked.values(), return_exceptions=True)

    async def _park(self, run_id: str, segment: int) -> NoReturn:
        """This process takes no turn any more: stand here until `end`."""
        task = asyncio.current_task()
        assert task is not None
        self._parked[run_id, segment] = task
        while True:
            await asyncio.Event().wait()

    # One turn

    async def _supervised(self, claim: Claim, segment: int, started: float) -> int | None:
        """Let the turn run beside a look at its claim and its clock; commit what it gives, or end the run."""
        try:
            self._check_budgets(claim)
            result = await self._watched(claim, segment, started)
            status = await self._commit(claim, result, time.monotonic() - started)
        except (Superseded, StorageError):
            raise
        except KeepsakeError as error:
            log.warning("run %s turn %d failed: %s: %s", claim.run_id, claim.turn, error.code, error.message)
            await self.store.turns.fail(claim, error, time.monotonic() - started)
            return None
        except Exception as error:  # capture: a bad run is data, not a crash; the trace stays in this log
            log.exception("run %s turn %d broke", claim.run_id, claim.turn)
            unknown = KeepsakeError(f"Something unexpected happened: {type(error).__name__}.", hint="The worker's log tells more.")
            await self.store.turns.fail(claim, unknown, time.monotonic() - started)
            return None
        seconds = time.monotonic() - started
        log.info("run %s turn %d: %s, %d events, %.2f s", claim.run_id, claim.turn, status.value, len(result.events), seconds)
        return claim.turn + 1 if status == RunStatus.RUNNING else None

    def _check_budgets(self, claim: Claim) -> None:
        budgets = claim.task.budgets
        if claim.turn >= budgets.steps:
            raise _budget("steps", f"{budgets.steps:,} steps")
        if claim.tokens_left <= 0:
            raise _budget("tokens", f"{budgets.tokens:,} tokens")
        if claim.seconds_left <= 0:
            raise _budget("seconds", f"{budgets.seconds:,} seconds")

    async def _watched(self, claim: Claim, segment: int, started: float) -> TurnResult:
        """The turn's result. Raises Superseded when the claim is gone and BudgetExceeded when the time is, with the turn stopped."""
        task = asyncio.create_task(self._tries(claim, segment), name=f"turn {claim.run_id}")
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        deadline = started + claim.seconds_left
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=max(0.0, min(self.patience.look_s, deadline - time.monotonic())))
                if done:
                    break
                if time.monotonic() >= deadline:
                    raise _budget("seconds", f"{claim.task.budgets.seconds:,} seconds")
                if not await self._still_holds(claim):
                    raise Superseded
        finally:
            if not task.done():
                await self._cut_off(task)
                await self._close(claim.run_id, segment)  # its browser may stand anywhere
        if task.cancelled():
            if self.stopping:
                await self._park(claim.run_id, segment)
            raise RuntimeError("the turn cancelled itself")
        return task.result()

    async def _tries(self, claim: Claim, segment: int) -> TurnResult:
        """The turn, tried again after retryable errors, each an `error` event at once. Raises the last one."""
        held = await self._team(claim, segment)
        state = claim.state or await self._start(claim, held)
        held.journal.claim = claim
        await self._while_replaced(claim)
        attempt = 0
        while True:
            try:
                return await held.team.turn(state, claim.inbox)
            except KeepsakeError as error:
                if error.boundary == "model" and error.retryable and await self._while_replaced(claim):
                    continue  # it was stopped under this turn: no fault that is to be counted
                if not error.retryable or attempt == self.patience.retries:
                    raise
                log.warning("run %s turn %d: %s, trying again", claim.run_id, claim.turn, error.code)
                payload = {**error.as_payload(), "attempt": attempt + 1, "attempts": self.patience.retries + 1}
                await self.store.turns.say(claim, NewEvent(type=EventType.ERROR, payload=payload))
                await asyncio.sleep(self.patience.backoff_s * 2**attempt)
                attempt += 1

    async def _while_replaced(self, claim: Claim) -> bool:
        """Stand still while our model server is being replaced: no turn begins, so that it can finish what it has, and none fails for it.
        True if there was anything to wait for; the budget of time goes on."""
        if not is_locked(self.settings.switch_lock):
            return False
        log.info("run %s turn %d waits for the model server, which is being replaced", claim.run_id, claim.turn)
        await self.store.turns.say(claim, NewEvent(type=EventType.WARNING, payload={"message": REPLACED}))
        while is_locked(self.settings.switch_lock):
            await asyncio.sleep(self.patience.look_s)
        return True

    async def _commit(self, claim: Claim, result: TurnResult, seconds: float) -> RunStatus:
        """Store the turn. A database that is away for a moment must not cost an effect that happened, so this is tried again by itself."""
        for attempt in range(self.patience.retries + 1):
            try:
                return await self.store.turns.commit(claim, result, seconds)
            except StorageError:
                if attempt == self.patience.retries:
                    raise
                await asyncio.sleep(self.patience.backoff_s * 2**attempt)
        raise AssertionError("unreachable")

    # The team

    async def _team(self, claim: Claim, segment: int) -> _Held:
        held = self._held.get((claim.run_id, segment))
        if held is not None:
            return held
        for run_id, old in list(self._held):
            if run_id == claim.run_id:
                await self._close(run_id, old)
        if claim.state is None:
            workspace = await asyncio.to_thread(self.workspaces.fill, claim.run_id, claim.files)
        else:
            workspace = self.workspaces.path(claim.run_id)
        journal = RunJournal(claim.run_id, self.store.turns, self.store.files)
        team = self._open_team(self.settings, task=claim.task, workspace=workspace, journal=journal, artifacts=journal)
        held = self._held[claim.run_id, segment] = _Held(team, journal)
        return held

    async def _start(self, claim: Claim, held: _Held) -> TeamState:
        state = held.team.initial_state(claim.task)
        members = [{"name": name, "description": str(member.description)} for name, member in held.team.members.items()]
        await self.store.turns.start(claim, state, profile=self.settings.effective_profile, model=self.settings.model_name, members=members)
        return state

    async def _still_holds(self, claim: Claim) -> bool:
        try:
            return await self.store.turns.holds(claim)
        except StorageError as error:  # not knowing is no reason to stop; the commit will tell
            log.warning("run %s: %s", claim.run_id, error.message)
            return True

    async def _cut_off(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        _, late = await asyncio.wait({task}, timeout=self.patience.stop_s)
        if late:
            log.error("%s does not stop; it is left behind and can commit nothing", task.get_name())

    async def _close(self, run_id: str, segment: int) -> None:
        held = self._held.pop((run_id, segment), None)
        if held is None:
            return
        held.journal.claim = None
        try:
            async with asyncio.timeout(self.patience.stop_s * 2):
                await held.team.close()
        except Exception as error:  # a team that cannot be closed must not keep its run from going on
            log.warning("run %s: closing its team failed: %s", run_id, type(error).__name__)


def _budget(name: str, limit: str) -> BudgetExceeded:
    return BudgetExceeded(f"The budget of {limit} is used up.", hint="Start a new run with a larger budget.", budget=name)
