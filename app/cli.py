"""`keepsake`: give a task, watch it, decide, keep the trail. Commands of other floors hang themselves in through entry points."""

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from app import terminal
from app.client import KeepsakeClient
from app.config import get_settings
from app.errors import Conflict, InvalidInput, KeepsakeError
from app.events import Event, EventType, RunView, reduce_event
from app.policies.files import spelled as spelled_policy
from app.schemas import ApprovalDecision, ApprovalStatus, Budgets, Policy, Run, RunStatus, Site, Task, TaskCreate
from app.vault import Vault, keep

GROUP = "keepsake.commands"
LONGEST_PAUSE_S = 2.0  # of a replay

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class ExportedRun(BaseModel):
    """A run as a file: all that `keepsake replay` and other readers need."""

    format: str = "keepsake-run/1"
    task: Task
    run: Run
    events: list[Event]


@app.command()
def run(
    text: Annotated[str, typer.Argument(help="What is to be done; `-` reads it from standard input.")],
    file: Annotated[list[Path] | None, typer.Option(help="A file to take along; may be repeated.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="A web site it may use, as name=url[,profile]; may be repeated.")] = None,
    policy: Annotated[
        str, typer.Option(help="When the gate asks: a policy's name (`keepsake gate policies` lists them), or a YAML file.")
    ] = Policy.ASK_WRITES.value,
    review_plan: Annotated[bool, typer.Option(help="Wait for you to accept the plan.")] = False,
    steps: Annotated[int, typer.Option(min=1, max=1000)] = 80,
    tokens: Annotated[int, typer.Option(min=100)] = 200_000,
    seconds: Annotated[int, typer.Option(min=1, max=86_400)] = 1800,
    wait: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow it to its end.")] = True,
) -> None:
    """Give a task. Prints the run's id, or its trail with --watch; exit code 0 says that it succeeded."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        files = [client.upload_path(path).id for path in file or []]
        sites = [_site(spelled) for spelled in site or []]
        budgets = Budgets(steps=steps, tokens=tokens, seconds=seconds)
        words = sys.stdin.read() if text == "-" else text
        if not words.strip():
            raise InvalidInput("The task has no text.", hint="Say in a sentence or two what is to be done.")
        task = TaskCreate(text=words, files=files, sites=sites, policy=spelled_policy(policy), review_plan=review_plan, budgets=budgets)
        started = client.create_task(task).run
        assert started is not None
        if not wait:
            typer.echo(started.id)
            return
        typer.echo(f"Run {started.id}", err=True)
        _follow(client, started.id)


@app.command()
def watch(run_id: str, after: Annotated[int, typer.Option(min=0, help="Leave out events up to this number.")] = 0) -> None:
    """Follow a run to its end."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        _follow(client, run_id, after)


@app.command()
def approve(
    approval_id: Annotated[str, typer.Argument(help="Without it: list what waits.")] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    reason: Annotated[str, typer.Option(help="For the team, and for the trail.")] = "",
    for_run: Annotated[bool, typer.Option("--for-run", help="Allow what is alike for the rest of the run, where that is offered.")] = False,
    edit: Annotated[list[str] | None, typer.Option(help="Change what is typed, written or run, as name=text; may be repeated.")] = None,
) -> None:
    """Decide what a run asks; a decision stands."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        if not approval_id:
            pending = client.approvals(status=ApprovalStatus.PENDING).items
            if not pending:
                typer.echo("Nothing waits.", err=True)
            for waiting in pending:
                about = waiting.action.summary if waiting.action else "the plan"
                typer.echo(f"{waiting.id}  {waiting.kind.value:15}  {terminal.one_line(about)}  ({terminal.one_line(waiting.reason)})")
            return
        wish = ApprovalStatus.REJECTED if reject else ApprovalStatus.APPROVED
        decided = client.decide(approval_id, ApprovalDecision(decision=wish, explanation=reason, for_run=for_run, edits=_edits(edit)))
        typer.echo(f"{decided.id} {decided.status.value}")


secrets = typer.Typer(help="Secrets that no model sees; a task names them as {{secret:NAME}}.", no_args_is_help=True)
app.add_typer(secrets, name="secrets")


@secrets.command("list")
def list_secrets() -> None:
    """Names of the secrets, and the sites that each may be typed into."""
    for name, sites in Vault.read(get_settings().secrets_path).audiences.items():
        typer.echo(f"{name:24} {', '.join(sites)}")


@secrets.command("add")
def add_secret(
    name: str,
    site: Annotated[
        list[str], typer.Option(help="Where it may go: a host, a pattern such as *.example.org, or a task's site; may be repeated.")
    ],
    env: Annotated[str, typer.Option(help="Keep only this: the variable that holds it.")] = "",
    keyring: Annotated[str, typer.Option(help="Keep only this: SERVICE/USER in the system's keyring.")] = "",
) -> None:
    """Put a secret into the vault; its value is asked for and not shown."""
    source = {"env": env} if env else {"keyring": keyring} if keyring else {"value": typer.prompt("value", hide_input=True)}
    keep(get_settings().secrets_path, name, {**source, "sites": site})
    typer.echo(f"Name it in a task as {{{{secret:{name}}}}}. Services that run already look for it in their logs from their next start on.")


@secrets.command("remove")
def remove_secret(name: str) -> None:
    """Take a secret out of the vault."""
    keep(get_settings().secrets_path, name, None)


@app.command()
def say(run_id: str, text: str) -> None:
    """Steer a run, or answer its question."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        typer.echo(client.message(run_id, text).status.value)


@app.command()
def cancel(run_id: str) -> None:
    """End a run."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        typer.echo(client.cancel(run_id).status.value)


@app.command()
def pause(run_id: str) -> None:
    """Let a run stand still."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        typer.echo(client.pause(run_id).status.value)


@app.command()
def resume(run_id: str) -> None:
    """Go on with a paused run, or one that failed for a reason that has passed."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        typer.echo(client.resume(run_id).status.value)


@app.command()
def export(
    run_id: str, output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output without it.")] = None
) -> None:
    """Write a run with its task and all events as JSON."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        found = client.run(run_id)
        exported = ExportedRun(task=client.task(found.task_id), run=found, events=list(client.all_events(run_id)))
    text = exported.model_dump_json(indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise InvalidInput(f"`{output}` cannot be written: {error.strerror}.", hint="Give the path of a file.") from None


@app.command()
def replay(
    source: Annotated[str, typer.Argument(help="A run's id, or a file that `keepsake export` wrote.")],
    speed: Annotated[float, typer.Option(min=0.1, help="So many times faster than it was; pauses are at most 2 s.")] = 10.0,
) -> None:
    """Show a run again as it went."""
    path = Path(source)
    if path.is_file():
        events = _exported(path).events
    else:
        with KeepsakeClient.from_settings(get_settings()) as client:
            events = list(client.all_events(source))
    previous = None
    for event in events:
        if previous is not None:
            time.sleep(min(max((event.time - previous).total_seconds(), 0.0) / speed, LONGEST_PAUSE_S))
        previous = event.time
        _show(event)


def _follow(client: KeepsakeClient, run_id: str, after: int = 0) -> None:
    """Print the trail to the run's end; the exit code says how that was."""
    view = RunView()
    try:
        for event in client.stream(run_id, after):
            reduce_event(view, event)
            _show(event)
            if event.type == EventType.APPROVAL_REQUESTED and sys.stdin.isatty():
                _ask(client, event.payload["approval_id"])
    except KeyboardInterrupt:
        typer.echo(f"\nIt goes on without you: keepsake watch {run_id}, keepsake cancel {run_id}", err=True)
        raise typer.Exit(130) from None
    if client.run(run_id).status != RunStatus.SUCCEEDED:
        raise typer.Exit(1)


def _show(event: Event) -> None:
    for line in terminal.lines(event):
        typer.echo(line)


def _ask(client: KeepsakeClient, approval_id: str) -> None:
    """Put the question here, unless somebody decided it elsewhere."""
    if client.approval(approval_id).status != ApprovalStatus.PENDING:
        return
    try:
        yes = typer.confirm("  approve?", default=False)
        reason = "" if yes else typer.prompt("  why not", default="", show_default=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    wish = ApprovalStatus.APPROVED if yes else ApprovalStatus.REJECTED
    try:
        client.decide(approval_id, ApprovalDecision(decision=wish, explanation=reason))
    except Conflict as error:  # somebody decided meanwhile
        typer.echo(f"  {error.message}", err=True)


def _edits(spelled: list[str] | None) -> dict[str, str] | None:
    pairs = [one.partition("=") for one in spelled or []]
    if bad := next((name for name, equals, _ in pairs if not equals), None):
        raise InvalidInput(f"`{bad[:80]}` is no change.", hint="Write it as name=text, e.g. text=Thursday.")
    return {name: text for name, _, text in pairs} or None


def _site(spelled: str) -> Site:
    name, _, rest = spelled.partition("=")
    url, _, profile = rest.partition(",")
    try:
        return Site(name=name, url=url, profile=profile or None)
    except ValidationError:
        raise InvalidInput(f"`{spelled[:80]}` is not a site.", hint="Write it as name=url, e.g. shop=http://127.0.0.1:8713.") from None


def _exported(path: Path) -> ExportedRun:
    try:
        return ExportedRun.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError):
        raise InvalidInput(f"`{path}` holds no exported run.", hint="`keepsake export RUN -o FILE` writes one.") from None


def hang_in() -> dict[str, str]:
    """Add the commands of other floors; returns those that could not be loaded and why (an extra that is not installed)."""
    missing = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name):
        try:
            room = entry.load()
        except ImportError as error:
            missing[entry.name] = str(error)
            continue
        app.registered_commands += room.registered_commands
        app.registered_groups += room.registered_groups
    return missing


def main() -> None:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    if wanted not in typer.main.get_group(app).commands:  # our own commands need not wait for other floors to load
        missing = hang_in()
        if wanted not in typer.main.get_group(app).commands:
            for name, why in missing.items():
                typer.echo(f"The commands of `{name}` are not installed ({why}); `make setup` installs all of them.", err=True)
    try:
        app()
    except KeepsakeError as error:
        _fail(error.message, error.hint, 2 if error.boundary == "user" else 1)
    except ValidationError as error:  # an argument or a setting that its model refuses
        first = error.errors()[0]
        _fail(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            f"See `{Path(sys.argv[0]).name} --help`, or the setting's line in README.",
            2,
        )
    except SettingsError as error:
        _fail(f"A setting cannot be read: {error}.", "README lists the settings and what they may be.", 2)
    except OSError as error:
        _fail(f"{error.filename or 'The system'}: {error.strerror or error}.", "`keepsake doctor` checks disk and home directory.", 1)


def _fail(message: str, hint: str, code: int) -> NoReturn:
    typer.secho(message, fg="red", err=True)
    if hint:
        typer.echo(hint, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
