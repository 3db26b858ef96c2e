"""Runs, door to door: a real API, a real worker, both databases; only the team is scripted."""

import time

import pytest
import sqlalchemy as sa

from app.errors import Conflict, InvalidInput, NotFound
from app.events import EventType, reduce_events
from app.schemas import ApprovalDecision, ApprovalKind, ApprovalStatus, Budgets, RunStatus, TaskCreate
from backend.database import async_url, durable_url, sync_url
from tests.backend.house import House, check_trail, wait_for
from tests.backend.orders import Orders


def mentions(url: str, words: list[str]) -> list[str]:
    """Places (schema.table.column) of a database that hold one of the words."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    found = []
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        schemas = [None] if engine.dialect.name == "sqlite" else ["public", "dbos"]
        for table in [(schema, name) for schema in schemas for name in inspector.get_table_names(schema)]:
            for column in inspector.get_columns(table[1], table[0]):
                place = sa.table(table[1], sa.column(column["name"]), schema=table[0])
                text = sa.cast(place.c[column["name"]], sa.Text)
                if connection.execute(sa.select(place).where(sa.or_(*(text.contains(word) for word in words))).limit(1)).first():
                    found.append(f"{table[1]}.{column['name']}")
    engine.dispose()
    return found


def site(shop: Orders) -> list[dict[str, str]]:
    return [{"name": "shop", "url": shop.url}]


def test_a_run_succeeds_and_its_events_tell_all_of_it(house: House) -> None:
    run = house.until(house.start("think", "think", "save notes.txt", "answer Done."))
    events = house.events(run)
    check_trail(events)
    assert run.status == RunStatus.SUCCEEDED and run.answer == "Done." and run.turns == 4 and run.tokens == 200
    assert [e.type.value for e in events] == ["run.queued", "run.started", "model.call", "model.call", "artifact", "run.finished"]
    assert [e.step for e in events] == [0, 0, 0, 1, 2, 3]
    view = reduce_events(events)
    assert view.status == RunStatus.SUCCEEDED and view.answer == "Done." and view.prompt_tokens == 180


def test_uploaded_files_lie_in_the_workspace_under_distinct_names(house: House) -> None:
    ids = [house.client.upload("../../notes.txt", b"one").id, house.client.upload("notes.txt", b"two").id]
    run = house.until(house.start("answer", files=ids))
    assert run.answer == "notes-2.txt notes.txt"
    workspace = house.settings.data_dir / "runs" / run.id / "workspace"
    assert (workspace / "notes.txt").read_bytes() == b"one" and (workspace / "notes-2.txt").read_bytes() == b"two"


def test_an_intent_is_an_event_before_its_effect_and_the_effect_happens_once(house: House, shop: Orders) -> None:
    run = house.until(house.start("order kettle", "answer ok", sites=site(shop)))
    types = house.types(run)
    assert types.index(EventType.ACTION_INTENT) < types.index(EventType.ACTION_DONE)
    assert len(shop.of("kettle")) == 1


def test_an_approval_waits_and_is_decided_once(house: House, shop: Orders) -> None:
    run = house.start("approve kettle", "answer ok", sites=site(shop))
    approval = house.pending(run)
    assert approval.kind == ApprovalKind.ACTION and approval.action is not None and approval.action.target == "kettle"
    assert shop.made == []
    house.approve(approval)
    house.approve(approval)  # the same again is fine
    with pytest.raises(Conflict):
        house.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.REJECTED))
    done = house.until(run)
    check_trail(house.events(done))
    assert done.status == RunStatus.SUCCEEDED and len(shop.of("kettle")) == 1
    assert house.types(run).count(EventType.APPROVAL_DECIDED) == 1


def test_a_rejected_action_does_not_happen(house: House, shop: Orders) -> None:
    run = house.start("approve kettle", "answer without", sites=site(shop))
    house.client.decide(house.pending(run).id, ApprovalDecision(decision=ApprovalStatus.REJECTED, explanation="too dear"))
    assert house.until(run).answer == "without" and shop.made == []


def test_an_edited_plan_reaches_the_team(house: House) -> None:
    run = house.start("plan look", "answer ok")
    approval = house.pending(run)
    assert approval.plan == [{"number": 1, "agent": "scripted", "instruction": "look"}]
    for bad in ([], [{"agent": "scripted"}], [{"agent": 1, "instruction": "x"}]):
        with pytest.raises(InvalidInput):
            house.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.APPROVED, plan=bad))
    steps = [{"agent": "scripted", "instruction": "look twice"}]
    house.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.APPROVED, plan=steps))
    house.until(run)
    ledgers = [e for e in house.events(run) if e.type == EventType.TASK_LEDGER]
    assert ledgers[-1].payload["by"] == "person" and ledgers[-1].payload["plan"][0]["instruction"] == "look twice"


def test_only_a_plan_takes_an_edited_plan_and_only_two_decisions_exist(house: House, shop: Orders) -> None:
    run = house.start("approve kettle", "answer ok", sites=site(shop))
    approval = house.pending(run)
    with pytest.raises(InvalidInput):
        house.client.decide(
            approval.id, ApprovalDecision(decision=ApprovalStatus.APPROVED, plan=[{"agent": "scripted", "instruction": "x"}])
        )
    with pytest.raises(InvalidInput):
        house.client.decide(approval.id, ApprovalDecision(decision=ApprovalStatus.EXPIRED))
    house.client.cancel(run.id)
    assert house.client.approval(approval.id).status == ApprovalStatus.EXPIRED
    with pytest.raises(Conflict):
        house.approve(approval)


def test_a_question_waits_for_words_and_words_before_it_are_steers(house: House) -> None:
    run = house.start("think 0.4", "ask Which?", "answer got")
    house.client.message(run.id, "hurry")
    waiting = house.until(run, RunStatus.AWAITING_INPUT)
    time.sleep(0.5)
    assert house.client.run(waiting.id).status == RunStatus.AWAITING_INPUT  # the steer is no answer
    house.client.message(run.id, "the red one")
    assert house.until(run).answer == "got hurry the red one"
    check_trail(house.events(run))


def test_a_turn_in_flight_is_cancelled_within_three_seconds(house: House) -> None:
    run = house.start("think 30", "answer never")
    house.until(run, RunStatus.RUNNING)
    wait_for(lambda: house.client.run(run.id).status == RunStatus.RUNNING and len(house.events(run)) == 2)
    assert house.client.cancel(run.id).status == RunStatus.CANCELLED
    wait_for(lambda: (house.settings.data_dir / "runs" / run.id / "workspace" / "cut-off").exists(), 3)
    following = house.until(house.start("answer next"))  # the slot is free again
    check_trail(house.events(run))
    assert house.client.cancel(run.id).status == RunStatus.CANCELLED
    with pytest.raises(Conflict):
        house.client.cancel(following.id)


def test_a_paused_run_takes_its_turn_again(house: House) -> None:
    run = house.start("think", "think 1.5", "answer back")
    house.until(run, RunStatus.RUNNING)
    while house.client.run(run.id).turns < 1:
        time.sleep(0.02)
    assert house.client.pause(run.id).status == RunStatus.PAUSED
    time.sleep(0.6)
    assert house.client.run(run.id).turns == 1
    house.client.resume(run.id)
    done = house.until(run)
    assert done.answer == "back" and done.turns == 3
    events = house.events(run)
    check_trail(events)
    assert [e.payload["status"] for e in events if e.type == EventType.RUN_WAITING] == ["paused"]
    assert sum(e.type == EventType.RUN_RESUMED for e in events) == 1


def test_a_run_paused_while_it_waits_still_waits_afterwards(house: House, shop: Orders) -> None:
    run = house.start("approve kettle", "answer ok", sites=site(shop))
    approval = house.pending(run)
    house.client.pause(run.id)
    assert house.client.resume(run.id).status == RunStatus.AWAITING_APPROVAL
    house.client.pause(run.id)
    house.approve(approval)
    assert house.client.run(run.id).status == RunStatus.PAUSED
    house.client.resume(run.id)
    assert house.until(run).answer == "ok" and len(shop.of("kettle")) == 1


def test_an_effect_that_a_pause_cut_off_is_asked_about_and_not_repeated_silently(house: House, shop: Orders) -> None:
    run = house.start("slow kettle", "answer ok", sites=site(shop))
    wait_for(lambda: EventType.ACTION_INTENT in house.types(run))
    house.client.pause(run.id)
    house.client.resume(run.id)
    approval = house.pending(run)
    assert approval.kind == ApprovalKind.UNKNOWN_OUTCOME and shop.made == []
    house.approve(approval)
    assert house.until(run).answer == "ok" and len(shop.of("kettle")) == 1
    check_trail(house.events(run))


def test_a_cancelled_effect_is_named_as_unknown(house: House, shop: Orders) -> None:
    run = house.start("slow kettle", "answer ok", sites=site(shop))
    wait_for(lambda: EventType.ACTION_INTENT in house.types(run))
    house.client.cancel(run.id)
    assert house.types(run)[-2:] == [EventType.ACTION_UNKNOWN, EventType.RUN_FINISHED]


def test_a_turn_that_does_not_stop_is_left_behind_and_commits_nothing(house: House) -> None:
    run = house.start("stubborn 4", "answer never")
    house.until(run, RunStatus.RUNNING)
    house.client.cancel(run.id)
    events = house.events(run)
    both = [house.start("answer next"), house.start("answer next")]  # both slots are free before it gives in
    assert [house.until(r, seconds=10).answer for r in both] == ["next", "next"]
    assert house.events(run) == events


def test_a_model_that_comes_back_costs_only_error_events(house: House) -> None:
    run = house.until(house.start("down 2", "answer up"))
    assert run.status == RunStatus.SUCCEEDED
    errors = [e.payload for e in house.events(run) if e.type == EventType.ERROR]
    assert [(e["code"], e["attempt"]) for e in errors] == [("model_unavailable", 1), ("model_unavailable", 2)]


def test_a_model_that_stays_away_fails_the_run_and_resume_goes_on_where_it_was(house: House) -> None:
    run = house.until(house.start("think", "model", "answer at last"))
    assert run.status == RunStatus.FAILED and run.error is not None
    assert run.error["code"] == "model_unavailable" and run.error["retryable"]
    check_trail(house.events(run))
    (house.settings.data_dir / "runs" / run.id / "workspace" / "model-up").touch()
    house.client.resume(run.id)
    resumed = house.until(run, RunStatus.SUCCEEDED)
    assert resumed.turns == 3 and resumed.tokens == 100 and resumed.error is None
    events = house.events(run)
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert [e.payload["status"] for e in events if e.type == EventType.RUN_FINISHED] == ["failed", "succeeded"]
    assert reduce_events(events).status == RunStatus.SUCCEEDED


def test_an_unforeseen_exception_fails_its_run_without_a_trace_and_the_worker_goes_on(house: House) -> None:
    run = house.until(house.start("crash"))
    assert run.status == RunStatus.FAILED and run.error is not None and run.error["code"] == "internal_error"
    shown = str(house.events(run))
    assert "ZeroDivisionError" in shown and "place.py" not in shown and "Traceback" not in shown
    assert house.until(house.start("answer still here")).answer == "still here"


def test_refusal_and_failure_are_ends_of_their_own(house: House) -> None:
    refused = house.until(house.start("refuse no"))
    assert refused.status == RunStatus.REFUSED and refused.refusal is not None and refused.refusal["reason"] == "no"
    failed = house.until(house.start("fail stuck"))
    assert failed.status == RunStatus.FAILED and failed.error is not None and failed.error["code"] == "stalled"
    with pytest.raises(Conflict):
        house.client.resume(failed.id)


@pytest.mark.parametrize(
    ("budgets", "name"),
    [(Budgets(steps=3), "steps"), (Budgets(tokens=250), "tokens"), (Budgets(seconds=1), "seconds")],
)
def test_a_budget_ends_its_run(house: House, budgets: Budgets, name: str) -> None:
    run = house.until(house.start(*["think 0.3"] * 9, "answer never", budgets=budgets))
    assert run.status == RunStatus.FAILED and run.error is not None
    assert run.error["code"] == "budget_exceeded" and run.error["details"] == {"budget": name}
    assert run.turns <= 4
    with pytest.raises(Conflict):
        house.client.resume(run.id)


def test_time_spent_waiting_for_a_person_does_not_count(house: House) -> None:
    run = house.start("ask ?", "answer ok", budgets=Budgets(seconds=1))
    house.until(run, RunStatus.AWAITING_INPUT)
    time.sleep(1.2)
    house.client.message(run.id, "here")
    assert house.until(run).status == RunStatus.SUCCEEDED


def test_secrets_in_what_a_team_says_do_not_reach_events(house: House) -> None:
    run = house.until(house.start("answer the key is sk-model-key-0123456789 and " + house.key))
    assert run.answer == "the key is [secret] and [secret]"
    assert "sk-model-key" not in str(house.events(run)) and house.key not in str(house.events(run))


def test_nul_and_odd_text_of_a_team_are_stored(house: House) -> None:
    run = house.start("ask ?", "answer ok")
    house.until(run, RunStatus.AWAITING_INPUT)
    house.client.message(run.id, "größe \u2028 𝔘 \x07")
    assert house.until(run).answer == "ok größe \u2028 𝔘 \x07"


def test_a_deleted_task_leaves_nothing(house: House) -> None:
    upload = house.client.upload("secret-plan.txt", b"burn after reading")
    run = house.start("save kept.txt", "think 20", "answer no", files=[upload.id])
    while house.client.run(run.id).turns < 1:
        time.sleep(0.02)
    blobs = house.settings.data_dir / "blobs"
    kept = {path.name for path in blobs.rglob("*") if path.is_file()}
    (artifact,) = house.client.artifacts(run.id).items
    house.client.delete_task(run.task_id)
    for path in (f"runs/{run.id}", f"tasks/{run.task_id}", f"runs/{run.id}/events", f"artifacts/{artifact.id}", f"files/{upload.id}"):
        assert house.http.get(f"/v1/{path}").status_code == 404, path
    gone = kept - {path.name for path in blobs.rglob("*") if path.is_file()}
    assert {upload.sha256, artifact.sha256} <= gone
    with pytest.raises(NotFound):
        house.client.delete_task(run.task_id)
    assert house.until(house.start("answer on")).answer == "on"  # the worker let go of it
    secrets = [run.id, run.task_id, upload.id, "secret-plan"]
    wait_for(lambda: not mentions(durable_url(house.settings), secrets), 10, lambda: f"{mentions(durable_url(house.settings), secrets)}")
    assert mentions(str(sync_url(async_url(house.settings.effective_database_url)).render_as_string(False)), secrets) == []
    assert not (house.settings.data_dir / "runs" / run.id).exists()


def test_two_attempts_at_one_task_are_separate_runs(house: House) -> None:
    first = house.until(house.start("think", "answer one"))
    second = house.until(house.client.start_run(first.task_id))
    assert second.id != first.id and second.answer == "one"
    assert [r.id for r in house.client.runs(task_id=first.task_id).items] == [second.id, first.id]


def test_a_task_may_be_created_without_a_run(house: House) -> None:
    created = house.client.create_task(TaskCreate(text="answer later"), start=False)
    assert created.run is None and house.client.runs(task_id=created.task.id).items == []
    assert house.until(house.client.start_run(created.task.id)).answer == "later"
