"""`kill -9` of the worker at random moments: every run ends, no event is lost or doubled, nothing is ordered twice."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.backend.durability import kill_real_worker, kill_scripted_worker
from tests.backend.house import settings_of


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_ten_kills_lose_nothing_and_repeat_nothing(kind: str, databases: Any, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    report = kill_scripted_worker(settings_of(tmp_path, databases(kind, "kills"), worker_slots=3), kills=10, seed=seed)
    outcomes = f"{report.unknown} unknown outcomes, {report.happened} of them had happened"
    print(f"{kind}: seed {seed}, {report.seconds} s, {len(report.runs)} runs, {outcomes}")  # noqa: T201
    assert report.resumed >= 5  # kills met runs under way, not an idle worker


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(240)
def test_the_house_team_orders_once_however_often_its_worker_is_killed(tmp_path: Path) -> None:
    """Real worker, team, browser and shop; the model alone is scripted. More kills, and PostgreSQL, by hand: see tests.backend.durability."""
    report = kill_real_worker(settings_of(tmp_path), kills=3, seed=random.randrange(2**32))
    assert report.resumed >= 2
