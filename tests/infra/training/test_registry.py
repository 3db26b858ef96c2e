"""Versions are immutable, aliases swap whole, and whatever is killed, damaged or full leaves both as they were."""

import os
import threading

import pytest

from app.errors import NotFound, SetupError, StorageError
from app.registry import CARD, DELTA, ENTRY, Aliases, read_aliases, read_registry
from infra.training.registry import Registry
from infra.weights.served import build_served
from tests.infra.training.promoting import finished_run, prepare


@pytest.fixture
def settings(tmp_path, monkeypatch):
    return prepare(tmp_path, monkeypatch)


@pytest.fixture
def registry(settings):
    return Registry(settings)


def enter(registry, candidate):
    with registry.locked():
        return registry.register(candidate.version, candidate.file)


def test_a_registered_run_has_entry_delta_and_card(settings, registry):
    candidate = finished_run(settings)
    version = enter(registry, candidate)
    assert version.version == f"{candidate.name}.1" and registry.find(version.version) == version
    assert registry.delta(version).read_bytes() == candidate.file.read_bytes()
    card = (registry.path / version.version / CARD).read_text()
    for word in (
        "SmolLM2-135M",
        "Apache",
        "100 examples",
        "small.yaml",
        "| rebuilt_dev.exact | 0.99 | 0.9455 to 0.9982 | 100 |",
        "Limits",
        "abc",
    ):
        assert word in card, word


def test_the_same_is_registered_once_and_other_figures_are_another_version(settings, registry):
    first = enter(registry, finished_run(settings))
    assert enter(registry, finished_run(settings)) == first
    assert enter(registry, finished_run(settings, exact=0.5)).version == f"{first.run}.2"
    assert enter(registry, finished_run(settings, content="trained again")).version == f"{first.run}.3"
    assert registry.find(first.version) == first


def test_files_of_a_version_are_for_reading_only(settings, registry):
    version = enter(registry, finished_run(settings))
    assert {path.stat().st_mode & 0o777 for path in (registry.path / version.version).iterdir()} == {0o444}


def test_a_delta_with_a_wrong_hash_is_refused_by_the_name_of_its_entry(settings, registry):
    version = enter(registry, finished_run(settings))
    path = registry.path / version.version / DELTA
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(SetupError, match=f"{version.version} is missing or damaged") as error:
        registry.delta(version)
    assert "rollback" in error.value.hint


def test_an_entry_that_speaks_of_other_weights_than_its_delta_is_refused(settings, registry):
    version = enter(registry, finished_run(settings))
    with pytest.raises(SetupError, match="describes other weights"):
        registry.delta(version.model_copy(update={"rebuilt": "0" * 64}))


def test_a_run_whose_delta_was_changed_since_is_not_registered(settings, registry):
    candidate = finished_run(settings)
    candidate.file.write_bytes(b"other")
    with pytest.raises(SetupError, match="not the delta that"):
        enter(registry, candidate)
    assert registry.view().versions == []


@pytest.mark.parametrize("text", ["", "{}", '{"version": "other"}'])
def test_a_broken_entry_is_told_of_and_hides_no_other(settings, registry, text):
    good, bad = enter(registry, finished_run(settings)), enter(registry, finished_run(settings, "lr=1e-4"))
    path = registry.path / bad.version / ENTRY
    path.chmod(0o644)
    path.write_text(text)
    view = registry.view()
    assert [version.version for version in view.versions] == [good.version]
    assert bad.version in view.problems[0] and "register its run again" in view.problems[0]
    with pytest.raises(StorageError):
        registry.find(bad.version)


@pytest.mark.parametrize("name", ["nothing", "../home", ".", "", "a\0b", "x" * 300])
def test_an_unknown_version_is_not_found(registry, name):
    with pytest.raises(NotFound):
        registry.find(name)


def test_broken_aliases_are_an_error_that_says_what_to_do(settings, registry):
    registry.path.mkdir(parents=True)
    (registry.path / "aliases.json").write_text("{")
    with pytest.raises(StorageError) as error:
        registry.aliases()
    assert "Remove the file" in error.value.hint


# What goes wrong in the middle


def killed_at(step: int, work) -> bool:
    """Do `work` in a child that is killed, without a word, at the `step`th call that changes something on disk. False if it ended before."""
    child = os.fork()
    if child == 0:
        calls = 0

        def counted(real):
            def call(*arguments, **more):
                nonlocal calls
                calls += 1
                if calls == step:
                    os._exit(9)
                return real(*arguments, **more)

            return call

        for name in ("fsync", "rename", "replace", "chmod", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_at_any_step_leaves_a_version_whole_or_absent(settings, registry):
    candidate = finished_run(settings)
    whole, step = 0, 1
    while killed_at(step, lambda: enter(registry, candidate)):
        for version in registry.view().versions:
            registry.delta(version)
            assert (registry.path / version.version / CARD).read_text()
            whole += 1
        assert registry.view().problems == []
        step += 1
    assert step > 8 and whole, "no step was hit before and after the version was there"
    assert enter(registry, candidate).version == f"{candidate.name}.1"
    enter(registry, finished_run(settings, "lr=1e-4"))
    assert [path.name for path in registry.path.iterdir() if path.name.startswith(".")] == [], "the next one tidies up"


def test_a_kill_at_any_step_leaves_the_aliases_old_or_new(registry):
    old, new = Aliases(production="a", previous="b"), Aliases(production="c", previous="a")
    registry.point(old)
    seen, step = set(), 1
    while killed_at(step, lambda: registry.point(new)):
        seen.add(read_aliases(registry.home).production)
        registry.point(old)
        step += 1
    assert seen == {"a"} and read_aliases(registry.home) == new


def full(*arguments, **more):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("at", ["shutil.copyfile", "os.fsync"])
def test_a_full_disk_leaves_nothing_half_written(settings, registry, monkeypatch, at):
    candidate = finished_run(settings)
    with monkeypatch.context() as patch:
        patch.setattr(at, full)
        with pytest.raises(StorageError, match="No space left") as error:
            enter(registry, candidate)
    assert "Free some disk" in error.value.hint
    assert list(registry.path.iterdir()) == [] and read_registry(settings.home).versions == []
    assert enter(registry, candidate)


def test_a_full_disk_keeps_the_aliases(registry, monkeypatch):
    registry.point(Aliases(production="a"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            registry.point(Aliases(production="b"))
    assert registry.aliases().production == "a"
    assert [path.name for path in registry.path.iterdir()] == ["aliases.json"]


def test_two_that_register_at_once_get_a_name_each(settings, registry):
    candidates = [finished_run(settings, f"seed={number}") for number in (1, 2, 3)]
    candidates += candidates
    threads = [threading.Thread(target=enter, args=(registry, candidate)) for candidate in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version.version for version in registry.view().versions) == sorted(f"{c.name}.1" for c in candidates[:3])


def test_a_promotion_waits_for_the_one_before_it(registry):
    entered = threading.Event()

    def second() -> None:
        with registry.locked():
            entered.set()

    with registry.locked():
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(5)
    thread.join()


def test_a_start_of_the_model_server_waits_for_no_promotion(settings, registry):
    with registry.locked():
        assert build_served(settings).name.startswith("shipped-1")
    assert registry.view().serving == "shipped-1"
