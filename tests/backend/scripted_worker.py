"""A worker process with the scripted team, for tests that kill it. The fork server imports this once, so that a restart is quick."""

import asyncio
import multiprocessing
import os
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from app.config import Settings
from backend.redaction import Redactor, log_to_stderr
from backend.segment import Patience
from backend.worker import Worker
from tests.backend.scripted_team import open_scripted_team


def work(settings: Settings, log: Path) -> None:
    """Work until killed; everything that is said goes to `log`."""
    handle = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    log_to_stderr(Redactor([]))
    asyncio.run(Worker(settings, open_scripted_team, Patience(retries=2, backoff_s=0.05)).run(asyncio.Event()))


def spawn(settings: Settings, log: Path) -> BaseProcess:
    """A new worker process, forked from a server that has imported everything and runs no threads."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=work, args=(settings, log), daemon=True)
    process.start()
    return process
