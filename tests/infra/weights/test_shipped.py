"""The manifest of shipped deltas decides what is served."""

from datetime import date

import pytest

from app.errors import SetupError
from infra.weights.base import WEIGHTS_SHA256
from infra.weights.delta import MAX_BYTES, read_header
from infra.weights.manifest import file_hash
from infra.weights.shipped import DIRECTORY, ShippedDelta, newest_production, register, shipped_deltas


def entry(directory, name, status="production", content=b"delta"):
    file = directory / f"{name}.safetensors"
    file.write_bytes(content)
    return ShippedDelta(
        name=name,
        file=file.name,
        sha256=file_hash(file),
        status=status,
        created=date(2025, 1, 2),
        base="b" * 64,
        rebuilt="a" * 64,
        recipe="infra/training/recipes/first_team.yaml",
        data_sha256="c" * 64,
        seeds=[0, 8999],
        commit="0" * 40,
        metrics={"decisions": 0.94},
    )


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "manifest.json").write_text("[]")
    return tmp_path


def test_the_last_production_entry_is_served(shelf):
    for name, status in (("first", "production"), ("second", "production"), ("third", "candidate")):
        register(entry(shelf, name, status), shelf)
    assert newest_production(shelf).name == "second"


def test_nothing_is_served_from_an_empty_shelf(shelf):
    assert newest_production(shelf) is None


def test_registering_again_keeps_the_place(shelf):
    for name in ("first", "second"):
        register(entry(shelf, name), shelf)
    register(entry(shelf, "first", "retired", b"other"), shelf)
    assert [(e.name, e.status) for e in shipped_deltas(shelf)] == [("first", "retired"), ("second", "production")]


def test_a_file_unlike_its_entry_is_refused(shelf):
    known = entry(shelf, "first")
    register(known, shelf)
    (shelf / known.file).write_bytes(b"damaged")
    with pytest.raises(SetupError, match="missing or damaged"):
        known.path(shelf)


@pytest.mark.parametrize("text", ["", "{}", '[{"name": "../up"}]'])
def test_a_broken_manifest_is_a_setup_error(shelf, text):
    (shelf / "manifest.json").write_text(text)
    with pytest.raises(SetupError, match="broken"):
        shipped_deltas(shelf)


def test_what_this_repository_ships_is_whole_small_and_made_for_its_base():
    for shipped in shipped_deltas():
        header = read_header(shipped.path())
        assert (header.base, header.rebuilt) == (shipped.base, shipped.rebuilt)
        assert shipped.base == WEIGHTS_SHA256
        assert (DIRECTORY / shipped.file).stat().st_size <= MAX_BYTES
