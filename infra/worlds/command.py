"""`keepsake worlds`: the example sites on their own, and a look at made tasks."""

import json
from typing import Annotated

import typer

from app.config import get_settings
from app.errors import KeepsakeError
from infra.worlds.base import FamilyName, Split
from infra.worlds.demo import examples, serve_examples
from infra.worlds.families import tasks

worlds = typer.Typer(no_args_is_help=True, help="Local sites and folders in which agents are tried, trained and measured.")
app = typer.Typer()
app.add_typer(worlds, name="worlds")


@worlds.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    fresh: Annotated[bool, typer.Option(help="Forget orders and tickets of earlier starts.")] = False,
    offer: Annotated[bool, typer.Option(help="Also offer the example tasks to the running API, as `keepsake up` does.")] = False,
) -> None:
    """Serve the example shop and tracker until stopped."""
    settings = get_settings()

    def offer_tasks() -> None:
        from app.client import KeepsakeClient
        from infra.stack.examples import offer as offer_all

        with KeepsakeClient.from_settings(settings) as client:
            offer_all(settings, client)

    try:
        serve_examples(settings, host, fresh=fresh, then=offer_tasks if offer else None)
    except KeepsakeError as error:
        typer.secho(error.message, fg="red", err=True)
        typer.echo(error.hint, err=True)
        raise typer.Exit(1) from None


@worlds.command("examples")
def list_examples() -> None:
    """Print the example tasks as JSON."""
    typer.echo(json.dumps(examples(get_settings()), indent=1))


@worlds.command("tasks")
def list_tasks(
    family: Annotated[str, typer.Argument(help="lookup, ticket, order or summary.")],
    split: Annotated[str, typer.Option(help="train, dev or eval.")] = "dev",
    n: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
) -> None:
    """Print tasks of a family as they are made, one JSON object a line."""
    names: dict[str, FamilyName] = {"lookup": "lookup", "ticket": "ticket", "order": "order", "summary": "summary"}
    splits: dict[str, Split] = {"train": "train", "dev": "dev", "eval": "eval"}
    if family not in names or split not in splits:
        typer.secho(f"There is no family {family} or no split {split}.", fg="red", err=True)
        raise typer.Exit(2)
    for _, task in zip(range(n), tasks(names[family], splits[split]), strict=False):
        line = {
            "seed": task.seed,
            "variant": task.variant,
            "text": task.text,
            "files": task.files,
            "sites": task.sites,
            "plan": task.goal.plan(),
        }
        typer.echo(json.dumps(line))
