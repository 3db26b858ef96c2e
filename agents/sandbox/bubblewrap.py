"""The embedded sandbox: Debian's bubblewrap, which needs no service, no image and no root.

New user, pid, net, ipc, uts and cgroup namespaces, no capabilities, no further user namespaces. Inside stand the host's /usr read-only
(so programs are the host's: its Python, its tools), a few harmless files of /etc, a small /dev, and three size-capped tmpfs: /workspace,
/tmp, /dev/shm. Neither home directories nor /etc/passwd, /var, /run or /sys are there.

As root it first becomes uid 64000: RLIMIT_NPROC does not bind root, and a flaw in bubblewrap should not meet one. Since Linux 5.14 that
limit counts per user namespace, so executions do not share it; an older kernel counts all processes of the user.

Trap: `--disable-userns` wants an explicit `--unshare-user`; without both, a program can open user namespaces of its own.
"""

import asyncio
import base64
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

from agents.sandbox import cgroup, seccomp
from agents.sandbox.base import MIB
from agents.sandbox.supervised import SUPERVISOR, SupervisedSandbox
from agents.sandbox.wire import BASE_ENV, Order, frame
from app.errors import SandboxFailed, SandboxUnavailable

UID = 64_000  # of Debian's range for static use by local administration; owns nothing
SHARED_BYTES = 64 * MIB
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "mime.types")
PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")
HINT = "Install bubblewrap (Debian: apt-get install bubblewrap libseccomp2 python3), or use Docker: KEEPSAKE_SANDBOX=docker."
CHUNK = 1 << 16


class Bubblewrap(SupervisedSandbox):
    """See the module. `cgroups`: make a control group around each execution where this process may (it may as root)."""

    name = "bubblewrap"

    def __init__(self, *, cgroups: bool = True) -> None:
        self._cgroups = cgroups

    async def start(self) -> None:
        try:
            result = await self.exec(["true"], workspace=None)
        except SandboxFailed as error:
            raise SandboxUnavailable(f"bubblewrap does not run here: {error.message}", hint=HINT) from None
        if result.exit_code:
            raise SandboxUnavailable(f"bubblewrap does not run programs here: {result.stderr[:500]}", hint=HINT)

    async def converse(self, order: Order, payload: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        bwrap, python = installed()
        code = base64.b64encode(seccomp.program()).decode()
        order = order.model_copy(update={"count_processes": True, "filter": code})
        limits = order.limits
        group = None
        if self._cgroups and os.geteuid() == 0:
            most = limits.memory_bytes + 2 * limits.disk_bytes + SHARED_BYTES + 64 * MIB
            group = await asyncio.to_thread(cgroup.create, secrets.token_hex(8), memory_bytes=most, pids=limits.pids + 4)
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *joining(group),
                *unprivileged(),
                bwrap,
                *walls(limits.disk_bytes),
                *("--", python, "-I", "-S", "-c", SUPERVISOR),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=BASE_ENV,
                cwd="/",
            )
            stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
            assert stdin and stdout and stderr  # all three are pipes
            complaint = asyncio.create_task(first_words(stderr))
            silent = True
            try:
                stdin.write(frame(order))
                async for part in payload:
                    stdin.write(part)
                    await stdin.drain()
                await stdin.drain()
                stdin.close()
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has ended already; its complaint says why
            while part := await stdout.read(CHUNK):
                silent = False
                yield part
            if silent or await process.wait():
                raise SandboxFailed(f"bubblewrap ended without an answer: {(await complaint).strip()[-500:] or 'no message'}")
        finally:
            if process is not None:
                with suppress(ProcessLookupError):
                    process.kill()  # bwrap's death ends process 1 of the pid namespace, and with it everybody inside
                await asyncio.shield(process.wait())
            if group is not None:
                await asyncio.to_thread(group.remove)


def installed() -> tuple[str, str]:
    """The paths of bwrap and of the Python that stands inside. Raises SandboxUnavailable naming what is missing."""
    bwrap = shutil.which("bwrap")
    python = next((path for path in PYTHONS if os.access(path, os.X_OK)), None)
    missing = [name for name, found in (("bwrap", bwrap), (" or ".join(PYTHONS), python)) if not found]
    if bwrap is None or python is None:
        raise SandboxUnavailable(f"The bubblewrap sandbox lacks {' and '.join(missing)}.", hint=HINT)
    return bwrap, python


def joining(group: cgroup.Cgroup | None) -> Iterable[str]:
    """A command prefix that enters the control group."""
    if group is None:
        return ()
    joins = group.joins
    return ("sh", "-c", f'for i in {"x " * len(joins)}; do echo $$ > "$1" || exit 1; shift; done; exec "$@"', "sh", *joins)


def unprivileged() -> Iterable[str]:
    """A command prefix that stops being root."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")


def walls(disk_bytes: int) -> list[str]:
    """bwrap's options: what the program sees, and nothing else."""
    options = [f"--unshare-{space}" for space in ("user", "pid", "net", "ipc", "uts", "cgroup-try")]
    options.append("--disable-userns")
    options += f"--uid {UID} --gid {UID} --hostname sandbox --die-with-parent --new-session --as-pid-1 --clearenv".split()
    options += ["--setenv", "PATH", BASE_ENV["PATH"], "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():  # a system without merged /usr
            options += ["--ro-bind", str(path), str(path)]
    for name in ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for size, area in ((disk_bytes, "/workspace"), (disk_bytes, "/tmp"), (SHARED_BYTES, "/dev/shm")):
        options += ["--perms", "0700", "--size", str(size), "--tmpfs", area]
    # bwrap's own root and /dev are tmpfs without a size, and writable until remounted
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/workspace"]


async def first_words(stream: asyncio.StreamReader) -> str:
    """The first 4,000 bytes of a stream, which is read to its end."""
    kept = bytearray()
    while part := await stream.read(CHUNK):
        kept += part[: max(0, 4000 - len(kept))]
    return kept.decode(errors="replace")


def missing() -> SandboxUnavailable | None:
    """Why this sandbox does not run on this machine, or None. Runs `true` in it: a kernel or a container may forbid user namespaces."""
    try:
        bwrap, _ = installed()
        seccomp.program()
    except SandboxUnavailable as error:
        return error
    try:
        command = [*unprivileged(), bwrap, *walls(MIB), "--", "true"]
        tried = subprocess.run(command, env=BASE_ENV, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return SandboxUnavailable(f"bubblewrap does not run here: {error}.", hint=HINT)
    if tried.returncode:
        words = tried.stderr.decode(errors="replace").strip()[-500:]
        return SandboxUnavailable(f"bubblewrap does not run here: {words or 'it ends without a message'}.", hint=HINT)
    return None
