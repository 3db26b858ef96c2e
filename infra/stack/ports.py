"""Who listens where on this machine: is a port free, and if not, whose is it?"""

import errno
import os
import socket
from pathlib import Path

from infra.stack.process import command_line, pids

LISTEN = "0A"  # state of a listening socket in /proc/net/tcp


def free(port: int, host: str = "127.0.0.1") -> bool:
    """Can a server bind this port? Looks by binding, so a socket that lingers after its server does not count as taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def listeners(port: int) -> list[int]:
    """Pids that listen on `port`, as far as this user may see them."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        except OSError:
            continue
        sockets |= {f"socket:[{row[9]}]" for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    return [pid for pid in pids() if sockets & set(_files(pid))] if sockets else []


def owner(port: int) -> str:
    """`pid 123: python3 -m http.server`, or a phrase that says it cannot be seen."""
    found = listeners(port)
    if not found:
        return "a program of another user"
    command = " ".join(command_line(found[0]))
    return f"pid {found[0]}: {command if len(command) <= 100 else command[:97] + '...'}"


def _files(pid: int) -> list[str]:
    found = []
    try:
        for handle in os.scandir(f"/proc/{pid}/fd"):
            found.append(os.readlink(handle.path))
    except OSError:
        pass  # it ended while we looked, or is another user's
    return found
