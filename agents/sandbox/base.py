"""What a sandbox is: where generated code runs, never on the host.

    Sandbox        protocol that the coder, the team and the tests know
    Limits         bounds of one execution
    ExecResult     what came of it

`bubblewrap.py`, `docker.py` and `remote.py` implement it on top of `supervised.py`; `choose` in the package picks one. Every
implementation passes the one contract suite of tests/agents/sandbox.

How a caller is protected from what a program leaves behind: the program never sees the host's workspace directory. Its files are copied into
a size-capped tmpfs, the program runs there, all its processes are killed, and then only *changed regular files* with plain names are copied
back by our own process, which follows no symlink on the way (see workspace.py). Symlinks, devices, sockets and odd names stay behind and
are named in `ExecResult.left_out`, so that a host workspace never holds a link that a program made.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024

StoppedBy = Literal["", "wall", "memory", "files"]


class Limits(BaseModel):
    """Bounds of one execution. The ranges are the most that any caller, a sandboxd client included, can ask for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_s: float = Field(
        20.0,
        gt=0,
        le=600,
        description="Seconds from the program's start until its whole process tree is killed. Start-up of the sandbox and copying of "
        "files are not counted (they have a bound of their own, see supervised.py).",
    )
    cpu_s: int = Field(
        10,
        ge=1,
        le=600,
        description="Processor seconds of one process (RLIMIT_CPU). Not of the tree: children count for themselves, and `wall_s` "
        "bounds all of them together.",
    )
    memory_bytes: int = Field(
        512 * MIB,
        ge=32 * MIB,
        le=16 * 1024 * MIB,
        description="Private memory of one process (RLIMIT_DATA: an allocation fails), and resident memory of the tree, sampled about 50 "
        "times a second (the tree is killed). A cgroup, where the backend has one, bounds the rest (page cache of the writable areas, kernel "
        "buffers); without one that rest is not bound by this field.",
    )
    pids: int = Field(64, ge=1, le=1024, description="Processes and threads that exist at once; not how many are ever started.")
    file_bytes: int = Field(64 * MIB, ge=0, le=1024 * MIB, description="Size of one file (RLIMIT_FSIZE); not of all of them.")
    disk_bytes: int = Field(
        128 * MIB,
        ge=MIB,
        le=1024 * MIB,
        description="Size of each of the two writable areas, /workspace and /tmp, both in memory. A workspace that is larger than this is "
        "refused before anything runs.",
    )
    files: int = Field(
        4096, ge=1, le=16_384, description="Files and directories in the writable areas; also the most that are copied back."
    )
    output_bytes: int = Field(
        200_000,
        ge=1000,
        le=8 * MIB,
        description="Bytes kept of stdout, and as many of stderr: the first three quarters and the last quarter. The program is not stopped "
        "when it prints more.",
    )


@dataclass(frozen=True)
class ExecResult:
    """What came of one execution. All of it is the program's word, so untrusted text.

    stdout, stderr  decoded as UTF-8, bytes that are not UTF-8 replaced; longer than `output_bytes` only by the line that says what is left out
    exit_code       0 to 255; 128 + n after signal n; 127 when argv[0] does not exist. Not a verdict: a program may exit 0 having done nothing
    timed_out       the wall clock ended it. Not set when RLIMIT_CPU did (exit code 152 or 137)
    truncated       stdout or stderr was longer than kept. Says nothing about files
    seconds         wall time of the program itself, without start-up of the sandbox and copying
    stopped_by      which watch killed the tree: "", "wall", "memory" (of the tree), "files". A single process that ran into an rlimit or
                    into the kernel's out-of-memory killer shows in its exit code only
    changed         workspace paths written or created, sorted, relative with "/". Equal content written again counts as changed
    removed         workspace paths that the program deleted (and that are deleted here too)
    left_out        "path: why" of what was not taken over: symlinks, devices, odd names, beyond limits. Never an error of the program
    """

    stdout: str
    stderr: str
    exit_code: int
    timed_out: bool
    truncated: bool
    seconds: float
    stopped_by: StoppedBy = ""
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@runtime_checkable
class Sandbox(Protocol):
    """A place to run programs in: no network, read-only system, nothing of the host's environment, files or users.

    `name` says which implementation it is ("bubblewrap", "docker", "sandboxd").
    """

    name: str

    async def start(self) -> None:
        """Check that programs really run here. Raises SandboxUnavailable with what to install. `exec` does not call it."""

    async def stop(self) -> None:
        """Release what `start` took, connections included. Programs that still run are not waited for."""

    async def exec(
        self,
        argv: list[str],
        *,
        workspace: Path | None,
        stdin: str = "",
        env: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> ExecResult:
        """Run `argv` in /workspace until it ends or is stopped; whatever it left running is killed with it.

        argv       program and arguments, no shell; looked up on the sandbox's own PATH
        workspace  host directory whose regular files appear in /workspace, read-write; None: /workspace is empty and nothing comes back
        stdin      text on standard input; then end of file
        env        added to the sandbox's own small environment; nothing of the host's is ever passed on
        limits     None means `Limits()`

        Executions share nothing and may run at the same time; two on one workspace overwrite each other's changed files.
        Raises InvalidInput (argv, env or stdin malformed), WorkspaceError (no such directory, or larger than the limits), SandboxUnavailable,
        SandboxFailed (the sandbox itself broke, retryable: nothing of that is the program's output, and some changed files may be back).
        Cancelling it kills the program.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
