"""A home with base weights and finished runs of a recipe, none of them real: hashes and files are as a run leaves them, no torch is needed."""

import hashlib
import json
from pathlib import Path

import yaml

from app.config import Settings
from app.training import RunManifest
from infra.training.candidate import Candidate, of_run
from infra.training.config import load_recipe
from infra.training.manifest import now, write_run_manifest
from infra.training.run_folder import RunFolder
from infra.weights import served
from infra.weights.delta import DeltaHeader, read_header
from infra.weights.manifest import WEIGHTS, Manifest, file_hash, tokenizer_hash, write_manifest
from infra.weights.shipped import ShippedDelta, register
from tests.infra.weights.tensors import write

WORLDS = {
    "success": {"value": 0.95, "ci95": [0.835, 0.9862], "n": 40},
    **{f"success_{family}": {"value": 0.9, "ci95": [0.5958, 0.9821], "n": 10} for family in ("lookup", "ticket", "order", "summary")},
}


def worlds(success: float) -> dict:
    """What the bench says of weights that solve this share of all tasks."""
    return WORLDS | {"success": {"value": success, "ci95": [success - 0.1, success + 0.02], "n": 40}}


def prepare(home: Path, monkeypatch) -> Settings:
    """A home with tiny base weights; a shelf with one shipped delta, `shipped-1`; applying a delta is a stand-in."""
    settings = Settings(home=home / "home", model_port=1)
    base = settings.weights_dir / "base"
    base.mkdir(parents=True)
    write(base / WEIGHTS, {"w": ([2], [1.0, 2.0])})
    manifest = write_manifest(base, "tiny", {})
    monkeypatch.setattr(served, "WEIGHTS_SHA256", manifest.weights)
    monkeypatch.setattr(served, "TOKENIZER_SHA256", tokenizer_hash(manifest))
    monkeypatch.setattr(served, "run_program", apply)
    shelf = home / "shelf"
    shelf.mkdir()
    (shelf / "manifest.json").write_text("[]")
    shipped = ship(shelf, "shipped-1")
    for module in ("infra.weights.served", "infra.training.promotion"):
        monkeypatch.setattr(f"{module}.newest_production", lambda: shipped)
    monkeypatch.setattr("infra.training.candidate.shipped_deltas", lambda: [shipped])
    monkeypatch.setattr(ShippedDelta, "path", lambda self: shelf / self.file)
    return settings


def delta_file(path: Path, content: str) -> tuple[str, str]:
    """A file with a delta's header; base and rebuilt are hashes made of words."""
    base, rebuilt = hashlib.sha256(b"base").hexdigest(), hashlib.sha256(content.encode()).hexdigest()
    header = DeltaHeader(name=path.stem, base=base, rebuilt=rebuilt, tensors={})
    text = json.dumps({"__metadata__": {"keepsake": header.model_dump_json()}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return base, rebuilt


def ship(shelf: Path, name: str) -> ShippedDelta:
    file = shelf / f"{name}.safetensors"
    base, rebuilt = delta_file(file, name)
    about = {"recipe": "first_team.yaml", "data_sha256": "c" * 64, "seeds": [0, 480], "commit": "0" * 12, "metrics": {"worlds": WORLDS}}
    entry = ShippedDelta(
        name=name, file=file.name, sha256=file_hash(file), status="production", created=now().date(), base=base, rebuilt=rebuilt, **about
    )
    register(entry, shelf)
    return entry


def apply(settings, python, module, verb, *arguments) -> None:
    """In place of `infra.weights.delta apply`: a directory whose manifest says what the delta promises."""
    asked = dict(zip(arguments[::2], arguments[1::2], strict=True))
    out = asked["--out"]
    out.mkdir(parents=True)
    (out / WEIGHTS).write_bytes(b"x")
    manifest = Manifest(name="made", weights=read_header(asked["--delta"]).rebuilt, tensors={}, files={})
    (out / "manifest.json").write_text(manifest.model_dump_json())


def finished_run(
    settings: Settings, *overrides: str, gates: list[dict] | None = None, exact: float = 0.99, content: str = "new"
) -> Candidate:
    """A finished run of a small recipe, as `keepsake train promote RECIPE` finds it."""
    path = settings.home / "small.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"name": "small", "purpose": "a test", "gates": gates or []}))
    recipe = load_recipe(path, list(overrides))
    folder = RunFolder(settings, recipe)
    folder.path.mkdir(parents=True, exist_ok=True)
    base, rebuilt = delta_file(folder.delta, f"{recipe.run_name} {content}")
    manifest = RunManifest(
        status="finished",
        name=recipe.run_name,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe.digest,
        commit="abc",
        dirty=False,
        base=base,
        init=base,
        data={"hashes": {"all": "d" * 64}, "counts": {"train": 100, "dev": 10, "eval": 10}},
        device="a processor",
        precision="float32",
        threads=2,
        packages={},
        started=now(),
        steps=10,
        steps_done=10,
        tokens=1000,
        seconds=10,
        metrics={"rebuilt_dev": {"exact": exact, "n": 100}},
        artifacts={folder.delta.name: file_hash(folder.delta), "rebuilt": rebuilt},
    )
    write_run_manifest(folder.path, manifest)
    return of_run(settings, recipe, path.name)


def bench(figures: dict, asked: list | None = None):
    """In place of `keepsake bench`."""

    def run(arguments) -> str:
        if asked is not None:
            asked.append(list(arguments))
        return "a table\n" + json.dumps({"bench": arguments[0], "commit": "abc", "n": 40, "figures": figures}) + "\n"

    return run
