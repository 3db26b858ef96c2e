"""`keepsake models add | list | remove`: models beside the embedded one that the server can serve with mementos."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.config import get_settings
from infra.weights.added import add_model, added_models, remove_model
from infra.weights.request import Request

models = typer.Typer(no_args_is_help=True, help="Models beside the embedded one.")
app = typer.Typer()
app.add_typer(models, name="models")


@models.command()
def add(
    name: Annotated[str, typer.Argument(help="What it will be called.")],
    model: Annotated[str, typer.Option(help="A directory or a hub id; without it the base that the adapter names.")] = "",
    adapter: Annotated[Path | None, typer.Option(help="A PEFT LoRA's directory, or a delta file of ours.")] = None,
    keep_delimiters: Annotated[
        bool | None, typer.Option("--keep-delimiters/--drop-delimiters", help="Whether block_start and block_end stay. As it was trained.")
    ] = None,
    keep_last: Annotated[int | None, typer.Option(min=0, help="So many of the newest blocks stay visible. As it was trained.")] = None,
    end_sees_block: Annotated[
        bool | None, typer.Option("--end-sees-block/--end-is-blind", help="Whether summary_end still sees its block. As it was trained.")
    ] = None,
) -> None:
    """Prepare a full-attention Llama, Qwen3 or Phi model for serving with mementos."""
    request = Request(
        name=name,
        model=model,
        adapter=adapter.expanduser().absolute() if adapter else None,
        keep_delimiters=keep_delimiters,
        keep_last_n=keep_last,
        summary_end_sees_block=end_sees_block,
    )
    made = add_model(get_settings(), request)
    typer.echo(f"{made.name} is added; KEEPSAKE_MODEL_NAME={made.name} keepsake up serves it.")


@models.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout.")] = False) -> None:
    """The added models."""
    found = added_models(get_settings())
    if as_json:
        typer.echo(json.dumps([{"name": m.name, "bytes": m.size, "directory": str(m.directory), **m.manifest.source} for m in found]))
        return
    table = Table("name", "made from", "size", "tokens", box=None, pad_edge=False)
    for model in found:
        source = model.manifest.source
        table.add_row(model.name, source["model"], f"{model.size / 1e9:.2f} GB", " ".join(map(str, source["tokens"])))
    Console().print(table if found else "No model was added.")


@models.command()
def remove(name: str) -> None:
    """Take an added model away."""
    remove_model(get_settings(), name)
    typer.echo(f"{name} is removed.")
