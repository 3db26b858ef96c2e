"""`keepsake up | down | status | logs | serve | doctor | demo`: the whole stack on one machine."""

import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.config import Settings, get_settings
from app.errors import InvalidInput, KeepsakeError
from infra.stack.services import NAMES, Service, services
from infra.stack.stack import Stack

app = typer.Typer(no_args_is_help=True)

Only = Annotated[
    list[str] | None, typer.Option("--only", help=f"These services alone, by name or separated by commas: {', '.join(NAMES)}.")
]


def say(line: str) -> None:
    """Progress goes to stderr; stdout is for results."""
    typer.echo(line, err=True)


def stop_with(error: KeepsakeError) -> typer.Exit:
    typer.secho(error.message, fg="red", err=True)
    if error.hint:
        typer.echo(error.hint, err=True)
    return typer.Exit(2 if isinstance(error, InvalidInput) else 1)


def chosen(settings: Settings, only: Iterable[str] | None) -> list[Service]:
    """The named services in order of start; all of them when none is named. Raises InvalidInput for a name that is none."""
    every = services(settings)
    names = [name.strip() for part in only or [] for name in part.split(",") if name.strip()]
    for name in names:
        if name not in every:
            raise InvalidInput(f"There is no service `{name}`.", hint=f"One of {', '.join(every)}.")
    return [service for service in every.values() if not names or service.name in names]


@app.command()
def up(
    only: Only = None,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="Start the model server; KEEPSAKE_MODEL_URL leaves it out by itself.")
    ] = True,
) -> None:
    """Start example worlds, model server, API, worker and UI; return when they answer."""
    settings = get_settings()
    try:
        wanted = chosen(settings, only)
        if not only and (not model or settings.model_url):
            wanted = [service for service in wanted if service.name != "model"]
            say(f"model   is the endpoint {settings.effective_model_url}")
        Stack(settings, wanted, say).up()
    except KeepsakeError as error:
        raise stop_with(error) from None
    addresses(wanted)


def addresses(wanted: Iterable[Service]) -> None:
    for service in wanted:
        if service.address:
            typer.echo(f"{service.title:26} {service.address}")


@app.command()
def down(only: Only = None) -> None:
    """Stop what `up` started, and nothing else."""
    settings = get_settings()
    try:
        ended = Stack(settings, chosen(settings, only), say).down()
    except KeepsakeError as error:
        raise stop_with(error) from None
    if not ended:
        say("Nothing runs.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON list on stdout.")] = False) -> None:
    """What runs, where, and how much memory it takes."""
    settings = get_settings()
    states = Stack(settings, services(settings).values(), say).state()
    if as_json:
        typer.echo(json.dumps([asdict(state) for state in states]))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "state", "address", "pid", "memory", "since"):
        table.add_column(heading, justify="right" if heading in ("pid", "memory", "since") else "left", overflow="fold")
    colours = {"running": "green", "starting": "yellow", "stopped": "dim"}
    for state in states:
        table.add_row(
            state.service,
            f"[{colours.get(state.state, 'red')}]{state.state}[/]",
            state.address.replace(" ", "\n"),
            str(state.pid or ""),
            f"{state.memory_bytes / 1e6:.0f} MB" if state.memory_bytes else "",
            duration(state.seconds) if state.pid else "",
        )
    Console().print(table)


def duration(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h`."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows, until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of the end.")] = 50,
) -> None:
    """Show a service's log."""
    settings = get_settings()
    try:
        chosen(settings, [service])
    except KeepsakeError as error:
        raise stop_with(error) from None
    path = settings.log_dir / f"{service}.log"
    if not path.is_file():
        say(f"{service} has no log yet: it was never started here.")
        raise typer.Exit(1)
    with path.open(errors="replace") as stream:
        recent = stream.readlines()[-lines:] if lines else []
        sys.stdout.writelines(recent)
        try:
            while follow:
                sys.stdout.write(stream.read())
                sys.stdout.flush()
                time.sleep(0.3)
        except KeyboardInterrupt:
            pass
