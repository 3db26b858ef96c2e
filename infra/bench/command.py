"""`keepsake bench NAME`: the one way figures are made here."""

import asyncio
import importlib
import json
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.config import get_settings
from app.errors import InvalidInput, KeepsakeError
from infra.bench.base import Bench, BenchContext, Split, commit, device, progress_bar

app = typer.Typer()

# Each module has `async def bench(context) -> dict[str, Figure]`.
BENCHES = {
    name: f"infra.bench.{name}"
    for name in ("worlds", "orchestrator", "serving", "reasoning", "stream", "science", "sft", "gate", "pages", "wishes")
}


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help=f"Which bench: {', '.join(BENCHES)}.")],
    split: Annotated[str, typer.Option(help="train, dev (tune on this) or eval (measure, never tune).")] = "dev",
    n: Annotated[int | None, typer.Option(min=1, help="How many items; the bench's own default when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Shifts which items of the split are drawn.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the items finished by an earlier, stopped run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout is one JSON object.")] = False,
    option: Annotated[list[str] | None, typer.Option("--set", help="key=value options of the bench itself.")] = None,
) -> None:
    """Measure, and print the figures with their 95 % intervals."""
    console = Console(stderr=True)
    try:
        run = load(name)
        options = dict(pair.split("=", 1) for pair in option or [])
        if split not in ("train", "dev", "eval"):
            raise InvalidInput(f"There is no split `{split}`.", hint="One of train, dev, eval.")
        started = time.monotonic()
        with progress_bar() as progress:
            chosen: Split = split  # type: ignore[assignment]
            context = BenchContext(get_settings(), name, chosen, n, seed, resume, progress, options)
            figures = asyncio.run(run(context))
    except ValueError as error:
        console.print(f"[red]--set takes key=value: {error}")
        raise typer.Exit(2) from error
    except KeepsakeError as error:
        console.print(f"[red]{error.message}[/] {error.hint}")
        raise typer.Exit(2 if isinstance(error, InvalidInput) else 1) from error
    result = {
        "bench": name,
        "commit": commit(),
        "device": device(),
        "split": split,
        "seed": seed,
        "n": max((f.n for f in figures.values()), default=0),
        "seconds": round(time.monotonic() - started, 1),
        "figures": {key: figure.model_dump() for key, figure in figures.items()},
    }
    table = Table(title=f"{name} ({split})")
    for heading in ("key", "value", "95 % interval", "n"):
        table.add_column(heading)
    for key, figure in figures.items():
        table.add_row(key, f"{figure.value:g}", f"{figure.ci95[0]:g} to {figure.ci95[1]:g}" if figure.ci95 else "", str(figure.n))
    console.print(table)
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False, default=str))


def load(name: str) -> Bench:
    """The bench of this name. Raises InvalidInput for an unknown one."""
    if name not in BENCHES:
        raise InvalidInput(f"There is no bench `{name}`.", hint=f"Known: {', '.join(BENCHES)}.")
    return importlib.import_module(BENCHES[name]).bench
