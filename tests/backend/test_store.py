"""The store's promises to a worker: one claim at a time, a turn whole or not at all, intents that outlive their try."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from agents.safety.standing import Alike
from agents.state import Outcome, TeamState, TurnResult, Waiting
from app.config import Settings
from app.errors import Conflict, ElementMissing, InvalidInput, KeepsakeError, ModelUnavailable, SetupError, StorageError
from app.events import EventType, NewEvent
from app.schemas import Action, ApprovalDecision, ApprovalKind, ApprovalStatus, Effect, Run, RunStatus, TaskCreate
from backend.database import async_url, durable_url, sync_url
from backend.ids import new_id
from backend.store import Store
from backend.store.turns import MAX_RESTARTS, Claim, Superseded
from backend.tables import METADATA
from tests.backend.house import settings_of


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a migrated database that the module's tests share."""
    settings = settings_of(tmp_path_factory.mktemp("store"), databases(request.param, "store"))

    async def migrate() -> None:
        store = Store(settings)
        await store.open()
        await store.close()

    asyncio.run(migrate())
    return settings


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    store = Store(settings)
    yield store
    await store.close()


async def begun(store: Store) -> tuple[Run, Claim]:
    """A run with its first turn claimed and its state stored."""
    _, run = await store.tasks.create(TaskCreate(text="go"))
    assert run is not None
    claim = await store.turns.claim(run.id, 1)
    await store.turns.start(claim, TeamState(task="go"), profile="compact", model="m", members=[])
    return run, claim


def result(turns: int, *events: NewEvent, **more: Any) -> TurnResult:
    return TurnResult(state=TeamState(task="go", turns=turns, **more), events=list(events))


def action() -> Action:
    return Action(id=new_id("act"), agent="web", kind="web.click", effect=Effect.WRITE, target="buy")


WARNING = NewEvent(type=EventType.WARNING, payload={"message": "hm"})


async def test_the_migrations_make_the_tables_as_they_are_declared(store: Store) -> None:
    engine = sa.create_engine(sync_url(store.database.url))
    with engine.connect() as connection:
        ours = {table.name for table in METADATA.sorted_tables}
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": lambda n, t, _: t != "table" or n in ours}
        )
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


async def test_several_processes_may_migrate_a_new_database_at_once(tmp_path: Path) -> None:
    others = [Store(settings_of(tmp_path)) for _ in range(3)]
    await asyncio.gather(*(other.open() for other in others))
    assert await others[0].runs.page(None, 10)
    await asyncio.gather(*(other.close() for other in others))


async def test_a_turn_is_committed_once(store: Store) -> None:
    run, claim = await begun(store)
    assert await store.turns.commit(claim, result(1, WARNING), 0.5) == RunStatus.RUNNING
    with pytest.raises(Superseded):
        await store.turns.commit(claim, result(1, WARNING), 0.5)
    events = await store.runs.events(run.id)
    assert [e.type for e in events] == [EventType.RUN_QUEUED, EventType.RUN_STARTED, EventType.WARNING]
    assert (await store.runs.get(run.id)).turns == 1


async def test_a_later_try_takes_the_claim_away(store: Store) -> None:
    run, first = await begun(store)
    second = await store.turns.claim(run.id, 1)
    assert second.turn == first.turn == 0
    for attempt in (
        store.turns.commit(first, result(1), 0),
        store.turns.say(first, WARNING),
        store.turns.intend(first, action(), 0),
        store.turns.fail(first, ModelUnavailable("gone"), 0),
    ):
        with pytest.raises(Superseded):
            await attempt
    assert not await store.turns.holds(first) and await store.turns.holds(second)
    await store.turns.commit(second, result(1), 0)
    resumed = [e.payload["reason"] for e in await store.runs.events(run.id) if e.type == EventType.RUN_RESUMED]
    assert resumed == ["the worker was cut off in this turn"]


