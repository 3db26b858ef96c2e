from pathlib import Path

import pytest

from app.errors import InvalidInput
from infra.training.hub.config import RECIPES, load_hub_recipe
from infra.training.recipe_file import key_paths, read_recipe

QWEN = RECIPES / "qwen3_8b.yaml"
OURS = sorted(RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_every_recipe_is_named_as_its_file_and_has_the_values_of_the_paper(path):
    recipe = load_hub_recipe(path)
    assert recipe.name == path.stem and load_hub_recipe(Path(path.stem)) == recipe
    train, optimizer = recipe.train, recipe.optimizer
    assert (train.max_length, train.epochs, train.global_batch) == (32_768, 5, 512)
    assert (optimizer.lr, optimizer.warmup_share, optimizer.betas, optimizer.weight_decay, optimizer.clip) == (
        8e-5,
        0.05,
        (0.9, 0.999),
        0,
        1,
    )
    assert [(stage.mask, stage.seed) for stage in recipe.stages] == [("causal", 42), ("memento", 42)]
    assert recipe.lora.r == 0 and recipe.hardware.gradient_checkpointing


def test_what_is_not_said_is_the_papers_too(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nmodel: {path: a}\ndata: {files: [b.jsonl]}")
    mine, theirs = load_hub_recipe(path), load_hub_recipe(QWEN)
    assert (mine.stages, mine.train, mine.optimizer, mine.lora) == (theirs.stages, theirs.train, theirs.optimizer, theirs.lora)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("colour=red", "sets no key"),
        ("lr", "not key=value"),
        ("lr=-1", "optimizer.lr"),
        ("lr=nan", "optimizer.lr"),
        ("stages=[{mask: none}]", "stages.0.mask"),
        ("stages=[{mask: causal, lr: 1}]", "stages.0.lr"),
        ("attention=eager", "hardware.attention"),
        ("parallel=none", "8 processes need parallel"),
        ("processes=7", "global_batch 512 is no multiple of processes x micro_batch = 7"),
        ("files=[]", "data.files"),
        ("name=../x", "name"),
        ("architecture={model_type: mamba}", "model.architecture"),
    ],
)
def test_a_bad_override_is_refused_by_name(override, problem):
    with pytest.raises(InvalidInput, match=problem) as found:
        load_hub_recipe(QWEN, [override])
    assert found.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no recipe"),
        ("- a", "holds no recipe"),
        ("name: {", "no YAML"),
        ("name: x\nmodel: {path: a}\ndata: {files: [b]}\nsurprise: 1", "no key `surprise`"),
        ("name: x\nmodel: {path: a, size: 8}\ndata: {files: [b]}", "no key `model.size`"),
        ("name: x\ndata: {files: [b]}", "model: Field required"),
    ],
)
def test_a_bad_recipe_is_refused(tmp_path, text, problem):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=problem) as found:
        load_hub_recipe(path)
    assert found.value.hint


def test_a_missing_recipe_and_one_in_latin1_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no recipe at"):
        load_hub_recipe(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_bytes("name: häuser".encode("latin-1"))
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_hub_recipe(tmp_path / "x.yaml")


def test_a_run_is_named_by_all_that_decides_the_result_and_not_by_the_machine():
    overrides = ([], ["lr=1e-4"], ["lora.r=16"], ["packing=true"], ["stages=[{mask: memento}]"], ["system=Be brief."], ["model.path=other"])
    assert len({load_hub_recipe(QWEN, list(o)).run_name for o in overrides}) == len(overrides)
    machine = ["parallel=ddp", "processes=4", "micro_batch=2", "attention=sdpa", "memory_gib=40", "checkpoint_steps=9", "purpose=other"]
    assert load_hub_recipe(QWEN, machine).run_name == load_hub_recipe(QWEN).run_name
    assert load_hub_recipe(QWEN, machine).accumulation == 64


def test_rows_are_computed_in_whole_tiles_or_filled_up():
    assert load_hub_recipe(QWEN).computed(1225) == 1280
    assert load_hub_recipe(QWEN, ["attention=sdpa"]).computed(1225) == 1225
    assert load_hub_recipe(QWEN, ["attention=sdpa", "packing=true", "max_length=2000"]).computed(1225) == 2000


def test_the_reader_serves_any_recipe():
    from infra.training.config import Recipe

    path = Path(__file__).parents[4] / "infra" / "training" / "recipes" / "first_team.yaml"
    assert read_recipe(Recipe, path, ["lr=3e-4"], path).optimizer.lr == 3e-4
    assert ("data", "train", "start") in key_paths(Recipe)
