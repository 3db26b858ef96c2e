"""What the server is given: the base, or the base with the newest production delta; built once."""

import json
import sys

import pytest

from app.config import Settings
from app.errors import NotFound, SetupError
from app.registry import Aliases
from infra.training.registry import Registry
from infra.weights import program, served
from infra.weights.manifest import WEIGHTS, tokenizer_hash, write_manifest
from infra.weights.served import build_served, build_version, make_room, served_name, server_options, weights_ready
from tests.infra.training.promoting import finished_run, prepare
from tests.infra.weights.tensors import tiny_llama, write
from tests.infra.weights.test_shipped import entry


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A home whose base is a tiny model; building anything with torch would fail the test."""
    settings = Settings(home=tmp_path, model_name="keepsake-135m")
    base = settings.weights_dir / "base"
    base.mkdir(parents=True)
    write(base / WEIGHTS, tiny_llama(1))
    manifest = write_manifest(base, "tiny", {})
    monkeypatch.setattr(served, "WEIGHTS_SHA256", manifest.weights)
    monkeypatch.setattr(served, "TOKENIZER_SHA256", tokenizer_hash(manifest))
    monkeypatch.setattr(served, "newest_production", lambda: None)
    monkeypatch.setattr(program, "ensure_serving_env", lambda settings: pytest.fail("built the environment"))
    return settings


def stand_in(tmp_path, code):
    """An interpreter that runs `code` whatever it is asked to run."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    path.chmod(0o755)
    return path


def test_the_two_variants_have_names_of_their_own(settings):
    assert served_name(settings, "production") == "keepsake-135m"
    assert served_name(settings, "base") == "keepsake-135m-base"


def test_without_a_production_delta_the_base_is_served_and_it_is_said(settings, capsys):
    assert build_served(settings) == settings.weights_dir / "base"
    assert "no production delta is shipped" in capsys.readouterr().err
    assert weights_ready(settings)


def test_a_missing_base_is_not_ready(tmp_path):
    assert not weights_ready(Settings(home=tmp_path), "base")


def test_a_delta_is_applied_once_and_older_ones_make_room(settings, tmp_path, monkeypatch):
    delta = entry(tmp_path, "first-team")
    monkeypatch.setattr(served, "newest_production", lambda: delta)
    monkeypatch.setattr(type(delta), "path", lambda self: tmp_path / self.file)
    (settings.weights_dir / "served" / "old-000000000000").mkdir(parents=True)
    code = f"""
from pathlib import Path
from infra.weights.manifest import Manifest
asked = dict(zip(sys.argv[4::2], sys.argv[5::2]))
assert sys.argv[1:4] == ["-m", "infra.weights.delta", "apply"], sys.argv
out = Path(asked["--out"])
out.mkdir(parents=True)
(out / "{WEIGHTS}").write_bytes(b"x")
manifest = Manifest(name="first-team", weights="{delta.rebuilt}", tensors={{}}, files={{}})
(out / "manifest.json").write_text(manifest.model_dump_json())
"""
    assert not weights_ready(settings)
    directory = build_served(settings, python=stand_in(tmp_path, code))
    assert directory.name == f"first-team-{delta.rebuilt[:12]}"
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]
    assert weights_ready(settings)
    assert build_served(settings) == directory  # with no interpreter at all: nothing is built


def test_weights_that_an_alias_or_a_running_server_needs_make_no_room(settings, tmp_path, monkeypatch):
    settings = prepare(tmp_path, monkeypatch)
    registry = Registry(settings)
    for candidate in (finished_run(settings, f"seed={number}") for number in (1, 2, 3)):
        with registry.locked():
            build_version(settings, registry.register(candidate.version, candidate.file))
    one, two, three = sorted(registry.view().versions, key=lambda version: version.version)
    directories = {version.version: build_version(settings, version) for version in (one, two, three)}
    registry.point(Aliases(production=one.version, previous=two.version))
    running = settings.weights_dir / "served" / "running"
    running.mkdir()
    settings.run_dir.mkdir(parents=True)
    (settings.run_dir / "model-production.json").write_text(json.dumps({"weights": str(running)}))
    (settings.run_dir / "model-base.json").write_text("no record")
    make_room(settings)
    kept = set((settings.weights_dir / "served").iterdir())
    assert kept == {directories[one.version], directories[two.version], running}


