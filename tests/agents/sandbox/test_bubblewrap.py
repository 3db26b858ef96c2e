"""What is special to bubblewrap: whom it runs as, what of the host it shows, what happens when we die."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.sandbox import bubblewrap, cgroup
from agents.sandbox.base import MIB
from agents.sandbox.bubblewrap import Bubblewrap
from app.errors import SandboxUnavailable
from tests.agents.sandbox.test_contract import gone, running

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("need_bubblewrap")]
ROOT = Path(__file__).parents[3]

AS_SOMEBODY = """
import asyncio, json, os, sys
from pathlib import Path
from agents.sandbox.base import Limits
from agents.sandbox.bubblewrap import Bubblewrap
program = '''
import os, time
children = 0
try:
    while children < 300:
        if os.fork() == 0:
            time.sleep(20); os._exit(0)
        children += 1
except BlockingIOError:
    open("out.txt", "w").write("ja")
    print(children, os.getuid(), os.system("unshare -Ur true 2>/dev/null") != 0)
'''
result = asyncio.run(Bubblewrap().exec(["python3", "-c", program], workspace=Path(sys.argv[1]), limits=Limits(pids=20)))
print(json.dumps([os.getuid(), result.stdout, result.stderr, result.changed]))
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users may come to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def interpreter_for_others() -> tuple[str, str]:
    """A Python of our version that every user may run, and the directories that hold our packages."""
    packages = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    candidates = (sys.executable, shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin"))
    for candidate in filter(None, candidates):
        with contextlib.suppress(PermissionError):
            if as_user(4321, [candidate, "-c", "import pydantic, httpx"], {"PYTHONPATH": packages}).returncode == 0:
                return candidate, packages
    pytest.skip("No Python with our packages can be run by another user here.")


def as_user(uid: int, command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, user=uid, group=uid, extra_groups=[], cwd="/", capture_output=True, text=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="As an ordinary user the whole suite shows this already.")
def test_an_ordinary_user_gets_the_same_walls(public: Path) -> None:
    python, packages = interpreter_for_others()
    os.chown(public, 4321, 4321)
    ran = as_user(4321, [python, "-c", AS_SOMEBODY, str(public)], {"PYTHONPATH": packages, "PATH": os.environ["PATH"]})
    assert ran.returncode == 0, ran.stderr
    uid, stdout, stderr, changed = json.loads(ran.stdout)
    children, inside, no_namespace = stdout.split()
    assert uid == 4321 and inside == str(bubblewrap.UID) and no_namespace == "True" and changed == ["out.txt"], stderr
    assert 10 <= int(children) <= 20
    assert (public / "out.txt").stat().st_uid == 4321


async def test_users_and_places_of_the_host_are_not_there() -> None:
    result = await Bubblewrap().exec(
        ["sh", "-c", "ls -A / /etc; cat /etc/passwd /etc/hosts; hostname; ls /proc | grep -c '^[0-9]'"], workspace=None
    )
    names = set(result.stdout.split())
    assert not names & {"home", "root", "var", "run", "sys", "boot", "opt", "srv", "mnt", "passwd", "shadow", "hosts", "ssl", "ssh"}
    assert "sandbox" in names and "No such file" in result.stderr
    assert result.stdout.split()[-1] == "4"  # supervisor, sh, ls, grep


async def test_memory_without_a_file_and_system_v_memory_are_refused() -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None)
for attempt in (lambda: os.memfd_create('x'), lambda: libc.shmget(0, 1 << 20, 0o1600), lambda: libc.prlimit(1, 7, b'\\0' * 16, None)):
    try:
        print(attempt())
    except OSError as error:
        print(-error.errno)
"""
    result = await Bubblewrap().exec(["python3", "-c", program], workspace=None)
    assert result.stdout.split() == ["-1", "-1", "-1"], result


async def test_when_we_are_killed_the_program_dies_with_us() -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    program = f"""
import asyncio
from agents.sandbox.bubblewrap import Bubblewrap
asyncio.run(Bubblewrap().exec(["python3", "-c", "import time; print('{marker}'); time.sleep(60)"], workspace=None))
"""
    ours = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        inside: list[str] = []
        deadline = time.monotonic() + 20
        while not inside and time.monotonic() < deadline:
            inside = [pid for pid in running(marker) if "asyncio" not in command_line(pid)]
            time.sleep(0.02)
        assert inside, "the program never ran"
    finally:
        ours.send_signal(signal.SIGKILL)
        ours.wait()
    assert await gone(marker)


def command_line(pid: str) -> str:
    try:
        return Path("/proc", pid, "cmdline").read_text()
    except OSError:
        return "asyncio"  # ended meanwhile: not the one that is looked for


async def test_a_machine_without_bubblewrap_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailable, match="bwrap") as caught:
        await Bubblewrap().start()
    assert "apt-get install bubblewrap" in caught.value.hint and bubblewrap.missing() is not None


async def test_a_bubblewrap_that_cannot_make_namespaces_is_unavailable(monkeypatch: pytest.MonkeyPatch, public: Path) -> None:
    broken = public / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{public}:{os.environ['PATH']}")
    with pytest.raises(SandboxUnavailable, match="No permissions"):
        await Bubblewrap().start()
    reason = bubblewrap.missing()
    assert reason is not None and "No permissions" in reason.message


# Control groups


async def test_a_control_group_is_around_the_program_and_leaves_nothing() -> None:
    if (probe := cgroup.create(secrets.token_hex(8), memory_bytes=MIB, pids=1)) is None:
        pytest.skip("No control group can be made here: it takes root and a writable cgroup tree.")
    places = [directory.parent for directory in probe.directories]
    probe.remove()
    before = {path for place in places for path in place.iterdir()}
    program = "import time; open('f', 'wb').write(b'x' * (1 << 20)); time.sleep(1)"
    task = asyncio.create_task(Bubblewrap().exec(["python3", "-c", program], workspace=None))
    joined: set[Path] = set()
    while not task.done():
        joined |= {path for place in places for path in place.glob("*/") if path not in before}
        await asyncio.sleep(0.05)
    assert task.result().exit_code == 0 and joined
    assert not any(path.exists() for path in joined)


def test_version_2_switches_controllers_on_and_sets_both_bounds(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory pids")
    group = cgroup.create("one", memory_bytes=1000, pids=7, mount=tmp_path)
    assert group is not None and group.joins == [str(tmp_path / "keepsake" / "one" / "cgroup.procs")]
    values = {name: (tmp_path / "keepsake" / "one" / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")}
    assert values == {"memory.max": "1000", "memory.swap.max": "0", "pids.max": "7"}
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_where_no_group_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert cgroup.create("one", memory_bytes=1000, pids=7, mount=tmp_path / "absent") is None
