"""While our model server is replaced by one with other weights, runs stand still; none fails for it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.config import Settings
from app.events import EventType
from app.schemas import RunStatus
from backend.segment import REPLACED
from tests.backend.house import House, check_trail, running_house, settings_of, wait_for


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_house(settings_of(tmp_path_factory.mktemp("home"))) as running:
        yield running


@contextmanager
def replacing(settings: Settings) -> Iterator[None]:
    """What infra.stack.switching does for as long as the server is away."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with settings.switch_lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def workspace(house: House, run_id: str) -> Path:
    return house.settings.data_dir / "runs" / run_id / "workspace"


def warned(house: House, run) -> bool:
    return any(e.type == EventType.WARNING and e.payload["message"] == REPLACED for e in house.events(run))


def test_a_turn_that_the_replaced_server_cut_off_is_taken_again_however_long_it_was_away(house: House) -> None:
    run = house.start("model 0.6", "answer done")
    wait_for(lambda: house.client.run(run.id).status == RunStatus.RUNNING and workspace(house, run.id).is_dir())
    with replacing(house.settings):
        wait_for(lambda: warned(house, run))  # longer than the retries of a model that is merely away
        assert house.client.run(run.id).status == RunStatus.RUNNING
        (workspace(house, run.id) / "model-up").touch()
    done = house.until(run)
    check_trail(house.events(run))
    assert (done.status, done.answer) == (RunStatus.SUCCEEDED, "done")
    assert EventType.ERROR not in house.types(run)


def test_no_turn_begins_meanwhile(house: House) -> None:
    with replacing(house.settings):
        run = house.start("think", "answer done")
        wait_for(lambda: warned(house, run))
        assert house.client.run(run.id).turns == 0
    assert house.until(run).answer == "done"


def test_a_model_that_is_away_for_another_reason_still_fails_the_run(house: House) -> None:
    run = house.until(house.start("model", "answer done"))
    assert run.status == RunStatus.FAILED and not warned(house, run)
