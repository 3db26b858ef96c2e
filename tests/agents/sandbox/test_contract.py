"""What every sandbox must do. Each claim is checked on each implementation, with a program that tries the opposite."""

import asyncio
import hashlib
import os
import resource
import socket
import time
from pathlib import Path

import pytest

from agents.sandbox.base import MIB, Limits, Sandbox
from agents.sandbox.supervised import SupervisedSandbox
from agents.sandbox.workspace import safe_listing
from app.errors import InvalidInput, WorkspaceError
from tests.agents.sandbox.conftest import RunPython

pytestmark = pytest.mark.sandbox


def running(marker: str) -> list[str]:
    """Processes of this machine, sandboxes included, whose command line contains `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker in (entry / "cmdline").read_text():
                found.append(entry.name)
        except OSError:
            continue
    return found


async def gone(marker: str) -> bool:
    """Whether nothing with `marker` runs any more; the kernel may need a moment after the kill."""
    for _ in range(100):
        if not running(marker):
            return True
        await asyncio.sleep(0.02)
    return False


# What a program says


async def test_stdout_stderr_and_exit_code_are_exact(python: RunPython) -> None:
    result = await python("import sys; sys.stdout.write('out\\n\\n'); sys.stderr.write('err'); sys.exit(7)")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n\n", "err", 7)
    assert not result.timed_out and not result.truncated and result.stopped_by == ""


async def test_it_is_a_sandbox_by_protocol(sandbox: SupervisedSandbox) -> None:
    assert isinstance(sandbox, Sandbox)
    await sandbox.start()


async def test_death_by_signal_is_128_and_its_number(python: RunPython) -> None:
    assert (await python("import os; os.kill(os.getpid(), 15)")).exit_code == 143


async def test_a_missing_program_is_127(sandbox: SupervisedSandbox) -> None:
    result = await sandbox.exec(["no-such-program"], workspace=None)
    assert result.exit_code == 127 and "no-such-program" in result.stderr


async def test_stdin_arrives_and_ends(python: RunPython) -> None:
    text = "erste Zeile\nzweite 雪 🎈\n" * 20_000
    result = await python("import sys, hashlib; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())", stdin=text)
    assert result.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


async def test_no_stdin_is_an_empty_stdin(python: RunPython) -> None:
    assert (await python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


async def test_unicode_comes_through(python: RunPython, workspace: Path) -> None:
    result = await python("import sys; print('ä雪🎈', sys.argv[1]); open('ünï 雪.txt', 'w').write('🎈')", "ß")
    assert result.stdout == "ä雪🎈 ß\n"
    assert (workspace / "ünï 雪.txt").read_text() == "🎈"


async def test_output_that_is_not_utf8_is_replaced(python: RunPython) -> None:
    assert (await python("import os; os.write(1, b'a\\xff\\xfeb')")).stdout == "a\ufffd\ufffdb"


async def test_one_gigabyte_printed_is_bounded_and_never_held(python: RunPython) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    program = (
        "import os\nblock = b'x' * (1 << 20)\nfor _ in range(1024):\n    os.write(1, block)\nos.write(1, b'the end'); os.write(2, b'done')"
    )
    result = await python(program, wall_s=90, cpu_s=60)
    assert result.truncated and result.exit_code == 0 and result.stderr == "done"
    assert len(result.stdout) < 200_100
    assert result.stdout.endswith("the end") and f"{(1 << 30) + 7 - 200_000} bytes left out" in result.stdout
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


async def test_environment_is_what_was_given_and_nothing_of_the_hosts(sandbox: SupervisedSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_TEST_SECRET", "do-not-pass-on")
    result = await sandbox.exec(["env"], workspace=None, env={"GIVEN": "ja 雪"})
    names = {line.split("=")[0] for line in result.stdout.splitlines()}
    assert "GIVEN=ja 雪" in result.stdout
    assert names == {"GIVEN", "PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE"}


async def test_nobodys_environment_can_be_read_inside(python: RunPython, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPSAKE_TEST_SECRET", "do-not-pass-on")
    program = """
