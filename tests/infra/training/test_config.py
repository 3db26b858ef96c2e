import pytest

from app.errors import InvalidInput
from infra.training.command import RECIPES
from infra.training.config import load_recipe

FIRST = RECIPES / "first_team.yaml"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_in_the_repository_is_valid_and_named_as_its_file(path):
    assert load_recipe(path).name == path.stem


def test_an_override_goes_by_full_path_or_by_a_unique_last_name():
    recipe = load_recipe(FIRST, ["lr=3e-4", "train.tokens=2e5", "data.train.stop=10", "init=elsewhere"])
    assert (recipe.optimizer.lr, recipe.train.tokens, recipe.data.train.stop, str(recipe.train.init)) == (3e-4, 200_000, 10, "elsewhere")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("tokens", "not key=value"),
        ("stop=5", "ambiguous"),
        ("color=red", "sets no key"),
        ("train=5", "sets no key"),
        ("tokens=many", "train.tokens"),
        ("lr=-1", "optimizer.lr"),
        ("lr=nan", "optimizer.lr"),
        ("data.train.stop=0", "data.train"),
        ("data.traces.parts={coin_flip: 0.5}", "coin_flip"),
        ("floor=2000", "floor 2000 is above ceiling"),
        ("name=../x", "name"),
        ("tokens=[", "no YAML value"),
    ],
)
def test_a_bad_override_is_refused_by_name(override, problem):
    with pytest.raises(InvalidInput, match=problem):
        load_recipe(FIRST, [override])


@pytest.mark.parametrize("text", ["", "- a", "name: x\nsurprise: 1", "name: x\ntrain: 5", "name: {"])
def test_a_bad_recipe_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_recipe(path)


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no recipe at"):
        load_recipe(tmp_path / "x.yaml")


def test_the_run_is_named_by_all_that_decides_the_result():
    names = [load_recipe(FIRST, o).run_name for o in ([], ["lr=1e-4"], ["data.train.stop=7"], ["train.seed=1"])]
    assert len(set(names)) == 4
    assert load_recipe(FIRST, ["workers=1", "purpose=other"]).run_name == names[0]


@pytest.mark.parametrize(
    "gate", ["{figure: worlds.success}", "{figure: worlds.success, at_least: 1, at_most: 2}", "{figure: worlds, at_least: 1}"]
)
def test_a_gate_names_a_figure_and_one_bound(tmp_path, gate):
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\ngates: [{gate}]")
    with pytest.raises(InvalidInput, match="gate"):
        load_recipe(path)


def test_gates_do_not_name_the_run(tmp_path):
    path, names = tmp_path / "x.yaml", set()
    for gates in ("[]", "[{figure: worlds.success, at_least: 0.8}]"):
        path.write_text(f"name: x\ngates: {gates}")
        names.add(load_recipe(path).run_name)
    assert len(names) == 1
