"""The first process inside a sandbox: takes files and an order, runs the program, sends back what came of it.

Its text is handed to the sandbox's own Python (3.9 or later) with `-c`, so it imports the standard library only and nothing of ours. It is
process 1 of its pid namespace: no signal from inside reaches it, and killing "everybody else" really is everybody. It makes no security
decision for the host: whoever reads the reply treats it as the program's word (wire.py, workspace.py). What it does for the program's
sake: exact limits, the whole tree killed at the end, output bounded while it is printed, files counted and named.

Order and reply travel over stdin and stdout: 8 bytes big-endian length, a JSON header, then the raw bytes that the header announces.
"""

import base64
import ctypes
import json
import os
import resource
import select
import signal
import stat
import sys
import time

WORKSPACE, TEMPORARY, SHARED = "/workspace", "/tmp", "/dev/shm"
AREAS = (WORKSPACE, TEMPORARY, SHARED)
CHUNK = 1 << 16
SAMPLE_S = 0.02  # how often memory and files are looked at
DEPTH, LONGEST, NAMED = 32, 512, 100  # deepest and longest path (bytes) taken back; most left-out paths named
PAGE = resource.getpagesize()
PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 22, 2


def receive(size):
    parts = []
    while size:
        part = os.read(0, min(size, CHUNK))
        if not part:
            sys.exit(3)  # the host went away before its order was complete
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def unpack(order):
    """Put the order's files into the workspace; return {path: stamp}. The time stamp shows a later write even within one clock tick."""
    for path in order["dirs"]:
        os.makedirs(path, exist_ok=True)
    stamps = {}
    for path, size, executable, mtime_ns in order["files"]:
        with open(path, "xb", buffering=0) as file:
            while size:
                part = receive(min(size, CHUNK))
                size -= len(part)
                while part:
                    part = part[file.write(part) :]
        os.chmod(path, 0o755 if executable else 0o644)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        stamps[path] = stamp(os.stat(path))
    return stamps


def stamp(status):
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode & 0o100


class Capture:
    """The first three quarters and the last quarter of a stream, whatever its length."""

    def __init__(self, kept):
        self.head, self.tail, self.total = bytearray(), bytearray(), 0
        self.head_size, self.tail_size = kept - kept // 4, kept // 4

    def add(self, data):
        self.total += len(data)
        room = self.head_size - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        self.tail += data
        if len(self.tail) > self.tail_size:
            del self.tail[: len(self.tail) - self.tail_size]

    @property
    def left_out(self):
        return self.total - len(self.head) - len(self.tail)

    def text(self):
        if not self.left_out:
            return bytes(self.head + self.tail)
        return bytes(self.head) + b"\n[... %d bytes left out ...]\n" % self.left_out + bytes(self.tail)


def become_program(order, stdin, stdout, stderr, trouble):
    """In the child: take on the limits and turn into the program. Never returns; what breaks before the exec goes to `trouble`."""
    try:
        take_limits(order, stdin, stdout, stderr)
    except Exception as error:
        os.write(trouble, repr(error).encode(errors="replace")[:1000])
        os._exit(126)
    try:
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(2, f"{order['argv'][0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def take_limits(order, stdin, stdout, stderr):
    limits = order["limits"]
    os.setsid()
    for source, target in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)  # Python ignores the first two, and the program would inherit that
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # /proc/self belongs to it again
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # the kernel takes the program first, not the supervisor
    os.nice(10)
    os.umask(0o022)
    memory = limits["memory_bytes"]
    bounds = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (limits["cpu_s"], limits["cpu_s"] + 1),
        resource.RLIMIT_FSIZE: (limits["file_bytes"],) * 2,
        resource.RLIMIT_DATA: (memory,) * 2,
        resource.RLIMIT_AS: (4 * memory,) * 2,  # shared mappings, which RLIMIT_DATA does not count
        resource.RLIMIT_NOFILE: (256, 256),
    }
    if order["count_processes"]:
        bounds[resource.RLIMIT_NPROC] = (limits["pids"],) * 2
    for kind, (soft, hard) in bounds.items():
        most = resource.getrlimit(kind)[1]
        most = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(kind, (min(soft, most), most))
    load_filter(base64.b64decode(order["filter"]))


def load_filter(program):
    """Install a seccomp BPF program, for good and for all children. OSError when the kernel does not take it."""
    if not program:
        return
    code = ctypes.create_string_buffer(program, len(program))
    described = SockFprog(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(described)):
        raise OSError(ctypes.get_errno(), "seccomp")


class SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def resident(field):
    """Bytes of memory of everybody but process 1: `rss` counts shared pages once per process, `pss` once."""
    total = 0
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or pid == "1":
            continue
        try:
            if field == "rss":
                with open(f"/proc/{pid}/statm") as file:
                    total += int(file.read().split()[1]) * PAGE
            else:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024
        except PermissionError:  # a process that hides its map is counted in full
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1]) * PAGE
        except (OSError, StopIteration):
            continue  # it has just ended
    return total


def inodes():
    counts = (os.statvfs(area) for area in AREAS)
    return sum(count.f_files - count.f_ffree for count in counts)


