"""`keepsake up | down | status | logs | serve | ui | doctor | demo`: the whole stack on one machine."""

import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib.resources import files
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
    wanted = chosen(settings, only) if only else whole(settings, model)
    Stack(settings, wanted, say).up()
    offer_examples(settings, wanted)
    addresses(wanted)


def whole(settings: Settings, model: bool = True) -> list[Service]:
    """Every service; without the model server where the model is somebody else's."""
    wanted = chosen(settings, None)
    if model and not settings.model_url:
        return wanted
    say(f"model   is the endpoint {settings.effective_model_url}")
    return [service for service in wanted if service.name != "model"]


def offer_examples(settings: Settings, wanted: Iterable[Service]) -> None:
    """Once worlds and API run: the UI's example tasks. A stack without them is still a stack, so a failure is told and no more."""
    from app.client import KeepsakeClient
    from infra.stack.examples import offer

    if not {"worlds", "api"} <= {service.name for service in wanted}:
        return
    try:
        with KeepsakeClient.from_settings(settings) as client:
            offer(settings, client)
    except KeepsakeError as error:
        say(f"The example tasks could not be offered: {error.message} {error.hint}")


def addresses(wanted: Iterable[Service]) -> None:
    for service in wanted:
        if service.address:
            typer.echo(f"{service.title:26} {service.address}")


@app.command()
def serve(
    base: Annotated[bool, typer.Option("--base", help="The untouched base, under its own name.")] = False,
) -> None:
    """Serve the embedded model alone, in the foreground."""
    from infra.stack.serve import serve as serve_model

    if not serve_model(get_settings(), "base" if base else "production", say):
        raise typer.Exit(1)


@app.command()
def ui() -> None:
    """Serve the user interface alone, in the foreground."""
    settings = get_settings()
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(files("ui") / "main.py"),
        "--server.headless",
        "true",
        "--browser.gatherUsageStats",
        "false",
    ]
    os.execv(command[0], [*command, "--server.port", str(settings.ui_port), "--server.address", settings.host])


@app.command()
def down(only: Only = None) -> None:
    """Stop what `up` started, and nothing else."""
    settings = get_settings()
    if not Stack(settings, chosen(settings, only), say).down():
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
    [named] = chosen(settings, [service])
    path = Stack(settings, [named], say).log_path(named)
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


@app.command()
def demo(
    leave_up: Annotated[bool, typer.Option("--leave-up", help="Leave running what was started, and print its addresses.")] = False,
) -> None:
    """Start everything, do one task on the example shop, and stop what was started. The last line is one JSON object.

    Exit code 0 if it ran to its end; whether the task is solved is the object's word.
    """
    from app.client import KeepsakeClient
    from infra.stack.demo import play

    settings = get_settings()
    wanted = whole(settings)
    stack = Stack(settings, wanted, say)
    started: list[str] = []
    try:
        started = stack.up()
        offer_examples(settings, wanted)
        with KeepsakeClient.from_settings(settings) as client:
            result = play(settings, client, typer.echo).as_json()
    except KeepsakeError as error:
        typer.echo(json.dumps({"solved": False, "error": error.as_payload()}))
        raise
    finally:
        if not leave_up:
            stack.down(started)
    if leave_up:
        addresses(wanted)
    typer.echo(json.dumps(result))


@app.command()
def doctor(
    before_install: Annotated[
        bool, typer.Option(help="Only what a machine must offer before the set-up, and what will be downloaded.")
    ] = False,
) -> None:
    """Say what is missing or wrong, and what to do about it. Exit code 1 if anything failed."""
    from infra.stack import preflight
    from infra.stack.doctor import examine

    found = iter(preflight.checks(list(preflight.missing_parts(for_tests=False)))) if before_install else examine(get_settings())
    colours = {preflight.OK: "green", preflight.WARN: "yellow", preflight.FAIL: "red"}
    failed = False
    for check in found:
        failed |= check.level == preflight.FAIL
        level, rest = str(check)[:4], str(check)[4:]
        typer.echo(typer.style(level, fg=colours[check.level]) + rest)
    if failed:
        raise typer.Exit(1)


@app.command("setup-model", hidden=True)
def setup_model() -> None:
    """Install the model server and build the weights, unless they are there (make setup)."""
    from infra.serving_env import ensure_serving_env
    from infra.weights.served import build_served

    settings = get_settings()
    if settings.model_url:
        say(f"The model is {settings.model_url}; model server and weights are not installed.")
        return
    ensure_serving_env(settings)
    build_served(settings)
