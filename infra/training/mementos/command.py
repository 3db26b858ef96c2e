"""`keepsake mementos`: build a data set of blocks and mementos, report on it, write procedural tasks with theirs. Imports without tokenizers."""

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.config import get_settings
from app.errors import InvalidInput
from app.terminal import one_line
from infra.training.command import training_python, typed_errors
from infra.training.mementos.options import DEFAULT, Options
from infra.training.mementos.records import NAMES, open_dataset
from infra.training.mementos.report import Prices, Report
from infra.training.mementos.report import report as read_report

if TYPE_CHECKING:
    from agents.model import MementoChatClient
    from infra.training.mementos.build import Session

mementos = typer.Typer(no_args_is_help=True, help="Reasoning traces as blocks and mementos, to train on.")
app = typer.Typer()
app.add_typer(mementos, name="mementos")

_AGAIN = "the same command takes up what was begun"

PromptPrice = Annotated[float | None, typer.Option(min=0, help="Money per million prompt tokens, for the report.")]
CompletionPrice = Annotated[float | None, typer.Option(min=0, help="Money per million completion tokens.")]


@mementos.command()
def build(
    files: Annotated[list[Path], typer.Argument(help="Traces: .jsonl or .jsonl.gz, one object a line.")],
    out: Annotated[Path, typer.Option(help="Directory of the data set; one that was begun is gone on with.")],
    teacher: Annotated[str, typer.Option(help="Model that scores, compresses and judges; default KEEPSAKE_MODEL_NAME.")] = "",
    teacher_url: Annotated[str, typer.Option(help="Its OpenAI-compatible base URL; default KEEPSAKE_MODEL_URL, then our own server.")] = "",
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json, or directory with one, of the model to be trained; default the embedded.")
    ] = None,
    field: Annotated[list[str] | None, typer.Option(help=f"A field's name, such as problem=query ({', '.join(NAMES)}).")] = None,
    min_block_tokens: Annotated[int, typer.Option(min=1)] = DEFAULT.min_block_tokens,
    max_block_tokens: Annotated[int, typer.Option(min=0, help="0: no bound, which gives a few huge blocks.")] = DEFAULT.max_block_tokens
    or 0,
    two_passes: Annotated[bool, typer.Option("--two-passes", help="Score boundaries twice, in different windows.")] = False,
    threshold: Annotated[int, typer.Option(min=0, max=10, help="Points that a memento needs.")] = DEFAULT.threshold,
    judge: Annotated[
        str, typer.Option(help="Who judges mementos that a record brings: model (after the mechanical check) or mechanical.")
    ] = "model",
    concurrency: Annotated[int, typer.Option(min=1, max=512, help="Records, and calls, at a time.")] = 8,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a call has failed.")] = 600,
    temperature: Annotated[float | None, typer.Option(min=0, max=2, help="Default: the endpoint's.")] = None,
    answer_tokens: Annotated[
        int | None, typer.Option(min=16, help="Most tokens of an answer, thinking included; default: the endpoint's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first records of the files.")] = None,
    price_prompt: PromptPrice = None,
    price_completion: CompletionPrice = None,
) -> None:
    """Make mementos for all traces that have none yet, and report. Killed or stopped, the same command goes on; the key is KEEPSAKE_MODEL_KEY."""
    with typed_errors(_AGAIN):
        prices = _prices(price_prompt, price_completion)
        if judge not in ("model", "mechanical"):
            raise InvalidInput(f"There is no judge `{judge}`.", hint="One of model, mechanical.")
        options = Options(min_block_tokens, max_block_tokens or None, two_passes, threshold, "model" if judge == "model" else "mechanical")
        if options.max_block_tokens and options.max_block_tokens < 2 * min_block_tokens:
            raise InvalidInput(
                f"Blocks of {min_block_tokens} to {max_block_tokens} tokens leave no choice of cuts.",
                hint="Let --max-block-tokens be at least twice --min-block-tokens.",
            )
        _inside()
        request = {name: value for name, value in (("temperature", temperature), ("max_tokens", answer_tokens)) if value is not None}
        client = _client(teacher, teacher_url, timeout)
        session = _build(files, out, _names(field or []), options, tokenizer, client, request, concurrency, limit)
        found = read_report(out)
        _show(found, out)
        typer.echo(json.dumps({**found.as_dict(prices), "repeated": session.repeated, "undone": session.undone}))
        if session.stopped or session.undone:
            what = "stopped" if session.stopped else f"{session.undone} records got no answer from the model"
            typer.echo(f"{what}; run the same command again to go on", err=True)
            raise typer.Exit(0 if session.stopped else 1)


@mementos.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Directory of a data set.")],
    price_prompt: PromptPrice = None,
    price_completion: CompletionPrice = None,
) -> None:
    """Outcomes, pass rates, sizes and cost of a data set, finished or not; the last line is one JSON object."""
    with typed_errors(_AGAIN):
        found = read_report(folder)
        _show(found, folder)
        typer.echo(json.dumps(found.as_dict(_prices(price_prompt, price_completion))))


