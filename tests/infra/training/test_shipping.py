from datetime import date

import pytest

from app.config import Settings
from app.errors import SetupError
from infra.training.command import RECIPES
from infra.training.config import load_recipe
from infra.training.manifest import RunManifest, now
from infra.training.run_folder import RunFolder
from infra.training.shipping import ship_delta
from infra.weights.manifest import file_hash
from infra.weights.shipped import newest_production, shipped_deltas

FIRST = RECIPES / "first_team.yaml"


def _finished(home):
    """The folder and the manifest of a finished run."""
    recipe = load_recipe(FIRST)
    folder = RunFolder(Settings(home=home), recipe)
    folder.path.mkdir(parents=True)
    folder.delta.write_bytes(b"delta")
    manifest = RunManifest(
        status="finished",
        name=recipe.run_name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe.digest,
        commit="abc",
        dirty=True,
        base="b" * 64,
        init="b" * 64,
        data={"hashes": {"all": "d" * 64}},
        device="a processor",
        precision="float32",
        threads=2,
        packages={},
        started=now(),
        steps=1,
        metrics={"rebuilt_eval": {"exact": 0.97}},
        artifacts={folder.delta.name: file_hash(folder.delta), "rebuilt": "e" * 64},
    )
    return folder, manifest


@pytest.fixture
def shipped(tmp_path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "manifest.json").write_text("[]")
    return tmp_path / "shipped"


def test_a_shipped_run_is_what_is_served(tmp_path, shipped):
    folder, manifest = _finished(tmp_path)
    ship_delta(folder, manifest, FIRST, "production", date(2026, 1, 2), shipped)
    entry, seeds = newest_production(shipped), load_recipe(FIRST).data.train
    assert entry is not None and entry.path(shipped).read_bytes() == b"delta"
    assert (entry.recipe, entry.seeds, entry.commit) == ("first_team.yaml", [seeds.start, seeds.stop], "abc+")
    assert entry.metrics["rebuilt_eval"] == {"exact": 0.97}


def test_shipping_again_replaces_the_entry(tmp_path, shipped):
    folder, manifest = _finished(tmp_path)
    for status in ("candidate", "production"):
        ship_delta(folder, manifest, FIRST, status, date(2026, 1, 2), shipped)
    assert [entry.status for entry in shipped_deltas(shipped)] == ["production"]


def test_another_file_than_the_run_made_is_not_shipped(tmp_path, shipped):
    folder, manifest = _finished(tmp_path)
    folder.delta.write_bytes(b"other")
    with pytest.raises(SetupError, match="missing or damaged"):
        ship_delta(folder, manifest, FIRST, "production", date(2026, 1, 2), shipped)
    assert shipped_deltas(shipped) == []