def test_where_it_is_not_known_what_is_needed_nothing_makes_room(settings, tmp_path, capsys):
    stray = settings.weights_dir / "served" / "stray"
    stray.mkdir(parents=True)
    registry = Registry(settings)
    registry.path.mkdir(parents=True)
    (registry.path / "aliases.json").write_text("{")
    make_room(settings)
    assert stray.is_dir() and "Remove the file" in capsys.readouterr().err


def test_the_alias_production_decides_over_what_ships(settings, tmp_path, monkeypatch):
    settings = prepare(tmp_path, monkeypatch)
    registry, candidate = Registry(settings), finished_run(settings)
    assert build_served(settings).name.startswith("shipped-1-")
    with registry.locked():
        version = registry.register(candidate.version, candidate.file)
        registry.point(Aliases(production=version.version))
    assert not weights_ready(settings)
    assert build_served(settings).name == f"{version.version}-{version.rebuilt[:12]}" and weights_ready(settings)
    registry.point(Aliases(production="gone"))
    with pytest.raises(SetupError, match="gone from the registry") as error:
        build_served(settings)
    assert "rollback" in error.value.hint


def test_a_damaged_version_is_told_of_before_anything_is_built_for_it(settings, tmp_path, monkeypatch):
    settings = prepare(tmp_path, monkeypatch)
    registry, candidate = Registry(settings), finished_run(settings)
    with registry.locked():
        version = registry.register(candidate.version, candidate.file)
    path = registry.path / version.version / "delta.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"x")
    monkeypatch.setattr(served, "_base", lambda *arguments: pytest.fail("built the base"))
    with pytest.raises(SetupError, match="missing or damaged"):
        build_version(settings, version)


def test_a_home_that_takes_no_copy_of_what_ships_is_served_all_the_same(settings, tmp_path, monkeypatch, capsys):
    settings = prepare(tmp_path, monkeypatch)
    monkeypatch.setattr("infra.training.registry.shutil.copyfile", full)
    assert build_served(settings).name.startswith("shipped-1-")
    assert "not in the registry" in capsys.readouterr().err


def full(*arguments):
    raise OSError(28, "No space left on device")


def test_weights_with_the_tokenizer_of_another_version_are_not_ready(settings):
    base = settings.weights_dir / "base"
    (base / "tokenizer.json").write_text("{}")
    write_manifest(base, "tiny", {})
    assert not weights_ready(settings, "base")
    assert not weights_ready(settings)


def test_the_error_of_the_program_with_torch_comes_back_typed(settings, tmp_path, monkeypatch):
    delta = entry(tmp_path, "first-team")
    monkeypatch.setattr(served, "newest_production", lambda: delta)
    monkeypatch.setattr(type(delta), "path", lambda self: tmp_path / self.file)
    code = 'sys.stderr.write("error: wrong base: abc\\nhint: build it again\\n"); sys.exit(1)'
    with pytest.raises(SetupError, match="wrong base: abc") as error:
        build_served(settings, python=stand_in(tmp_path, code))
    assert error.value.hint == "build it again"


def test_a_program_that_dies_without_a_word_of_ours_is_named(settings, tmp_path, monkeypatch):
    delta = entry(tmp_path, "first-team")
    monkeypatch.setattr(served, "newest_production", lambda: delta)
    monkeypatch.setattr(type(delta), "path", lambda self: tmp_path / self.file)
    with pytest.raises(SetupError, match=r"infra\.weights\.delta failed: MemoryError"):
        build_served(settings, python=stand_in(tmp_path, "raise MemoryError"))


def test_an_added_model_is_served_by_its_name_and_the_base_stays_the_embedded_one(settings):
    directory = settings.weights_dir / "added" / "my-llama"
    directory.mkdir(parents=True)
    write(directory / WEIGHTS, tiny_llama(2))
    (directory / "config.json").write_text('{"max_position_embeddings": 2048}')
    write_manifest(directory, "my-llama", {})
    named = settings.model_copy(update={"model_name": "my-llama"})
    assert build_served(named) == directory
    assert weights_ready(named)
    assert served_name(named, "production") == "my-llama"
    assert served_name(named, "base") == "keepsake-135m-base"
    assert server_options(named) == ("--max-model-len", "2048")
    assert server_options(settings) == server_options(named, "base") == ()


def test_a_name_that_was_not_added_is_not_served_by_another_model(settings):
    named = settings.model_copy(update={"model_name": "my-llama"})
    assert not weights_ready(named)
    with pytest.raises(NotFound, match="no model my-llama"):
        build_served(named)
