"""A version is served when its gates pass and its weights answer; in every other case production stays what it was, and it is said why."""

import threading

import pytest

from app.errors import Conflict, ModelUnavailable, PolicyError, SetupError, StorageError
from app.registry import DELTA, ENTRY, PromotionStatus
from infra.training import promotion
from infra.training.candidate import of_version
from infra.training.promotion import promote, rollback
from infra.training.registry import Registry
from infra.weights import served
from tests.infra.stack.model_server import free_port, playing_the_server, served_by, started
from tests.infra.training.promoting import WORLDS, bench, finished_run, prepare, worlds


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return prepare(tmp_path, monkeypatch).model_copy(update={"model_port": free_port()})


@pytest.fixture
def registry(settings):
    return Registry(settings)


def take(settings, candidate, figures=WORLDS, **more):
    """Promote with these figures of the worlds bench."""
    return promote(settings, candidate, lambda line: None, again=True, run_bench=bench(figures, **more))


# Gates


def test_production_becomes_previous_and_the_candidate_production(settings, registry):
    version = take(settings, finished_run(settings))
    aliases = registry.aliases()
    assert (aliases.production, aliases.previous, aliases.candidate) == (version.version, "shipped-1", None)
    assert served.build_served(settings).name == f"{version.version}-{version.rebuilt[:12]}"
    assert {path.name for path in (settings.weights_dir / "served").iterdir()} == {served.build_served(settings).name}


def test_every_gate_that_fails_is_named_and_nothing_changes(settings, registry):
    gates = [{"figure": "rebuilt_dev.exact", "at_least": 0.995}, {"figure": "rebuilt_dev.exact", "at_most": 1}]
    with pytest.raises(PolicyError) as error:
        take(settings, finished_run(settings, gates=gates), worlds(0.8))
    assert "2 of 7 gates fail" in error.value.message
    assert "rebuilt_dev.exact is 0.99 (n = 100), at least 0.995 is asked for by the recipe" in error.value.message
    assert "worlds.success is 0.8 (n = 40), at least 0.835 was promised before" in error.value.message
    assert registry.view().serving == "shipped-1" and registry.aliases().production is None
    failed = registry.find(registry.aliases().candidate)
    assert [gate.figure for gate in failed.gates if not gate.passed] == ["rebuilt_dev.exact", "worlds.success"]


def test_what_was_not_measured_does_not_pass(settings, registry):
    with pytest.raises(PolicyError, match=r"worlds\.success was not measured") as error:
        promote(settings, finished_run(settings), print)
    assert "--measure" in error.value.hint
    assert registry.aliases().production is None


def test_the_bench_is_asked_as_the_promise_was_made_and_its_figures_are_kept(settings, registry):
    candidate, asked = finished_run(settings), []
    version = take(settings, candidate, asked=asked)
    [arguments] = asked
    assert arguments[:5] == ["worlds", "--split", "eval", "--n", "40"] and arguments[-1] == "--json"
    assert arguments[-2] == f"weights={candidate.weights(settings)}"
    assert version.figure("worlds.success").n == 40
    with pytest.raises(PolicyError):
        take(settings, finished_run(settings, "seed=1"), worlds(0.5))
    assert promote(settings, of_version(settings, version.version), print) == version, "figures of other weights are not taken for its own"


def test_a_recipe_asks_for_the_benches_that_its_gates_name(settings):
    asked = []
    candidate = finished_run(settings, gates=[{"figure": "reasoning.memento", "at_least": 0.5}])
    take(settings, candidate, WORLDS | {"memento": {"value": 0.6, "n": 90}}, asked=asked)
    assert [arguments[0] for arguments in asked] == ["worlds", "reasoning"]


def test_a_version_may_not_lie_an_interval_below_the_one_before_but_the_goal_stays(settings, registry):
    take(settings, finished_run(settings), worlds(0.9))  # its own interval begins at 0.8
    take(settings, finished_run(settings, "seed=1"), worlds(0.81))  # 0.71, and the goal is 0.8
    with pytest.raises(PolicyError, match=r"at least 0\.8 was promised"):
        take(settings, finished_run(settings, "seed=2"), worlds(0.75))