@mementos.command()
def solve(
    file: Annotated[Path, typer.Argument(help="Where to write: .jsonl.")],
    family: Annotated[list[str] | None, typer.Option(help="A family of infra.reasoning; may be repeated. Default: all.")] = None,
    n: Annotated[int, typer.Option(min=1, help="Problems of each family.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="0 and up is train, 900,000 dev, 950,000 eval.")] = 0,
) -> None:
    """Write problems whose solver writes blocks and mementos itself; `build --judge mechanical` checks them without a model."""
    from infra.reasoning.families import FAMILIES
    from infra.training.mementos.solved import solved_record

    with typed_errors(_AGAIN):
        records = (solved_record(name, seed) for seed in range(first_seed, first_seed + n) for name in family or FAMILIES)
        partial = file.with_name(f"{file.name}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as stream:
                stream.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            partial.replace(file)
        except OSError as error:
            raise InvalidInput(f"{file} cannot be written: {error}", hint="Name a file in a directory of yours.") from error
        finally:
            partial.unlink(missing_ok=True)


def _inside(execute: Callable[..., Any] = os.execv) -> None:
    """Go on in a process that has `tokenizers`: this one, or this one replaced by one of the training environment."""
    if importlib.util.find_spec("tokenizers") is None:
        python = training_python()
        sys.stdout.flush()
        sys.stderr.flush()
        execute(python, [str(python), "-m", "infra.training.mementos", *sys.argv[1:]])


def _client(name: str, url: str, timeout: float) -> "MementoChatClient":
    from agents.model import ClientConfig, MementoChatClient

    settings = get_settings()
    config = ClientConfig(
        base_url=url or settings.effective_model_url,
        model=name or settings.model_name,
        timeout_s=timeout,
        sessions=False,
        thinking_blocks=0,
    )
    return MementoChatClient(config, api_key=settings.model_key.get_secret_value())


def _build(
    files: Sequence[Path],
    out: Path,
    names: dict[str, str],
    options: Options,
    tokenizer: Path | None,
    client: "MementoChatClient",
    request: dict[str, Any],
    concurrency: int,
    limit: int | None,
) -> "Session":
    """All that is checked is checked before the first byte is written."""
    from infra.training.mementos.build import Build
    from infra.training.mementos.counting import TokenCounter
    from infra.training.mementos.journal import Journal
    from infra.training.mementos.pipeline import Pipeline, prompt_versions
    from infra.training.mementos.teacher import Teacher
    from infra.training.run_folder import StopSignal

    count = TokenCounter(tokenizer or get_settings().weights_dir / "base")
    traces = open_dataset(files, names)
    settings = {
        "teacher": client.config.model,
        "prompts": prompt_versions(),
        "tokenizer": count.digest,
        "request": request,
        **vars(options),
    }

    async def work(journal: Journal, stop: StopSignal) -> "Session":
        ask = Teacher(client, concurrency=concurrency, fields=request)
        builder = Build(Pipeline(ask, count, options, count.digest), journal, concurrency=concurrency, wanted=lambda: not stop.wanted)
        with _progress(builder.session):
            try:
                return await builder.run(islice(traces, limit))
            finally:
                await client.close()

    with Journal(out, settings) as journal, StopSignal() as stop:
        return asyncio.run(work(journal, stop))


@contextmanager
def _progress(session: "Session") -> Generator[None]:
    """A line on stderr every few seconds in which something was done."""

    async def tell() -> None:
        said = ""
        while True:
            await asyncio.sleep(5)
            line = f"kept {session.kept}, dropped {session.dropped}, undone {session.undone}, done before {session.known}"
            if line != said:
                typer.echo(said := line, err=True)

    task = asyncio.get_running_loop().create_task(tell())
    try:
        yield
    finally:
        task.cancel()


def _show(found: Report, folder: Path) -> None:
    console = Console(stderr=True)
    table = Table("outcome", "records", "such as", title=escape(str(folder)))
    table.add_row("kept", str(found.kept), "")
    for reason, count in found.dropped.most_common():
        table.add_row(f"dropped: {reason}", str(count), escape(one_line(found.examples[reason])[:160]))
    console.print(table)


def _prices(prompt: float | None, completion: float | None) -> Prices | None:
    return None if prompt is None and completion is None else Prices(prompt or 0.0, completion or 0.0)


def _names(fields: Sequence[str]) -> dict[str, str]:
    names = {}
    for spelled in fields:
        name, equals, value = spelled.partition("=")
        if not (equals and value and name in NAMES):
            raise InvalidInput(f"`{spelled}` names no field.", hint=f"Write --field NAME=FIELD with one of {', '.join(NAMES)}.")
        names[name] = value
    return names