import os
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        print(pid, open(f'/proc/{pid}/environ').read())
    except PermissionError:
        print(pid, 'closed')
"""
    result = await python(program)
    assert "do-not-pass-on" not in result.stdout and "1 closed" in result.stdout


async def test_no_descriptor_is_left_open_for_the_program(python: RunPython) -> None:
    assert (await python("import os; print(sorted(os.listdir('/proc/self/fd')))")).stdout == "['0', '1', '2', '3']\n"  # 3 lists


# Files


async def test_files_go_in_and_changed_ones_come_back(python: RunPython, workspace: Path) -> None:
    (workspace / "in").mkdir()
    (workspace / "in" / "numbers.csv").write_text("1\n2\n3\n")
    (workspace / "same.txt").write_text("same")
    (workspace / "edit.txt").write_text("old!")
    program = """
import os
total = sum(int(line) for line in open('in/numbers.csv'))
os.makedirs('out/deep'); open('out/deep/total.txt', 'w').write(str(total)); open('edit.txt', 'w').write('new!')
open('run.sh', 'w').write('#!/bin/sh'); os.chmod('run.sh', 0o700); os.mkdir('empty')
"""
    result = await python(program)
    assert result.exit_code == 0, result.stderr
    assert result.changed == ("edit.txt", "out/deep/total.txt", "run.sh") and result.removed == () and result.left_out == ()
    assert (workspace / "out/deep/total.txt").read_text() == "6" and (workspace / "edit.txt").read_text() == "new!"
    assert os.access(workspace / "run.sh", os.X_OK) and (workspace / "empty").is_dir()
    for path in workspace.rglob("*"):
        assert path.stat().st_uid == os.geteuid()


async def test_deleted_and_replaced_files_are_so_here_too(python: RunPython, workspace: Path) -> None:
    (workspace / "old").mkdir()
    (workspace / "old" / "a").write_text("a")
    (workspace / "b").write_text("b")
    (workspace / "kept").write_text("k")
    result = await python("import os, shutil; shutil.rmtree('old'); open('old', 'w').write('file now'); os.remove('b')")
    assert result.removed == ("b", "old/a") and result.changed == ("old",)
    assert sorted(path.name for path in workspace.iterdir()) == ["kept", "old"] and (workspace / "old").read_text() == "file now"


async def test_without_a_workspace_nothing_goes_in_or_out(sandbox: SupervisedSandbox) -> None:
    result = await sandbox.exec(["sh", "-c", "pwd; ls -A; echo x > made"], workspace=None)
    assert (result.stdout, result.changed, result.exit_code) == ("/workspace\n", (), 0)


async def test_a_directory_closed_to_its_owner_still_comes_back(python: RunPython, workspace: Path) -> None:
    await python("import os; os.mkdir('d'); open('d/f', 'w').write('x'); os.chmod('d/f', 0); os.chmod('d', 0)")
    assert (workspace / "d" / "f").read_text() == "x"


async def test_a_changed_file_is_noticed_even_with_its_old_time_and_size(python: RunPython, workspace: Path) -> None:
    (workspace / "f").write_text("aaaa")
    program = "import os; s = os.stat('f'); open('f', 'w').write('bbbb'); os.utime('f', ns=(s.st_atime_ns, s.st_mtime_ns))"
    assert (await python(program)).changed == ("f",)
    assert (workspace / "f").read_text() == "bbbb"


async def test_links_devices_and_odd_names_stay_behind_and_are_named(python: RunPython, workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("host secret")
    program = """