def test_a_figure_that_is_no_number_passes_nothing(settings):
    with pytest.raises(PolicyError, match=r"worlds\.success is nan"):
        take(settings, finished_run(settings), WORLDS | {"success": {"value": float("nan"), "n": 0}})


def test_a_version_measured_again_is_another_one_and_the_first_stays(settings, registry):
    candidate = finished_run(settings)
    with pytest.raises(PolicyError):
        take(settings, candidate, worlds(0.5))
    first = registry.find(registry.aliases().candidate)
    second = take(settings, of_version(settings, first.version), worlds(0.95))
    assert (first.version, second.version) == (f"{candidate.name}.1", f"{candidate.name}.2")
    assert registry.find(first.version) == first and registry.aliases().production == second.version


# The way back


def test_rollback_goes_back_and_forth(settings, registry):
    version = take(settings, finished_run(settings))
    assert rollback(settings, print).version == "shipped-1"
    assert registry.aliases().production == "shipped-1" and registry.aliases().previous == version.version
    assert rollback(settings, print).version == version.version


def test_without_a_previous_version_there_is_no_way_back(settings):
    with pytest.raises(Conflict, match="no version before shipped-1"):
        rollback(settings, print)


def test_a_rollback_to_what_is_production_already_does_nothing(settings, registry):
    version = take(settings, finished_run(settings))
    rollback(settings, print, to="shipped-1")
    before = registry.aliases()
    rollback(settings, print, to="shipped-1")
    assert registry.aliases() == before and before.previous == version.version
    with pytest.raises(Conflict, match="is not the version before"):
        rollback(settings, print, to="nobody")


def test_a_rollback_needs_nothing_of_the_version_it_leaves(settings, registry):
    version = take(settings, finished_run(settings))
    for name in (ENTRY, DELTA):
        path = registry.path / version.version / name
        path.chmod(0o644)
        path.write_text("{}")
    assert rollback(settings, print).version == "shipped-1"


# What goes wrong


def damage(registry, version) -> None:
    path = registry.path / version.version / DELTA
    path.chmod(0o644)
    path.write_bytes(b"damaged")


def test_a_version_with_a_wrong_hash_is_not_promoted(settings, registry):
    with pytest.raises(PolicyError):
        take(settings, finished_run(settings), worlds(0.5))
    version = registry.find(registry.aliases().candidate)
    damage(registry, version)
    with pytest.raises(SetupError, match=f"{version.version} is missing or damaged"):
        of_version(settings, version.version)


def test_a_previous_version_with_a_wrong_hash_is_not_gone_back_to(settings, registry):
    first = take(settings, finished_run(settings))
    take(settings, finished_run(settings, "seed=1"))
    damage(registry, first)
    for directory in (settings.weights_dir / "served").glob(f"{first.version}-*"):
        directory.rename(settings.home / "gone")
    before = registry.aliases()
    with pytest.raises(SetupError, match="missing or damaged"):
        rollback(settings, print)
    assert registry.aliases() == before and registry.view().promotion.status == PromotionStatus.FAILED


def test_weights_built_before_their_delta_was_damaged_are_served_all_the_same(settings, registry):
    version = take(settings, finished_run(settings))
    damage(registry, version)
    assert version.version in served.build_served(settings).name


def test_weights_that_cannot_be_built_change_nothing(settings, registry, monkeypatch):
    def fails(*arguments):
        raise SetupError("No space left on device", hint="Free some disk.")

    monkeypatch.setattr(served, "run_program", fails)
    with pytest.raises(SetupError, match="No space left"):
        take(settings, finished_run(settings))
    assert registry.aliases().production is None


def test_a_disk_that_is_full_when_the_aliases_are_swapped_changes_nothing(settings, registry, monkeypatch):
    swap = Registry.point

    def full(self, aliases):
        if aliases.production:
            raise StorageError("aliases.json could not be written: No space left on device.", hint="Free some disk, then go on.")
        swap(self, aliases)

    monkeypatch.setattr(Registry, "point", full)
    with pytest.raises(StorageError, match="No space left"):
        take(settings, finished_run(settings))
    assert registry.aliases().production is None and registry.view().serving == "shipped-1"


