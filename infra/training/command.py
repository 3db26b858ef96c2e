"""`keepsake train`: what one does with a recipe, its run and the versions that come of it. Imports without torch; what needs torch runs in the
environment .venv-train.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from app.config import get_settings
from app.errors import Conflict, InvalidInput, KeepsakeError, NotFound, SetupError
from infra.training.config import Recipe, load_recipe

if TYPE_CHECKING:
    from app.registry import RegistryView
    from infra.training.registry import Registry

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENT = CHECKOUT / ".venv-train"
RECIPES = Path(__file__).parent / "recipes"


class TrainGroup(typer.core.TyperGroup):
    """`keepsake train RECIPE` is `keepsake train run RECIPE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0].endswith((".yaml", ".yml")):
            args = ["run", *args]
        return super().parse_args(ctx, args)


train = typer.Typer(no_args_is_help=True, cls=TrainGroup, help="Fine-tune the embedded model.")
app = typer.Typer()
app.add_typer(train, name="train")

RecipePath = Annotated[Path, typer.Argument(help="A recipe file, or the name of one of infra/training/recipes.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings over the recipe's, such as tokens=200000.")]


@train.command()
def validate(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Check a recipe and print it with all its settings and the name that its run would have."""
    with typed_errors():
        checked = _recipe(recipe, overrides)
        typer.echo(f"# run {checked.run_name}")
        typer.echo(yaml.safe_dump(checked.model_dump(mode="json"), sort_keys=False), nl=False)


@train.command()
def data(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Make the examples, and print how many of each decision type there are and how many the run would see."""
    with typed_errors():
        checked = _inside(recipe, overrides)
        from infra.training.data import load_data
        from infra.training.directory import base_weights
        from infra.training.plan import make_plan
        from infra.training.selection import counts
        from infra.training.tokens import Encoder

        settings, console = get_settings(), Console(stderr=True)
        found = load_data(checked.data, checked.evaluation, settings.home / "training" / "data", console.print)
        plan = make_plan(checked, found.train, Encoder(base_weights(settings)), checked.train.tokens_per_step or 2048)
        summary = plan.summary
        table = Table(
            title=f"{len(found.train)} different examples, {found.repeated} repeats dropped, {found.shared} learned decisions not measured"
        )
        for heading in ("decision type", "there are", "the run sees"):
            table.add_column(heading)
        for kind, count in counts(found.train).items():
            table.add_row(kind, str(count), str(summary["kinds"].get(kind, 0)))
        console.print(table)
        computed = {k: v for k, v in summary.items() if k != "kinds"}
        typer.echo(
            json.dumps({**computed, "steps": len(plan.steps), "dev": len(found.dev), "eval": len(found.eval), "hashes": found.hashes})
        )


@train.command()
def run(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Train, measure, pack the delta and measure what is rebuilt from it. SIGTERM and Ctrl-C save first; `resume` goes on."""
    _train(recipe, overrides, resume=False)


@train.command()
def resume(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Go on with a stopped run, bit for bit as if it had not stopped. Recipe and overrides must be the run's own."""
    _train(recipe, overrides, resume=True)


@train.command("eval")
def evaluate_weights(
    recipe: RecipePath,
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="dev (tune on this) or eval (measure, never tune).")] = "dev",
    weights: Annotated[str, typer.Option(help="rebuilt or tuned (the run's), base, or a directory.")] = "rebuilt",
) -> None:
    """Exact match of weights on the recipe's held-out examples; the last line is one JSON object, failures go into a file."""
    with typed_errors():
        checked = _inside(recipe, overrides)
        if split not in ("dev", "eval"):
            raise InvalidInput(f"There is no held-out split `{split}`.", hint="One of dev, eval.")
        from infra.training.data import load_data
        from infra.training.directory import base_weights
        from infra.training.evaluate import measure, write_report
        from infra.training.precision import pick_device, pick_precision, prepare_process
        from infra.training.run_folder import RunFolder
        from infra.training.tokens import Encoder

        settings, console, device = get_settings(), Console(stderr=True), pick_device()
        prepare_process(checked.train.threads)
        folder, base = RunFolder(settings, checked), base_weights(settings)
        directory = {"rebuilt": folder.rebuilt, "tuned": folder.tuned, "base": base}.get(weights, Path(weights))
        if not directory.is_dir():
            raise NotFound(f"There are no weights at {directory}.", hint="Train first, or name a directory with --weights.")
        found = load_data(checked.data, checked.evaluation, settings.home / "training" / "data", console.print)
        examples = found.dev if split == "dev" else found.eval
        report = measure(
            f"{weights} on {split}",
            directory,
            Encoder(base, checked.policy),
            examples,
            pick_precision(checked.train.precision, device),
            device,
        )
        target = folder.evaluation if folder.path.is_dir() else settings.home / "training" / "evaluation"
        name = f"{weights if weights in ('rebuilt', 'tuned', 'base') else directory.name}_{split}"
        write_report(target, name, report)
        for title, shares in (("role", report.roles), ("family", report.families), ("decision type", report.kinds)):
            table = Table(title, "exact", "n")
            for key, share in shares.items():
                table.add_row(key, f"{share.value:.3f}", str(share.n))
            console.print(table)
        console.print(f"failures: {target / f'{name}.failures.json'}", soft_wrap=True)
        typer.echo(json.dumps({"weights": weights, "split": split, **report.summary}))


@train.command()
def ship(
    recipe: RecipePath,
    overrides: Overrides = None,
    status: Annotated[str, typer.Option(help="production (it is served from now on) or candidate.")] = "candidate",
) -> None:
    """Copy a finished run's delta into infra/weights/shipped and enter it in the manifest there."""
    with typed_errors():
        checked = _recipe(recipe, overrides)
        if status not in ("production", "candidate"):
            raise InvalidInput(f"There is no status `{status}`.", hint="One of production, candidate.")
        from infra.training.manifest import read_run_manifest
        from infra.training.measuring import measured
        from infra.training.run_folder import RunFolder
        from infra.training.shipping import ship_delta

        folder = RunFolder(get_settings(), checked)
        manifest = read_run_manifest(folder.path)
        if manifest is None or manifest.status != "finished":
            raise Conflict(f"The run {checked.run_name} is not finished.", hint="Run or resume it first.")
        figures = measured(get_settings(), manifest.artifacts["rebuilt"])
        entry = ship_delta(folder, manifest, _recipe_file(recipe), status, date.today(), figures=figures)
        typer.echo(f"{entry.name}: {entry.status}, {entry.file}")


@train.command()
def promote(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_VERSION", help="A recipe whose run has finished, or a version of the registry.")
    ],
    overrides: Overrides = None,
    measure: Annotated[bool, typer.Option("--measure", help="Run the benches that the gates need first: minutes to an hour.")] = False,
) -> None:
    """Register a finished run, check its gates, and have the running model server take it up. Exit code 1 names every gate that fails."""
    with typed_errors():
        from infra.training.candidate import of_run, of_version
        from infra.training.promotion import promote as promote_candidate

        settings, path = get_settings(), Path(recipe)
        if path.suffix in (".yaml", ".yml") or _recipe_file(path).is_file():
            candidate = of_run(settings, _recipe(path, overrides), _recipe_file(path).name)
        elif overrides:
            raise InvalidInput(f"There is no recipe {recipe}, and a version takes no settings.", hint="Name a recipe, or leave them out.")
        else:
            candidate = of_version(settings, recipe)
        typer.echo(promote_candidate(settings, candidate, _say, measure).version)


@train.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="The version that is meant; when it is production already, nothing happens.")
    ] = None,
) -> None:
    """Make the previous version production again, in the running model server as well."""
    with typed_errors():
        from infra.training.promotion import rollback as roll_back

        typer.echo(roll_back(get_settings(), _say, version).version)


@train.command()
def versions(as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False) -> None:
    """The registry: versions, what they are called by, and their gates. Every file is checked against its hash."""
    with typed_errors():
        from infra.training.registry import Registry
        from infra.weights.shipped import newest_production

        registry = Registry(get_settings())
        if shipped := newest_production():
            registry.adopt(shipped)
        view = registry.view()
        if as_json:
            typer.echo(view.model_dump_json())
            return
        Console().print(_version_table(registry, view))
        for problem in view.problems:
            typer.secho(problem, fg="red", err=True)


def _version_table(registry: "Registry", view: "RegistryView") -> Table:
    aliases = {name: alias for alias, name in view.aliases.model_dump().items()} | {view.serving: "production"}
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "", "registered", "gates", "file"):
        table.add_column(heading, overflow="fold")
    for entry in view.versions:
        failing = "\n".join(f"[red]{gate}[/]" for gate in entry.gates if not gate.passed)
        try:
            registry.delta(entry)
            file = "whole"
        except SetupError as error:
            file = f"[red]{error.message}[/]"
        gates = failing or f"{len(entry.gates)} passed"
        table.add_row(entry.version, aliases.get(entry.version, ""), f"{entry.created:%Y-%m-%d %H:%M}", gates, file)
    return table


def _say(line: str) -> None:
    typer.echo(f"registry: {line}", err=True)


def _train(path: Path, overrides: list[str] | None, *, resume: bool) -> None:
    with typed_errors():
        recipe = _inside(path, overrides)
        from infra.training.job import Job

        manifest = Job(get_settings(), recipe).start(resume)
        if manifest.status == "stopped":
            words = " ".join(["keepsake train resume", str(path), *(overrides or [])])
            typer.echo(f"stopped after step {manifest.steps_done} of {manifest.steps}; go on with: {words}", err=True)
            return
        typer.echo(json.dumps({"run": manifest.name, "status": manifest.status, **manifest.metrics}))


def training_python(environment: Path = ENVIRONMENT) -> Path:
    """The interpreter of the training environment. Raises SetupError when it was not made."""
    python = environment / "bin" / "python"
    if not python.exists():
        raise SetupError("The training environment is not installed.", hint="Run `make setup-train` in the checkout.")
    return python


def _inside(path: Path, overrides: list[str] | None, execute: Callable[..., Any] = os.execv) -> Recipe:
    """The checked recipe, in a process that has torch: this one, or this one replaced by one of the training environment."""
    recipe = _recipe(path, overrides)
    if importlib.util.find_spec("torch") is None:
        python = training_python()
        sys.stdout.flush()
        sys.stderr.flush()
        execute(python, [str(python), "-m", "infra.training", *sys.argv[1:]])
    return recipe


def _recipe(path: Path, overrides: list[str] | None) -> Recipe:
    return load_recipe(_recipe_file(path), overrides or [])


def _recipe_file(path: Path) -> Path:
    """A bare name means one of ours."""
    return path if path.suffix else RECIPES / f"{path}.yaml"


@contextmanager
def typed_errors(again: str = "`keepsake train resume` takes up a run at its last checkpoint") -> Iterator[None]:
    """A typed error as a message and a hint: exit 2 for a wrong request, 1 for everything else. `again`: how to go on after a full disk."""
    try:
        yield
    except KeepsakeError as error:
        typer.secho(error.message, fg="red", err=True)
        typer.echo(error.hint, err=True)
        raise typer.Exit(2 if error.boundary == "user" else 1) from None
    except OSError as error:  # a disk that is full in the middle of a log line, a home that cannot be written
        typer.secho(f"{error.filename or 'The system'}: {error.strerror or error}.", fg="red", err=True)
        typer.echo(f"Free some disk, then go on: {again}.", err=True)
        raise typer.Exit(1) from None