import os, socket, sys
os.symlink(sys.argv[1], 'link'); os.symlink('/', 'root'); os.mkfifo('pipe'); os.symlink('good.txt', 'inner')
open('line\\nbreak', 'w'); open(b'\\xff.txt', 'w'); open('good.txt', 'w').write('good')
socket.socket(socket.AF_UNIX).bind('socket')
"""
    result = await python(program, str(secret))
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in workspace.iterdir()] == ["good.txt"] and result.changed == ("good.txt",)
    named = {note.rsplit(": ", 1)[0] for note in result.left_out}
    assert {"link", "root", "pipe", "inner", "socket"} <= named and len(result.left_out) == 7


async def test_a_link_in_the_hosts_workspace_leads_nowhere_inside(python: RunPython, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("host secret")
    (workspace / "link").symlink_to(tmp_path / "secret.txt")
    (workspace / "up").symlink_to(tmp_path)
    result = await python("import os; print(os.listdir('.')); os.mkdir('up'); open('up/secret.txt', 'w').write('overwritten')")
    assert result.stdout == "[]\n"
    assert (tmp_path / "secret.txt").read_text() == "host secret" and (workspace / "up").is_symlink()
    assert any(note.startswith("up/secret.txt") for note in result.left_out)


async def test_paths_out_of_the_workspace_reach_nothing_of_the_host(python: RunPython, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("host secret")
    program = """
import os, sys
for path in (sys.argv[1], '../secret.txt', '/workspace/../secret.txt', '/proc/1/root' + sys.argv[1], '/proc/1/cwd/../secret.txt'):
    for mode in 'rw':
        try:
            print(open(path, mode).read() if mode == 'r' else open(path, mode).write('escaped'))
        except OSError as error:
            print(type(error).__name__)
"""
    result = await python(program, str(tmp_path / "secret.txt"))
    assert "host secret" not in result.stdout and (tmp_path / "secret.txt").read_text() == "host secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.txt", "workspace"] and not list(workspace.iterdir())


async def test_a_workspace_beyond_the_limits_is_refused_before_anything_runs(python: RunPython, workspace: Path) -> None:
    (workspace / "large").write_bytes(b"x" * (2 * MIB))
    with pytest.raises(WorkspaceError, match="more than the sandbox takes"):
        await python("open('ran', 'w')", disk_bytes=MIB)
    (workspace / "large").unlink()
    for number in range(5):
        (workspace / str(number)).touch()
    with pytest.raises(WorkspaceError, match="more than 4 files"):
        await python("open('ran', 'w')", files=4)
    assert not (workspace / "ran").exists()


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ([], {}),
        ([""], {}),
        (["true", "nul\0"], {}),
        (["true", "\udcff"], {}),
        (["true", "x" * 200_000], {}),
        (["true"], {"env": {"A=B": "c"}}),
        (["true"], {"env": {"A": "nul\0"}}),
        (["true"], {"stdin": "\udcff"}),
        (["true"], {"stdin": "x" * (9 * MIB)}),
    ],
)
async def test_malformed_orders_are_invalid_input(sandbox: SupervisedSandbox, argv: list[str], options: dict) -> None:
    with pytest.raises(InvalidInput):
        await sandbox.exec(argv, workspace=None, **options)


# Walls


async def test_there_is_no_network(python: RunPython) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = """
import os, socket, sys
print([name for _, name in socket.if_nameindex()])
for host, port in (('127.0.0.1', int(sys.argv[1])), ('192.0.2.1', 80), ('169.254.169.254', 80)):
    try:
        socket.create_connection((host, port), timeout=2); print('connected')
    except OSError as error:
        print('refused')
for family in (socket.AF_VSOCK, socket.AF_PACKET):
    try:
        socket.socket(family, socket.SOCK_STREAM if family == socket.AF_VSOCK else socket.SOCK_RAW); print('opened')
    except OSError:
        print('refused')
"""
        result = await python(program, str(server.getsockname()[1]))
    lines = result.stdout.splitlines()
    assert "eth0" not in lines[0] and lines[1:] == ["refused"] * 5, result


async def test_everything_but_the_writable_areas_is_read_only(python: RunPython) -> None:
    program = """
import os
for place in '/ /usr /usr/bin /usr/local /etc /dev /bin /lib /var /var/tmp /home /root /run /run/lock /sys /proc/sys /opt'.split():
    if os.path.isdir(place):
        try:
            open(place + '/written', 'w'); print('wrote', place)
        except OSError:
            pass
for area in ('/workspace', '/tmp', '/dev/shm'):
    open(area + '/written', 'w').write('x'); print(area)