# With a server that runs


@pytest.fixture
def server(settings, tmp_path):
    with playing_the_server(settings, tmp_path):
        yield started(settings)


def test_the_running_server_takes_up_production_and_gives_it_back(settings, server):
    assert served_by(settings).startswith("shipped-1")
    version = take(settings, finished_run(settings))
    assert served_by(settings).startswith(version.version)
    rollback(settings, print)
    assert served_by(settings).startswith("shipped-1")


def broken_build(build):
    """Builds weights that do not load."""

    def broken(settings, version):
        directory = build(settings, version)
        (directory / "broken").touch()
        return directory

    return broken


def test_weights_that_do_not_come_up_leave_server_and_aliases_as_they_were(settings, server, registry, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "build_version", broken_build(served.build_version))
        with pytest.raises(ModelUnavailable, match="did not come up, what was served before is served again") as error:
            take(settings, finished_run(settings))
    assert "failed" in error.value.hint
    assert served_by(settings).startswith("shipped-1") and registry.aliases().production is None
    assert registry.view().promotion.status == PromotionStatus.FAILED
    version = take(settings, finished_run(settings))
    assert served_by(settings).startswith(version.version), "weights that were damaged are built anew"


def test_a_server_that_does_not_come_back_either_is_not_called_served(settings, server, registry):
    for directory in (settings.weights_dir / "served").iterdir():
        (directory / "broken").touch()  # the one that runs has loaded them long ago
    candidate = finished_run(settings)
    with pytest.raises(ModelUnavailable, match="does not come up again either") as error, pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion, "build_version", broken_build(served.build_version))
        take(settings, candidate)
    assert "keepsake up" in error.value.hint and registry.aliases().production is None


def test_two_promotions_at_once_come_one_after_the_other(settings, server, registry):
    candidates = [finished_run(settings, f"seed={number}") for number in (1, 2)]
    threads = [threading.Thread(target=take, args=(settings, candidate)) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    aliases = registry.aliases()
    assert {aliases.production, aliases.previous} == {f"{candidate.name}.1" for candidate in candidates}
    assert served_by(settings).startswith(aliases.production)


def test_a_promotion_that_was_killed_before_the_server_changed_is_taken_up_again(settings, server, registry, monkeypatch):
    candidate = finished_run(settings)

    def killed(*arguments):
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "switch_model", killed)
        patch.setattr(Registry, "point", keep_the_new(Registry.point))
        with pytest.raises(SystemExit):
            take(settings, candidate)
    assert registry.aliases().production == f"{candidate.name}.1" and served_by(settings).startswith("shipped-1")
    take(settings, candidate)
    assert served_by(settings).startswith(candidate.name) and registry.aliases().previous == "shipped-1"


def keep_the_new(point):
    """A kill undoes nothing."""

    def only_forward(self, aliases):
        if aliases.production or not self.aliases().production:
            point(self, aliases)

    return only_forward


def test_where_a_promotion_stands_is_in_its_file(settings, server, registry):
    seen = []
    promote(settings, finished_run(settings), lambda line: seen.append(registry.view().promotion), again=True, run_bench=bench(WORLDS))
    assert {promotion.status for promotion in seen if promotion} == {PromotionStatus.RUNNING}
    done = registry.view().promotion
    assert (done.status, done.verb) == (PromotionStatus.DONE, "promote") and "is served" in done.message


def test_a_promotion_whose_process_is_gone_has_failed(settings, registry):
    take(settings, finished_run(settings))
    path = registry.path / "promotion.json"
    path.write_text(path.read_text().replace('"done"', '"running"'))
    cut_off = registry.view().promotion
    assert cut_off.status == PromotionStatus.FAILED and "keepsake up" in cut_off.hint


def test_another_endpoint_is_left_alone(settings, registry):
    said = []
    elsewhere = settings.model_copy(update={"model_url": "http://127.0.0.1:9/v1"})
    version = promote(elsewhere, finished_run(settings), said.append, again=True, run_bench=bench(WORLDS))
    assert registry.aliases().production == version.version and "KEEPSAKE_MODEL_URL" in said[-1]