async def test_racing_commits_have_one_winner(store: Store) -> None:
    run, claim = await begun(store)
    tries = await asyncio.gather(*(store.turns.commit(claim, result(1, WARNING), 0) for _ in range(5)), return_exceptions=True)
    assert sum(t == RunStatus.RUNNING for t in tries) == 1 and sum(isinstance(t, Superseded) for t in tries) == 4
    assert [e.seq for e in await store.runs.events(run.id)] == [1, 2, 3]


async def test_racing_writers_of_one_run_number_their_events_without_gaps(store: Store) -> None:
    run, claim = await begun(store)
    await asyncio.gather(
        *(store.runs.message(run.id, f"word {n}") for n in range(10)), *(store.turns.say(claim, WARNING) for _ in range(10))
    )
    assert [e.seq for e in await store.runs.events(run.id)] == list(range(1, 23))


@pytest.mark.parametrize("verb", ["cancel", "pause"])
async def test_the_person_takes_the_claim_away(store: Store, verb: str) -> None:
    run, claim = await begun(store)
    await getattr(store.runs, verb)(run.id)
    with pytest.raises(Superseded):
        await store.turns.commit(claim, result(1), 0)
    with pytest.raises(Superseded):
        await store.turns.claim(run.id, 1)
    assert await store.turns.next_turn(run.id, 1) is None


async def test_an_old_segment_cannot_claim_after_a_new_one_was_asked_for(store: Store) -> None:
    run, _ = await begun(store)
    await store.runs.pause(run.id)
    await store.runs.resume(run.id)
    assert (run.id, 2) in await store.turns.live() and (run.id, 1) not in await store.turns.live()
    with pytest.raises(Superseded):
        await store.turns.claim(run.id, 1)
    assert (await store.turns.claim(run.id, 2)).turn == 0


async def test_an_intent_stands_until_its_turn_is_committed(store: Store) -> None:
    run, claim = await begun(store)
    wish = action()
    assert await store.turns.intent_of(run.id, 0) is None
    await store.turns.intend(claim, wish, 0)
    await store.turns.intend(claim, wish, 0)  # a program may run again in its turn: still one intent
    assert await store.turns.intent_of(run.id, 0) == wish
    again = await store.turns.claim(run.id, 1)
    assert await store.turns.intent_of(run.id, 0) == wish
    await store.turns.commit(again, result(1), 0)
    assert await store.turns.intent_of(run.id, 0) is None and await store.turns.intent_of(run.id, 1) is None
    assert [e.type for e in await store.runs.events(run.id)].count(EventType.ACTION_INTENT) == 1


async def test_an_intent_for_another_turn_is_a_defect(store: Store) -> None:
    _, claim = await begun(store)
    with pytest.raises(KeepsakeError, match="intent for turn 1"):
        await store.turns.intend(claim, action(), 1)


async def test_a_run_that_ends_with_an_intent_open_says_so(store: Store) -> None:
    run, claim = await begun(store)
    wish = action()
    await store.turns.intend(claim, wish, 0)
    await store.runs.cancel(run.id)
    unknown = [e.payload for e in await store.runs.events(run.id) if e.type == EventType.ACTION_UNKNOWN]
    assert [u["action_id"] for u in unknown] == [wish.id]


async def test_a_turn_reads_its_inbox_once_and_only_what_it_was_shown(store: Store) -> None:
    run, _ = await begun(store)
    await store.runs.message(run.id, "early")
    claim = await store.turns.claim(run.id, 1)
    await store.runs.message(run.id, "late")
    assert claim.inbox.messages == ["early"]
    await store.turns.commit(claim, result(1), 0)
    assert (await store.turns.claim(run.id, 1)).inbox.messages == ["late"]


async def test_a_decision_reaches_the_next_turn(store: Store) -> None:
    run, claim = await begun(store)
    waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.ACTION, action=action(), reason="asks")
    assert await store.turns.commit(claim, result(1, waiting=waiting), 0) == RunStatus.AWAITING_APPROVAL
    assert run.id not in dict(await store.turns.live())
    await store.approvals.decide(waiting.id, ApprovalDecision(decision=ApprovalStatus.APPROVED, explanation="fine"))
    following = await store.turns.claim(run.id, 2)
    (decision,) = following.inbox.decisions
    assert decision.approved and decision.waiting_id == waiting.id and decision.explanation == "fine"
    await store.turns.commit(following, result(2), 0)
    assert (await store.turns.claim(run.id, 2)).inbox.decisions == []


