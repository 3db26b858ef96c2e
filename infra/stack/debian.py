"""Debian packages that Keepsake needs, and their installation. Standard library only: it runs before anything of ours is installed.

    python3 -m infra.stack.debian [--for-tests] [--list]

A package counts as there when the thing it brings is there, so another distribution's packages do as well as Debian's.
"""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

ALL_PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # a user's PATH leaves out the administrator's


@dataclass(frozen=True)
class Package:
    """A Debian package; there if the program is found, or a file matches one of the patterns."""

    name: str
    program: str = ""
    files: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        if self.program and shutil.which(self.program, path=ALL_PROGRAMS):
            return True
        return any(glob.glob(pattern, recursive=True) for pattern in self.files)


VENV = Package("python3-venv", files=("/usr/lib/python3*/ensurepip/__init__.py",))  # Debian keeps it apart from python3
RUN = (
    Package("chromium", files=(os.environ.get("KEEPSAKE_CHROMIUM", "/usr/bin/chromium"),)),
    Package("fonts-liberation", files=("/usr/share/fonts/**/Liberation*",)),
    Package("bubblewrap", "bwrap"),
    Package("libseccomp2", files=("/usr/lib*/libseccomp.so.2", "/usr/lib/*/libseccomp.so.2", "/lib/*/libseccomp.so.2")),
    Package("python3", files=("/usr/bin/python3",)),  # the one inside the sandbox
    Package("fossil", "fossil"),
    Package(
        "libatomic1", files=("/usr/lib*/libatomic.so.1", "/usr/lib/*/libatomic.so.1", "/lib/*/libatomic.so.1")
    ),  # Playwright's Node loads it
    Package("libnuma1", files=("/usr/lib*/libnuma.so.1", "/usr/lib/*/libnuma.so.1", "/lib/*/libnuma.so.1")),  # vLLM's CPU kernels load it
    *([] if find_spec("ensurepip") else [VENV]),
)
TEST = (
    Package("docker.io", "dockerd"),
    Package("debootstrap", "debootstrap"),
    Package("postgresql", files=("/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb")),
    Package("postgresql-contrib", files=("/usr/share/postgresql/*/extension/pgcrypto.control",)),
)


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def missing(packages: tuple[Package, ...]) -> list[str]:
    """Names of the packages whose content is not on this machine, in order."""
    return [package.name for package in packages if not package.installed]


def administrator() -> list[str] | None:
    """What to put before a command that needs root: nothing, or sudo. None where this user cannot become root."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    unasked = subprocess.run(["sudo", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return ["sudo"] if unasked or sys.stdin.isatty() else None  # on a terminal it asks for the password itself


def install(names: list[str]) -> str:
    """Install by apt-get. Returns a sentence that says what stands in the way, empty when all is there."""
    listed = " ".join(names)
    if shutil.which("apt-get") is None:
        return f"This system has no apt-get. Install what these Debian packages bring, then run it again: {listed}"
    prefix = administrator()
    if prefix is None:
        return f"Debian packages are missing and this user may not install them. Ask an administrator for: apt-get install {listed}"
    say(f"Installing Debian packages: {listed}")
    # The variable stands in env's arguments, because sudo drops the environment.
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
    for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", *names]):
        if code := subprocess.run(command, stdin=subprocess.DEVNULL if not prefix else None, stdout=sys.stderr, check=False).returncode:
            return f"`{' '.join(command)}` ended with status {code}; its own message stands above."
    left = [name for name in missing(RUN + TEST) if name in names]
    return f"apt-get installed them, yet this is still not to be found: {' '.join(left)}" if left else ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="infra.stack.debian", description="Install the Debian packages that Keepsake needs and this machine lacks."
    )
    parser.add_argument("--for-tests", action="store_true", help="also what `make test` needs")
    parser.add_argument("--list", action="store_true", help="only say which are missing")
    options = parser.parse_args()
    names = missing(RUN + TEST if options.for_tests else RUN)
    if options.list or not names:
        sys.stdout.write("".join(f"{name}\n" for name in names))
        return 0
    if problem := install(names):
        say(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