try:
    open('/proc/sys/kernel/hostname', 'w').write('x'); print('wrote a kernel setting')
except OSError:
    pass
"""
    assert (await python(program)).stdout.split() == ["/workspace", "/tmp", "/dev/shm"]


async def test_the_program_has_no_capabilities_and_gains_none(python: RunPython) -> None:
    result = await python("print(open('/proc/self/status').read())")
    fields = dict(line.split(":\t", 1) for line in result.stdout.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and fields["Uid"].split()[0] != "0"


async def test_no_new_namespaces(python: RunPython) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000):  # user, mount, net, pid
    print(libc.unshare(flag), libc.syscall(56, flag | 17, 0, 0, 0, 0))  # 56: clone
print(os.system('unshare -Ur true 2>/dev/null') != 0, os.system('unshare -n true 2>/dev/null') != 0)
"""
    assert (await python(program)).stdout == "-1 -1\n" * 4 + "True True\n"


async def test_other_processes_cannot_be_traced_and_the_supervisor_not_be_touched(python: RunPython) -> None:
    program = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ptrace(16, 1, 0, 0))  # PTRACE_ATTACH
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
    try:
        os.kill(1, number)
    except PermissionError:
        pass
for path in ('/proc/1/fd', '/proc/1/mem', '/proc/1/maps'):
    try:
        (os.listdir if path.endswith('fd') else lambda path: open(path, 'rb').read(1))(path); print('opened', path)
    except OSError:
        pass
if os.fork() == 0:
    signal.pause()
os.kill(-1, signal.SIGKILL)  # everybody but itself and process 1
print('still here')
"""
    result = await python(program)
    assert (result.stdout, result.exit_code) == ("-1\nstill here\n", 0), result


# Limits


async def test_memory_of_one_process_is_bound(python: RunPython) -> None:
    result = await python("x = bytearray(400 << 20)", memory_bytes=128 * MIB)
    assert result.exit_code == 1 and "MemoryError" in result.stderr


async def test_memory_of_the_tree_is_bound(python: RunPython) -> None:
    program = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        block = bytearray(60 << 20); time.sleep(30)
time.sleep(30)
"""
    result = await python(program, memory_bytes=128 * MIB)
    assert result.stopped_by == "memory" or result.exit_code == 137, result
    assert result.seconds < 15


async def test_shared_memory_is_bound(python: RunPython) -> None:
    program = "import mmap\nm = mmap.mmap(-1, 400 << 20)\nfor i in range(0, len(m), 4096): m[i] = 1\nprint('had it')"
    result = await python(program, memory_bytes=128 * MIB)
    assert result.exit_code != 0 and "had it" not in result.stdout


async def test_a_fork_bomb_stops_at_the_limit(python: RunPython) -> None:
    program = """
import os, time
children = 0
try:
    while children < 500:
        if os.fork() == 0:
            time.sleep(30); os._exit(0)
        children += 1
except BlockingIOError:
    print('refused after', children)
"""
    result = await python(program, pids=20)
    assert result.stdout.startswith("refused after") and 10 <= int(result.stdout.split()[-1]) <= 20, result


async def test_a_real_fork_bomb_ends_with_the_wall_time(sandbox: SupervisedSandbox) -> None:
    bomb = ["sh", "-c", "f() { f | f & }; f; sleep 31.4159"]
    result = await sandbox.exec(bomb, workspace=None, limits=Limits(wall_s=1.5, pids=30))
    assert result.timed_out or result.exit_code != 0
    assert await gone("31.4159")


async def test_threads_count_as_processes(python: RunPython) -> None:
    program = """
import threading, time
try:
    for n in range(200):
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
except RuntimeError:
    print('refused', n, flush=True)
    import os; os._exit(0)
"""
    result = await python(program, pids=16)
    assert result.stdout.startswith("refused") and int(result.stdout.split()[1]) <= 16


async def test_cpu_time_is_bound(python: RunPython) -> None:
    result = await python("while True: pass", cpu_s=1, wall_s=60)
    assert result.exit_code in {128 + 24, 137} and not result.timed_out and result.seconds < 30