async def test_a_decision_that_comes_too_late_counts_as_a_no(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run, claim = await begun(store)
    waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.ACTION, action=action(), reason="asks")
    await store.turns.commit(claim, result(1, waiting=waiting), 0)
    known = await store.approvals.get(waiting.id)
    assert known.expires_at and (known.expires_at - known.created_at).total_seconds() == store.approvals.approval_s
    monkeypatch.setattr(store.approvals, "approval_s", -1.0)
    yes = ApprovalDecision(decision=ApprovalStatus.APPROVED)
    with pytest.raises(Conflict, match="counts as rejected"):
        await store.approvals.decide(waiting.id, yes)
    assert (await store.approvals.get(waiting.id)).status == ApprovalStatus.EXPIRED
    (decision,) = (await store.turns.claim(run.id, 2)).inbox.decisions
    assert not decision.approved and decision.explanation == "Nobody decided in time."
    with pytest.raises(Conflict, match="already decided"):
        await store.approvals.decide(waiting.id, yes)


async def test_a_clock_that_was_set_back_makes_no_approval_live_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, claim = await begun(store)
    waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.ACTION, action=action(), reason="asks")
    await store.turns.commit(claim, result(1, waiting=waiting), 0)

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    monkeypatch.setattr("backend.store.approvals.datetime", Yesterday)
    with pytest.raises(Conflict, match="counts as rejected"):
        await store.approvals.decide(waiting.id, ApprovalDecision(decision=ApprovalStatus.APPROVED))


async def test_only_what_is_offered_can_be_allowed_for_the_run_or_changed(store: Store) -> None:
    run, claim = await begun(store)
    typed = action().model_copy(update={"kind": "web.type", "arguments": {"text": "hello"}})
    alike = Alike("web.type", "write", "shop.test:80", "ask-write")
    waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.ACTION, action=typed, reason="asks", alike=alike, alike_words=alike.words)
    await store.turns.commit(claim, result(1, waiting=waiting), 0)
    assert (await store.approvals.get(waiting.id)).alike == "changes at shop.test:80"
    approved, rejected = ApprovalStatus.APPROVED, ApprovalStatus.REJECTED
    for wrong in (
        ApprovalDecision(decision=rejected, for_run=True),
        ApprovalDecision(decision=rejected, edits={"text": "x"}),
        ApprovalDecision(decision=approved, edits={"target": "http://evil.example"}),
    ):
        with pytest.raises(InvalidInput):
            await store.approvals.decide(waiting.id, wrong)
    good = ApprovalDecision(decision=approved, for_run=True, edits={"text": "bye"})
    assert (await store.approvals.decide(waiting.id, good)) == (await store.approvals.decide(waiting.id, good))
    (decision,) = (await store.turns.claim(run.id, 2)).inbox.decisions
    assert decision.alike and decision.edits == {"text": "bye"}


async def test_racing_decisions_have_one_winner(store: Store) -> None:
    _, claim = await begun(store)
    waiting = Waiting(id=new_id("appr"), kind=ApprovalKind.ACTION, action=action(), reason="asks")
    await store.turns.commit(claim, result(1, waiting=waiting), 0)
    both = [ApprovalDecision(decision=d) for d in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)]
    tries = await asyncio.gather(*(store.approvals.decide(waiting.id, d) for d in both), return_exceptions=True)
    assert sum(isinstance(t, KeepsakeError) for t in tries) == 1


async def test_an_outcome_ends_the_run_in_the_same_transaction(store: Store) -> None:
    run, claim = await begun(store)
    outcome = Outcome(status="succeeded", answer="yes\0 no")
    assert await store.turns.commit(claim, result(1, WARNING, outcome=outcome), 0) == RunStatus.SUCCEEDED
    assert (await store.runs.get(run.id)).answer == "yes\ufffd no"
    assert [e.step for e in await store.runs.events(run.id)] == [0, 0, 0, 0]


