"""/v1/training: what the files of jobs and versions say, and who may change what is served."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.client import KeepsakeClient
from app.errors import Conflict, NotFound, PolicyError, StorageError
from app.registry import Gate, Promotion, PromotionStatus, registry_folder
from app.training import JobStatus, runs_folder
from backend.store import Store
from backend.store.keys import Scope
from tests.app.training_files import point, run, version
from tests.backend.house import House, running_house, settings_of, wait_for

USER_KEY = "ks_0123456789abcdef_" + "A" * 43

# In place of `keepsake train`: says what it was asked, takes as long as it is told, and ends as it is told.
COMMAND = """
import sys, time, pathlib, os
home = pathlib.Path(os.environ["KEEPSAKE_HOME"])
(home / "asked").write_text(" ".join(sys.argv[1:]) + " " + os.environ.get("KEEPSAKE_MARK", "no mark"))
while not (home / "go").exists():
    time.sleep(0.02)
print("gates fail", file=sys.stderr)
sys.exit(int((home / "go").read_text()))
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr("backend.promotions.COMMAND", (sys.executable, "-c", COMMAND))
    monkeypatch.setenv("KEEPSAKE_MARK", "api-1")
    with running_house(settings_of(tmp_path), worker=False) as running:
        yield running
    (tmp_path / "go").write_text("0")


def home(house: House) -> Path:
    return house.settings.home


# Looking


def test_where_nothing_was_trained_there_is_nothing(house: House) -> None:
    assert house.client.training_jobs() == []
    view = house.client.training_versions()
    assert (view.versions, view.serving, view.promotion) == ([], None, None)


def test_a_job_comes_with_its_figures_and_curves(house: House) -> None:
    run(home(house), metrics='{"step": 1, "loss": 2.0}\n')
    assert [job.name for job in house.client.training_jobs()] == ["first-1"]
    assert house.client.training_job("first-1").tokens_per_s == 100.0
    assert house.client.training_curves("first-1").loss[0].loss == 2.0


def test_figures_that_are_no_numbers_do_not_break_the_answer(house: House) -> None:
    run(home(house), metrics='{"step": 1, "loss": NaN}')
    path = runs_folder(home(house)) / "first-1" / "manifest.json"
    path.write_text(path.read_text().replace('"metrics":{}', '"metrics":{"rebuilt_dev":{"exact":NaN}}'))
    assert house.client.training_job("first-1").status == JobStatus.FINISHED


def test_what_is_not_there_is_404(house: House) -> None:
    for path in ("jobs/x", "jobs/x/metrics", "jobs/..%2F..", "versions/x", "versions/x/card", "versions/%00"):
        assert house.http.get(f"/v1/training/{path}").status_code == 404, path


def test_versions_come_with_aliases_gates_and_card(house: House) -> None:
    gate = Gate(figure="worlds.success", source="promise", direction="at_least", threshold=0.8, value=0.9, n=40, passed=True)
    version(home(house), "first.1", gate)
    point(home(house), production="first.1")
    view = house.client.training_versions()
    assert view.serving == "first.1" and view.versions[0].gates == [gate]
    assert house.client.training_card("first.1") == "# first.1\n"
    assert house.http.get("/v1/training/versions/first.1").json()["rebuilt"] == "e" * 64


def test_aliases_that_cannot_be_read_are_a_problem_with_a_way_out(house: House) -> None:
    version(home(house), "first.1")
    (registry_folder(home(house)) / "aliases.json").write_text("{")
    with pytest.raises(StorageError, match="cannot be read") as error:
        house.client.training_versions()
    assert "Remove the file" in error.value.hint


# Changing


def test_a_promotion_runs_the_command_and_its_end_is_told(house: House) -> None:
    version(home(house), "first.1")
    started = house.client.promote_version("first.1")
    assert (started.status, started.version) == (PromotionStatus.RUNNING, "first.1")
    with pytest.raises(Conflict, match="under way"):
        house.client.promote_version("first.1")
    wait_for(lambda: (home(house) / "asked").exists())
    (home(house) / "go").write_text("1")
    failed = wait_for(lambda: (p := house.client.training_versions().promotion) and p.status == PromotionStatus.FAILED and p)
    assert failed.message == "gates fail" and "promotion.log" in failed.hint
    assert (home(house) / "asked").read_text() == "promote first.1 no mark"


def test_what_the_command_writes_of_itself_counts(house: House) -> None:
    version(home(house), "first.1")
    house.client.promote_version("first.1")
    (home(house) / "go").write_text("0")
    wait_for(lambda: house.client.training_versions().promotion.status == PromotionStatus.DONE)
    written = Promotion(verb="promote", version="first.1", status=PromotionStatus.DONE, message="is served", started=datetime.now(UTC))
    (registry_folder(home(house)) / "promotion.json").write_text(written.model_dump_json())
    assert house.client.training_versions().promotion == written


def test_a_rollback_names_the_version_it_means(house: House) -> None:
    version(home(house), "first.1")
    point(home(house), production="first.2", previous="first.1")
    assert house.client.rollback_version().version == "first.1"
    wait_for(lambda: (home(house) / "asked").exists())
    assert (home(house) / "asked").read_text().startswith("rollback first.1")


def test_without_a_previous_version_there_is_no_rollback(house: House) -> None:
    with pytest.raises(Conflict, match="no previous version"):
        house.client.rollback_version()


def test_an_unknown_version_is_not_promoted(house: House) -> None:
    with pytest.raises(NotFound):
        house.client.promote_version("nothing")
    assert not (home(house) / "asked").exists()


def test_a_key_of_scope_user_looks_and_changes_nothing(house: House) -> None:
    version(home(house), "first.1")
    asyncio.run(add_key(house, USER_KEY, Scope.USER))
    with KeepsakeClient(house.url, USER_KEY) as client:
        assert client.training_versions().versions
        for act in (lambda: client.promote_version("first.1"), client.rollback_version):
            with pytest.raises(PolicyError, match="may not change what is served"):
                act()
    assert not (home(house) / "asked").exists()


async def add_key(house: House, key: str, scope: Scope) -> None:
    store = Store(house.settings)
    await store.keys.add(key, scope)
    await store.close()
