"""`keepsake api` and `keepsake worker`: the two processes of the backend."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Annotated

import typer

from app.config import Settings, get_settings
from app.errors import KeepsakeError

app = typer.Typer(no_args_is_help=True)


@app.command()
def api(with_worker: Annotated[bool, typer.Option(help="Also carry runs out in this process.")] = False) -> None:
    """Serve the REST API."""
    _run(_serve(get_settings(), with_worker))


@app.command()
def worker() -> None:
    """Carry runs out."""
    _run(_work(get_settings()))


async def _serve(settings: Settings, with_worker: bool) -> None:
    import uvicorn

    from backend.main import create_app
    from backend.store import Store
    from backend.worker import Worker

    store = Store(settings)
    await store.open()  # here, where what goes wrong is one sentence
    config = uvicorn.Config(
        create_app(settings, store),
        host=settings.host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,  # open event streams have nothing to finish
    )
    server = uvicorn.Server(config)
    stop = _stop_on_signal()  # uvicorn takes the signals while it serves and hands them on to this when it ends
    if not with_worker:
        await server.serve()
        return
    job = asyncio.create_task(Worker(settings, store=store).run(stop))
    serving = asyncio.create_task(server.serve())
    await asyncio.wait({job, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stop.set()
    await asyncio.gather(serving, job)


async def _work(settings: Settings) -> None:
    from backend.worker import Worker

    await Worker(settings).run(_stop_on_signal())


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _run(main: Coroutine[None, None, None]) -> None:
    """Run one process of ours: logs to stderr, a typed error as one sentence and exit code 1."""
    from backend.redaction import log_to_stderr
    from backend.store import redactor_of

    redactor = redactor_of(get_settings())
    log_to_stderr(redactor)
    try:
        asyncio.run(main)
    except KeepsakeError as error:
        typer.echo(redactor.text(f"{error.message} {error.hint}"), err=True)
        raise typer.Exit(1) from None
