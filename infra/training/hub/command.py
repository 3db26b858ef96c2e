"""`keepsake train-hub`: plan, run, resume. Imports without torch; what needs it runs in the environment .venv-train."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.config import get_settings
from app.errors import SetupError
from infra.training.command import training_python, typed_errors
from infra.training.hub.config import load_hub_recipe
from infra.training.hub.processes import is_main, launch

hub = typer.Typer(no_args_is_help=True, help="Fine-tune models of the Hugging Face hub to reason in blocks and mementos.")
app = typer.Typer()
app.add_typer(hub, name="train-hub")

_AGAIN = "`keepsake train-hub resume` takes up a run at its last checkpoint"

RecipePath = Annotated[Path, typer.Argument(help="A recipe file, or the name of one of infra/training/hub/recipes.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings over the recipe's, such as lora.r=16.")]


@hub.command()
def plan(recipe: RecipePath, overrides: Overrides = None) -> None:
    """A dry run without weights: tokenize every record, work out its mask, add up a device's memory. The last line is one JSON object."""
    with typed_errors(_AGAIN):
        checked = load_hub_recipe(recipe, overrides or [])
        _inside("transformers")
        from infra.training.hub.plan import make_hub_plan

        console = Console(stderr=True)
        made = make_hub_plan(get_settings(), checked, lambda line: console.print(line, markup=False, soft_wrap=True))
        table = Table("on each device", "GiB", title=checked.run_name, caption=f"{made.shape.weights / 1e9:.2f} billion weights")
        for name, size in made.memory.parts.items():
            table.add_row(name.replace("_", " "), f"{size:.1f}")
        table.add_row("in all", f"{made.memory.total:.1f} of {checked.hardware.memory_gib:.0f}")
        console.print(table)
        for reason, sentence in made.rows.said.items():
            console.print(f"left out {made.rows.dropped[reason]} ({reason}), such as {sentence}", markup=False, soft_wrap=True)
        typer.echo(json.dumps({"recipe": checked.name, "run": checked.run_name, **made.summary}))


@hub.command()
def run(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Train all stages. More than one device: on this machine they are started here, on several machines by torchrun on each."""
    _train(recipe, overrides, resume=False)


@hub.command()
def resume(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Go on with a stopped run from its newest checkpoint. Recipe and overrides must be the run's own."""
    _train(recipe, overrides, resume=True)


def _train(path: Path, overrides: list[str] | None, *, resume: bool) -> None:
    with typed_errors(_AGAIN):
        recipe = load_hub_recipe(path, overrides or [])
        _inside("torch")
        _require_packages()
        launch(recipe, sys.argv[1:])
        from infra.training.hub.job import HubJob

        manifest = HubJob(get_settings(), recipe).start(resume)
        if not is_main():
            return
        if manifest.status == "stopped":
            words = " ".join(["keepsake train-hub resume", str(path), *(overrides or [])])
            typer.echo(f"stopped after step {manifest.steps_done} of {manifest.steps}; go on with: {words}", err=True)
            return
        typer.echo(json.dumps({"run": manifest.name, "status": manifest.status, **manifest.metrics}))


def _inside(package: str, execute: Callable[..., Any] = os.execv) -> None:
    """Be in a process that has the package: this one, or this one replaced by one of the training environment."""
    if importlib.util.find_spec(package) is None:
        python = training_python()
        sys.stdout.flush()
        sys.stderr.flush()
        execute(python, [str(python), "-m", "infra.training.hub", *sys.argv[1:]])


def _require_packages() -> None:
    """SetupError unless TRL and PEFT are there, which the embedded model's training does without."""
    missing = [name for name in ("trl", "peft", "accelerate", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"The training environment lacks {', '.join(missing)}.", hint="Run `make setup-train-hub` in the checkout: 70 MB to download."
        )
