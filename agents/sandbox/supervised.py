"""The part that every implementation shares: a workspace becomes an order, the order's reply becomes an ExecResult and changed files.

An implementation only says how bytes reach a supervisor that is alone in its sandbox and how bytes come back (`converse`).
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from agents.sandbox import workspace as directory
from agents.sandbox.base import ExecResult, Limits
from agents.sandbox.wire import BASE_ENV, MAX_STDIN, Incoming, Order, Reply, first_problem, plain_path
from app.errors import InvalidInput, SandboxFailed, WorkspaceError

SUPERVISOR = Path(__file__).with_name("supervisor.py").read_text()
OVERHEAD_S = 60.0  # start-up and copying of files, on top of the program's own wall time


class SupervisedSandbox(ABC):
    """Base of the implementations; see `Sandbox` for the contract."""

    name: str

    @abstractmethod
    async def start(self) -> None: ...

    async def stop(self) -> None:
        return None

    @abstractmethod
    def converse(self, order: Order, payload: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Send an order with its payload to a fresh supervisor and yield its reply, in chunks.

        Closing the generator early kills whatever runs. Raises SandboxUnavailable or SandboxFailed, the latter also when the supervisor ends
        without having replied.
        """

    async def exec(
        self,
        argv: list[str],
        *,
        workspace: Path | None,
        stdin: str = "",
        env: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> ExecResult:
        limits = limits or Limits()
        listing = directory.Listing((), (), ())
        async with AsyncExitStack() as stack:
            root = None
            if workspace is not None:
                listing = await asyncio.to_thread(directory.for_order, workspace, limits)
                root = stack.enter_context(directory.opened(workspace))
            text = encode_stdin(stdin)
            try:
                order = Order(
                    argv=argv,
                    env=BASE_ENV | (env or {}),
                    limits=limits,
                    stdin_size=len(text),
                    files=[(entry.path, entry.size, entry.executable, entry.mtime_ns) for entry in listing.files],
                    dirs=list(listing.directories),
                    files_back=root is not None,
                )
            except ValidationError as error:
                raise InvalidInput(f"The sandbox cannot run this: {first_problem(error)}") from None
            try:
                async with asyncio.timeout(limits.wall_s + OVERHEAD_S):
                    chunks = await stack.enter_async_context(aclosing(self.converse(order, payload(text, root, listing))))
                    return await receive(Incoming(chunks), order, root, listing)
            except TimeoutError:
                raise SandboxFailed("The sandbox did not answer in time; it was stopped.") from None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()


def encode_stdin(stdin: str) -> bytes:
    try:
        text = stdin.encode()
    except UnicodeEncodeError:
        raise InvalidInput("stdin contains a lone surrogate, which is not text.") from None
    if len(text) > MAX_STDIN:
        raise InvalidInput(f"stdin is longer than {MAX_STDIN:,} bytes.", hint="Put it into a file of the workspace.")
    return text


async def payload(text: bytes, root: int | None, listing: directory.Listing) -> AsyncIterator[bytes]:
    if text:
        yield text
    if root is None:
        return
    for entry in listing.files:
        for part in directory.contents(root, entry):
            yield part


async def receive(incoming: Incoming, order: Order, root: int | None, sent: directory.Listing) -> ExecResult:
    """Read a reply, take over what it changed, and say so. Raises SandboxFailed when it breaks off or breaks its limits."""
    try:
        reply = Reply.model_validate_json(await incoming.header())
        reply.check(order.limits)
        if reply.refused:
            raise WorkspaceError(f"The workspace does not fit into the sandbox: {reply.refused}.", hint="Raise disk_bytes.")
        stdout, stderr = await incoming.exactly(reply.stdout_size), await incoming.exactly(reply.stderr_size)
        changed, removed, left_out = [], [], list(sent.left_out)
        if root is not None:
            removed = take_away(root, reply, sent)
            changed = await take_over(incoming, root, reply, left_out)
    except EOFError:
        raise SandboxFailed("The sandbox ended before its reply was complete.") from None
    except ValueError as error:
        raise SandboxFailed(f"The sandbox's reply is malformed: {str(error)[:200]}") from None
    left_out += [f"{printable(path)}: {printable(why)}" for path, why in reply.left_out]
    if reply.left_out_count > len(reply.left_out):
        left_out.append(f"and {reply.left_out_count - len(reply.left_out):,} more")
    return ExecResult(
        stdout=stdout.decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        exit_code=reply.exit_code,
        timed_out=reply.stopped_by == "wall",
        truncated=reply.truncated,
        seconds=reply.seconds,
        stopped_by=reply.stopped_by,
        changed=tuple(sorted(changed)),
        removed=tuple(sorted(removed)),
        left_out=tuple(left_out),
    )


def printable(text: str) -> str:
    """A name that a program chose, short and without line breaks or control characters."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:300])


def take_away(root: int, reply: Reply, sent: directory.Listing) -> list[str]:
    """Delete what the program deleted, of what was sent and nothing else; deepest first. Returns the files that went."""
    files, gone = {entry.path for entry in sent.files}, set(reply.gone)
    removed = []
    for path in sorted(gone & (files | set(sent.directories)), key=lambda path: (-path.count("/"), path)):
        try:
            if directory.remove(root, path) and path in files:
                removed.append(path)
        except OSError as error:
            raise SandboxFailed(f"The workspace changed while the program ran: {path}: {error.strerror}.") from None
    return removed


async def take_over(incoming: Incoming, root: int, reply: Reply, left_out: list[str]) -> list[str]:
    """Make the directories and write the changed files; what has an odd name or no place is named in `left_out`."""
    for path in reply.directories:
        try:
            directory.make_directory(root, plain_path(path))
        except (OSError, ValueError) as error:
            left_out.append(f"{printable(path)}: {error}")
    changed = []
    for path, size, executable in reply.changed:
        content = incoming.through(size)
        try:
            with directory.arrival(root, plain_path(path), executable) as file:
                async for part in content:
                    file.write(part)
            changed.append(path)
        except (OSError, ValueError) as error:
            left_out.append(f"{printable(path)}: {error}")
            async for _ in content:  # the next file's bytes come after this one's
                pass
    return changed
