"""`keepsake gate`: what the gate says of a call, for people and for benchmarks in any language. Typed errors are app.cli's to show."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from agents.safety.conversation import case_of, judge
from agents.safety.judge import Ruling
from agents.safety.log import Record, Trial, explained
from agents.safety.log import replay as replay_run
from agents.safety.record import replay, shown
from app.client import KeepsakeClient
from app.config import get_settings
from app.errors import InvalidInput
from app.policies.files import spelled

app = typer.Typer()
gate = typer.Typer(help="What the gate says of a call.", no_args_is_help=True)
app.add_typer(gate, name="gate")


@gate.command("judge")
def judge_command(
    path: Annotated[str, typer.Argument(help="A JSON file, or `-` for one case a line from standard input.")],
) -> None:
    """Judge {task, tools, history, call} without a model: allow, ask or refuse, with the reason and where each argument comes from.

    Exit code 0, whatever the verdict; 2 where the case cannot be read.
    """
    for case in _cases(path):
        typer.echo(json.dumps(shown(_judged(case)), ensure_ascii=False))


@gate.command("grants")
def grants_command(
    path: Annotated[str, typer.Argument(help="A JSON file with {task, tools}; `history` is left out of account.")],
) -> None:
    """What a task's words allow, before anything is read."""
    for case in _cases(path):
        made = case_of(_field(case, "task"), _field(case, "tools"), [])
        for grant in made.grants:
            many = "as often as the words say" if grant.many else "once"
            typer.echo(f"{grant.tool}: {many}, for: {grant.clause.said.text.strip() if grant.clause else ''}")


@gate.command("replay")
def replay_command(
    run: Annotated[
        str, typer.Argument(help="A run's id, or a file: such a run's decisions as JSON, or lines of agents.safety.record.Recorder.")
    ],
) -> None:
    """Make every decision of a run again. Exit code 1 where one is another today, 2 where the record was changed."""
    kept = _kept(run)
    if kept is not None and not _is_run(kept):
        found = replay(kept.splitlines())
        for number, then, now in found.differing:
            typer.echo(f"line {number}: {then['verdict']} ({then['rule']}) then, {now['verdict']} ({now['rule']}) now")
        typer.echo(json.dumps({"decisions": found.decisions, "matched": found.matched, "last": found.last}))
        raise typer.Exit(1 if found.differing else 0)
    record = _record(run, kept)
    differing = replay_run(record, get_settings().own_ports)
    for one in differing:
        typer.echo(f"decision {one.number}: {one.then} then, {one.now} now")
    matched = len(record.entries) - len(differing)
    typer.echo(json.dumps({"decisions": len(record.entries), "matched": matched, "last": record.last}))
    raise typer.Exit(1 if differing else 0)


@gate.command("explain")
def explain_command(
    run: Annotated[str, typer.Argument(help="A run's id, or a file with its decisions.")],
    step: Annotated[int | None, typer.Argument(min=0, help="Which decision, from 0; all in short where left out.")] = None,
) -> None:
    """Why the gate decided as it did: the action in full, the rule, the reason, and what was known by then."""
    record = _record(run, _kept(run))
    if step is None:
        for number, entry in enumerate(record.entries):
            typer.echo(f"{number}  {entry.verdict:7} {entry.rule:18} {entry.action.summary or entry.action.kind}")
        return
    if step >= len(record.entries):
        raise InvalidInput(f"There is no decision {step}.", hint=f"The run has {len(record.entries)}, from 0.")
    typer.echo("\n".join(explained(record, step)))


@gate.command("policies")
def policies_command() -> None:
    """The policies that a task can have: Keepsake's, and the files in <home>/policies."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        for item in client.policies():
            typer.echo(f"{item.name:16} {item.error or item.about}")


@gate.command("try")
def try_command(
    policy: Annotated[str, typer.Argument(help="A policy's name, or a YAML file.")],
    runs: Annotated[list[str] | None, typer.Argument(help="Ids of runs; the last ones where none is named.")] = None,
    last: Annotated[int, typer.Option(min=1, max=100, help="How many of the last runs.")] = 20,
) -> None:
    """What a policy would have asked and refused in past runs. Nothing is carried out."""
    with KeepsakeClient.from_settings(get_settings()) as client:
        trial = Trial.model_validate(client.try_policy(spelled(policy), runs or [], last))
    for run, found in trial.differing.items():
        typer.echo(run)
        for one in found:
            typer.echo(f"  {one.number:3}  {one.then} -> {one.now}: {one.action}\n       {one.reason}")
    typer.echo(f"{trial.actions} actions of {trial.runs} runs: asked {trial.asked}, would ask {trial.would_ask};", nl=False)
    typer.echo(f" refused {trial.refused}, would refuse {trial.would_refuse}")


def _kept(run: str) -> str | None:
    """The text of a file, None for a run's id."""
    if run.startswith("run_") and not Path(run).exists():
        return None
    try:
        return Path(run).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{run} is no run's id, and no file that can be read: {error}.") from error


def _is_run(text: str) -> bool:
    return text.lstrip().startswith("{") and '"entries"' in text


def _record(run: str, kept: str | None) -> Record:
    """Of the API's run, or of a file. Raises InvalidInput for a file that holds no decisions."""
    try:
        if kept is not None:
            return Record.model_validate_json(kept)
        with KeepsakeClient.from_settings(get_settings()) as client:
            return Record.model_validate(client.decisions(run))
    except ValidationError as error:
        raise InvalidInput(
            f"{run} holds no decisions: {error.errors()[0]['msg']}.", hint="GET /v1/runs/RUN/decisions gives them."
        ) from error


def _cases(path: str) -> list[dict[str, Any]]:
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        found = [json.loads(line) for line in text.splitlines() if line.strip()] if path == "-" else [json.loads(text)]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.", hint="Give one JSON object {task, tools, history, call}.") from error
    if not all(isinstance(case, dict) for case in found):
        raise InvalidInput(f"{path} holds no JSON object.", hint="Give one JSON object {task, tools, history, call}.")
    return found


def _judged(case: dict[str, Any]) -> Ruling:
    return judge(_field(case, "task"), _field(case, "tools"), case.get("history") or [], _field(case, "call"))


def _field(case: dict[str, Any], name: str) -> Any:
    if name not in case:
        raise InvalidInput(f"The case has no `{name}`.", hint="A case is {task, tools, history, call}.")
    return case[name]