async def test_any_text_that_a_page_may_hold_can_be_an_event(store: Store) -> None:
    run, claim = await begun(store)
    odd = NewEvent(type=EventType.WARNING, payload={"message": "\0 \ud800 \U0001f600", "x": float("nan"), "deep": [{"\0": "\0"}]})
    await store.turns.say(claim, odd)
    assert (await store.runs.events(run.id))[-1].payload == {
        "message": "\ufffd \ufffd \U0001f600",
        "x": "nan",
        "deep": [{"\ufffd": "\ufffd"}],
    }


async def test_a_result_of_another_turn_is_refused(store: Store) -> None:
    _, claim = await begun(store)
    with pytest.raises(KeepsakeError, match="came back as turn"):
        await store.turns.commit(claim, result(3), 0)


async def test_a_run_whose_work_is_lost_again_and_again_fails(store: Store) -> None:
    run, _ = await begun(store)
    for number in range(1, MAX_RESTARTS + 2):
        await store.turns.restart(run.id, number)
    failed = await store.runs.get(run.id)
    assert failed.status == RunStatus.FAILED and failed.error is not None and "cut off" in failed.error["message"]


async def test_a_turn_that_takes_its_worker_along_every_time_ends_its_run(store: Store) -> None:
    run, _ = await begun(store)
    for _ in range(MAX_RESTARTS):
        claim = await store.turns.claim(run.id, 1)
    with pytest.raises(Superseded):
        await store.turns.claim(run.id, 1)
    assert (await store.runs.get(run.id)).status == RunStatus.FAILED and not await store.turns.holds(claim)
    other, claim = await begun(store)
    for turn in range(1, MAX_RESTARTS + 3):  # cut off once in every turn is no reason
        await store.turns.commit(await store.turns.claim(other.id, 1), result(turn), 0)
        await store.turns.claim(other.id, 1)
    assert (await store.runs.get(other.id)).status == RunStatus.RUNNING


async def test_a_typed_failure_is_an_event_and_the_end(store: Store) -> None:
    run, claim = await begun(store)
    await store.turns.fail(claim, ElementMissing("There is no such button.", hint="Look again."), 1.5)
    last = (await store.runs.events(run.id))[-2:]
    assert [e.type for e in last] == [EventType.ERROR, EventType.RUN_FINISHED]
    assert last[0].payload["code"] == last[1].payload["error"]["code"] == "element_missing"
    assert (await store.runs.get(run.id)).seconds == 1.5


async def test_a_deleted_run_can_be_claimed_and_committed_by_nobody(store: Store) -> None:
    run, claim = await begun(store)
    assert await store.tasks.delete(run.task_id) == [run.id]
    with pytest.raises(Superseded):
        await store.turns.commit(claim, result(1), 0)
    assert await store.turns.is_gone(run.id) and not await store.turns.holds(claim)


async def test_a_database_that_is_away_is_a_storage_error_without_its_password(tmp_path: Path) -> None:
    store = Store(settings_of(tmp_path, "postgresql://keepsake:geheim-geheim@127.0.0.1:1/none"))
    with pytest.raises(StorageError) as caught:
        await store.open()
    assert "geheim" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(StorageError):
        await store.runs.get("run_x")
    await store.close()


def test_database_urls_are_understood_or_refused(tmp_path: Path) -> None:
    assert async_url("postgres://u@h/d").drivername == async_url("postgresql+asyncpg://u@h/d").drivername == "postgresql+psycopg"
    assert async_url("sqlite:///x").drivername == "sqlite+aiosqlite"
    for bad in ("mysql://u@h/d", "nonsense"):
        with pytest.raises(SetupError):
            async_url(bad)
    assert durable_url(settings_of(tmp_path)) == f"sqlite:///{tmp_path}/data/steps.sqlite"
    assert durable_url(settings_of(tmp_path, "postgresql://u:p@h/d")) == "postgresql://u:p@h/d"
    assert durable_url(settings_of(tmp_path, "postgresql://u:p@h/d", durable_url="sqlite:///s.db")) == "sqlite:///s.db"