async def test_wall_time_kills_the_whole_tree(python: RunPython, workspace: Path) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    program = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
print('started', flush=True); open('partial.txt', 'w').write('so far')
time.sleep(60)
"""
    result = await python(program, marker, wall_s=1)
    assert result.timed_out and result.stopped_by == "wall" and result.exit_code == 137
    assert result.stdout.startswith("started") and 1 <= result.seconds < 5
    assert (workspace / "partial.txt").read_text() == "so far"
    assert await gone(marker)


async def test_what_is_left_running_ends_with_the_program(python: RunPython) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    program = """
import subprocess, sys
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]], start_new_session=True)
print('main is done')
"""
    result = await python(program, marker)
    assert result.exit_code == 0 and not result.timed_out and result.seconds < 10
    assert await gone(marker)


async def test_a_full_disk_is_the_programs_problem_only(python: RunPython, workspace: Path) -> None:
    program = """
import os
for area in ('/workspace', '/tmp'):
    written = 0
    for n in range(100):
        try:
            with open(f'{area}/{n}', 'wb', buffering=0) as file:
                for _ in range(8):
                    written += file.write(b'x' * (1 << 20))
        except OSError as error:
            print(area, error.errno, written <= 16 << 20); break
"""
    result = await python(program, disk_bytes=16 * MIB)
    assert result.stdout == "/workspace 28 True\n/tmp 28 True\n", result
    assert safe_listing(workspace).size <= 16 * MIB


async def test_sparse_files_do_not_fill_the_hosts_disk(python: RunPython, workspace: Path) -> None:
    result = await python("for n in range(50):\n    open(str(n), 'w').truncate(3 << 20)", disk_bytes=16 * MIB)
    assert safe_listing(workspace).size <= 16 * MIB and len(result.changed) == 5
    assert any("larger than what may be copied back" in note for note in result.left_out)


async def test_one_file_is_bound(python: RunPython, workspace: Path) -> None:
    result = await python("f = open('f', 'wb', buffering=0)\nwhile True: f.write(b'x' * 100_000)", file_bytes=MIB)
    assert "File too large" in result.stderr and (workspace / "f").stat().st_size == MIB


async def test_the_number_of_files_is_bound(python: RunPython, workspace: Path) -> None:
    result = await python("for n in range(1_000_000): open(str(n), 'w').close()", files=200, wall_s=30)
    assert result.stopped_by == "files" or "No space left" in result.stderr, result
    assert len(list(workspace.iterdir())) <= 200


async def test_a_deep_tree_is_cut(python: RunPython, workspace: Path) -> None:
    result = await python("import os\nfor n in range(200):\n    os.mkdir('d'); os.chdir('d')")
    assert result.exit_code == 0 and any("too deep" in note for note in result.left_out)
    assert max(len(path.relative_to(workspace).parts) for path in workspace.rglob("*")) <= 33


# Running it


async def test_executions_at_the_same_time_do_not_meet(sandbox: SupervisedSandbox, tmp_path: Path) -> None:
    async def one(number: int) -> str:
        place = tmp_path / str(number)
        place.mkdir()
        program = f"import os, time; open('mine', 'w').write('{number}'); time.sleep(0.3); print(os.listdir('.'), len(os.listdir('/tmp')))"
        result = await sandbox.exec(["python3", "-c", program], workspace=place)
        assert result.stdout == "['mine'] 0\n", result
        return (place / "mine").read_text()

    assert await asyncio.gather(*(one(number) for number in range(3))) == ["0", "1", "2"]


async def test_cancelling_kills_the_program(python: RunPython) -> None:
    marker = f"marker-{os.getpid()}-{time.monotonic_ns()}"
    task = asyncio.create_task(python("import time; time.sleep(60)", marker, wall_s=60))
    for _ in range(500):
        if len(running(marker)) and any("sleep(60)" in Path(f"/proc/{pid}/cmdline").read_text() for pid in running(marker)):
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the program never ran")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)
