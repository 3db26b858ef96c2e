"""A private PostgreSQL cluster for tests: initdb into a temporary directory, TCP on a free loopback port, gone afterwards."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Directory of initdb and postgres, newest version; None when PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def cluster() -> Iterator[str]:
    """URL (without a database name) of a running cluster. PostgreSQL refuses to run as root, so root becomes `postgres` or `nobody`."""
    bin_dir = binaries()
    assert bin_dir is not None
    root = Path(tempfile.mkdtemp(prefix="keepsake-pg-"))  # not below pytest's own folder, which other users cannot enter
    user = _unprivileged()
    if user:
        shutil.chown(root, user)

    def run(*argv: str) -> None:
        done = subprocess.run(
            argv, user=user, cwd=root, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password = secrets.token_hex(12)
    (root / "password").write_text(password)
    if user:
        shutil.chown(root / "password", user)
    data = root / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run(
        str(bin_dir / "initdb"),
        "-D",
        str(data),
        "-U",
        "keepsake",
        "--auth=scram-sha-256",
        f"--pwfile={root / 'password'}",
        "-N",
        "-E",
        "UTF8",
    )
    # Dies with this process, whatever kills it: SIGINT is PostgreSQL's fast shutdown.
    with_us = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={root}", "-c", "fsync=off"]
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(
            [*with_us, str(bin_dir / "postgres"), "-D", str(data), *options], user=user, cwd=root, stdout=log, stderr=log
        )
    url = f"postgresql://keepsake:{password}@127.0.0.1:{port}"
    try:
        _until_ready(f"{url}/postgres", server, root / "log")
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(root, ignore_errors=True)


def _until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)


def _unprivileged() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