def run(order, stdin_text):
    """Run the program to its end or to a limit, kill what is left, return (exit code, stopped_by, seconds, stdout, stderr)."""
    limits = order["limits"]
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    stdin = os.open(TEMPORARY, os.O_TMPFILE | os.O_RDWR, 0o600)
    while stdin_text:
        stdin_text = stdin_text[os.write(stdin, stdin_text) :]
    os.lseek(stdin, 0, os.SEEK_SET)
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    baseline = inodes()
    started = time.monotonic()
    trouble, trouble_end = os.pipe()
    main = os.fork()
    if main == 0:
        become_program(order, stdin, out_end, err_end, trouble_end)
    for end in (stdin, out_end, err_end, trouble_end):
        os.close(end)
    broken = os.read(trouble, 1000)  # ends without a byte once the program has been started
    if broken:
        sys.exit(f"the program's limits could not be set: {broken.decode()}")

    streams = {out: Capture(limits["output_bytes"]), err: Capture(limits["output_bytes"])}
    deadline, sample, status, stopped = started + limits["wall_s"], started + SAMPLE_S, None, ""
    poll = select.poll()
    for descriptor in (wake, out, err):
        poll.register(descriptor, select.POLLIN)
    open_streams = {out, err}

    def take(descriptor):
        data = os.read(descriptor, CHUNK)
        if data:
            streams[descriptor].add(data)
        else:
            poll.unregister(descriptor)
            open_streams.discard(descriptor)

    while status is None and not stopped:
        for descriptor, _ in poll.poll(1000 * SAMPLE_S):
            if descriptor == wake:
                os.read(wake, CHUNK)
            else:
                take(descriptor)
        status = reap(main)
        now = time.monotonic()
        if status is None and now >= sample:
            sample = now + SAMPLE_S
            if now >= deadline:
                stopped = "wall"
            elif resident("rss") > limits["memory_bytes"] and resident("pss") > limits["memory_bytes"]:
                stopped = "memory"
            elif inodes() - baseline > limits["files"]:
                stopped = "files"
    seconds = time.monotonic() - started
    status = kill_all(main, status)
    while open_streams:  # nobody can write any more: what is left is at most a pipe's buffer
        take(next(iter(open_streams)))
    code = os.waitstatus_to_exitcode(status)
    return (code if code >= 0 else 128 - code), stopped, seconds, streams[out], streams[err]


def reap(main):
    """Collect whoever has ended; the main program's wait status once it has."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == main:
            found = status


def kill_all(main, status):
    """Kill every process but this one and wait for all of them; the main program's wait status."""
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
            pid, ended = os.waitpid(-1, 0)
        except (ProcessLookupError, ChildProcessError):  # nobody is left
            return status
        if pid == main:
            status = ended


def survey(stamps, sent_directories, limits):
    """What the workspace holds now: (changed files, directories, what is gone, left out with reasons, how many left out)."""
    changed, directories, left, budget = [], [], [], limits["disk_bytes"]
    todo, present, complete = [("", 0)], {}, True
    count = omitted = 0

    def leave(path, why):
        nonlocal omitted
        omitted += 1
        if len(left) < NAMED:
            left.append([path.encode("utf-8", "replace").decode()[:300], why])

    while todo:
        base, depth = todo.pop()
        here = base or "."
        try:
            os.chmod(here, os.stat(here).st_mode | 0o700)  # a directory closed to its owner is opened again
            entries = sorted(os.scandir(here), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            leave(base, error.strerror)
            complete = False
            continue
        for entry in entries:
            path = f"{base}/{entry.name}" if base else entry.name
            if not path.isprintable():  # control characters and bytes that are not UTF-8
                leave(path, "name is not printable")
                continue
            status = entry.stat(follow_symlinks=False)
            present[path] = stat.S_ISDIR(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                leave(path, "symbolic link")
            elif not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
                leave(path, "not a regular file")
            elif count >= limits["files"]:
                leave(path, "too many files")
                complete = complete and not present[path]  # a directory that is not looked into
            elif depth >= DEPTH or len(path.encode()) > LONGEST:
                leave(path, "too deep")
            elif stat.S_ISDIR(status.st_mode):
                count += 1
                directories.append(path)
                todo.append((path, depth + 1))
            else:
                count += 1
                if stamps.get(path) == stamp(status):
                    continue
                if status.st_size > budget:
                    leave(path, "larger than what may be copied back")
                    continue
                budget -= status.st_size
                os.chmod(path, status.st_mode | 0o600)
                changed.append([path, status.st_size, bool(status.st_mode & 0o100)])
    gone = [path for path in stamps if present.get(path, True)]  # missing, or a directory now
    gone += [path for path in sent_directories if not present.get(path, False)]
    return changed, directories, gone if complete else [], left, omitted


def reply(header, parts=(), files=()):
    body = json.dumps(header, ensure_ascii=False).encode()
    send(len(body).to_bytes(8, "big") + body)
    for part in parts:
        send(part)
    for path, size, _ in files:
        with open(path, "rb", buffering=0) as file:
            while size:
                part = file.read(min(size, CHUNK))
                send(part)
                size -= len(part)


def main():
    if os.getpid() != 1:
        sys.exit("the supervisor must be process 1 of its own pid namespace")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # with a handler, process 1 could be interrupted from inside
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # nobody inside reads its descriptors or memory
    os.chdir(WORKSPACE)
    order = json.loads(receive(int.from_bytes(receive(8), "big")))
    stdin_text = receive(order["stdin_size"])
    try:
        stamps = unpack(order)
    except OSError as error:
        reply({"refused": f"{error.strerror}: {error.filename or 'the workspace'}"})
        return
    code, stopped, seconds, out, err = run(order, stdin_text)
    nothing = [], [], [], [], 0
    found = survey(stamps, order["dirs"], order["limits"]) if order["files_back"] else nothing
    changed, directories, gone, left, omitted = found
    texts = out.text(), err.text()
    reply(
        {
            "exit_code": code,
            "stopped_by": stopped,
            "truncated": bool(out.left_out or err.left_out),
            "seconds": round(seconds, 4),
            "stdout_size": len(texts[0]),
            "stderr_size": len(texts[1]),
            "changed": changed,
            "directories": directories,
            "gone": gone,
            "left_out": left,
            "left_out_count": omitted,
        },
        texts,
        changed,
    )


if __name__ == "__main__":
    main()
