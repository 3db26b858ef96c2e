"""`keepsake gate`: what the gate says of a call, for people and for benchmarks in any language. Typed errors are app.cli's to show."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.safety.conversation import case_of, judge
from agents.safety.judge import Ruling
from agents.safety.record import replay, shown
from app.errors import InvalidInput

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
def replay_command(path: Annotated[Path, typer.Argument(help="A record that agents.safety.record.Recorder wrote.")]) -> None:
    """Make every decision of a record again. Exit code 1 where one is another today, 2 where the record was changed."""
    try:
        found = replay(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}.") from error
    for number, then, now in found.differing:
        typer.echo(f"line {number}: {then['verdict']} ({then['rule']}) then, {now['verdict']} ({now['rule']}) now")
    typer.echo(json.dumps({"decisions": found.decisions, "matched": found.matched, "last": found.last}))
    raise typer.Exit(1 if found.differing else 0)


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
