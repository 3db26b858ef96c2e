"""What a machine must offer before anything is installed, and how much will be downloaded. Standard library only:

    python3 -m infra.stack.preflight [--for-tests] [--quiet]

`keepsake doctor --before-install` says the same, and `keepsake doctor` goes on from here.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from infra.stack import debian

CHECKOUT = Path(__file__).resolve().parents[2]
LOWEST, BELOW = (3, 11), (3, 14)  # requires-python of pyproject.toml
MEMORY_GB = 8.0  # model server 3.6, browser and services 2.5, and room for the sandbox
MEMORY_LEAST_GB = 4.0  # with an outside model endpoint
DISK_LEAST_GB = 1.0  # runs keep screenshots and files

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, what was found, and what to do about it."""

    level: str
    name: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.level:4}  {self.name:20} {self.found}" + (f"\n{'':27}{self.hint}" if self.hint else "")


@dataclass(frozen=True)
class Part:
    """Something `make setup` installs. Megabytes as measured on Debian 12, x86-64, Python 3.11; `room` is needed while it is built."""

    name: str
    download: int
    disk: int
    where: Path
    room: int = 0


def home() -> Path:
    """As app.config reads it, which is not importable yet."""
    return Path(os.environ.get("KEEPSAKE_HOME", "~/.keepsake")).expanduser()


def missing_parts(for_tests: bool) -> Iterator[Part]:
    """Each part that is not installed yet."""
    if debian.missing(debian.RUN):
        yield Part("Debian packages", 200, 750, Path("/usr"))
    if for_tests and debian.missing(debian.TEST):
        yield Part("Debian packages for the tests", 115, 450, Path("/usr"))
    if not (CHECKOUT / ".venv" / "bin" / "keepsake").exists():
        yield Part("Python environment", 225, 960, CHECKOUT)
    if os.environ.get("KEEPSAKE_MODEL_URL"):  # somebody else's endpoint
        return
    if not (home() / "envs" / "serving" / "keepsake-stamp.json").exists():
        yield Part("model server", 1100, 3400, home(), room=1600)
    if for_tests and not (CHECKOUT / ".venv-train" / ".installed").exists():
        yield Part("training environment", 280, 1400, CHECKOUT)
    if not (home() / "weights").is_dir():
        yield Part("weights of the embedded model", 93, 560, home(), room=400)


def python() -> Check:
    found, wanted = platform.python_version(), f"{LOWEST[0]}.{LOWEST[1]} to {BELOW[0]}.{BELOW[1] - 1}"
    if not LOWEST <= sys.version_info[:2] < BELOW:
        return Check(FAIL, "Python", found, f"Keepsake needs {wanted}: install one, or say which with `make PYTHON=... setup`.")
    if find_spec("ensurepip") is None:
        installable = shutil.which("apt-get") and debian.administrator() is not None and sys.executable.startswith("/usr/bin/")
        hint = "It is installed with the other Debian packages." if installable else "Debian: apt-get install python3-venv"
        return Check(WARN if installable else FAIL, "Python", f"{found} without venv", hint)
    return Check(OK, "Python", found)


def system() -> Check:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.platform != "linux":
        return Check(FAIL, "system", found, "Keepsake runs on Linux: sandbox and process control use its kernel's means.")
    return Check(OK, "system", found)


def memory_gb() -> float:
    """Memory of this machine, or of the container around us if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no limit: the file says "max", or is not there
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total / 1e9


def memory() -> Check:
    total = memory_gb()
    if total < MEMORY_LEAST_GB:
        return Check(FAIL, "memory", f"{total:.1f} GB", f"{MEMORY_LEAST_GB:.0f} GB are needed, with the embedded model {MEMORY_GB:.0f}.")
    if total < MEMORY_GB:
        hint = f"The embedded model wants {MEMORY_GB:.0f} GB in all; with an outside endpoint (KEEPSAKE_MODEL_URL) this is enough."
        return Check(WARN, "memory", f"{total:.1f} GB", hint)
    return Check(OK, "memory", f"{total:.1f} GB")


def disks(parts: list[Part]) -> Iterator[Check]:
    """One check per file system that something will be put on, or one for the data directory."""
    needs: dict[int, tuple[Path, int]] = {}
    for part in parts:
        directory = existing(part.where)
        device = directory.stat().st_dev
        needs[device] = (directory, needs.get(device, (directory, 0))[1] + part.disk + part.room)
    for directory, megabytes in needs.values():
        free = shutil.disk_usage(directory).free / 1e9
        found = f"{free:.1f} GB free at {directory}, {megabytes / 1000:.1f} GB needed"
        enough = free >= megabytes / 1000 + DISK_LEAST_GB
        yield (
            Check(OK, "disk", found)
            if enough
            else Check(FAIL, "disk", found, "Free some space, or set KEEPSAKE_HOME to a directory on another disk.")
        )
    if not needs:
        free = shutil.disk_usage(existing(home())).free / 1e9
        low = free < DISK_LEAST_GB
        yield Check(WARN if low else OK, "disk", f"{free:.1f} GB free at {home()}", "Runs keep screenshots and files there." if low else "")


def existing(path: Path) -> Path:
    """The nearest directory at or above `path` that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def download(parts: list[Part]) -> Check:
    if not parts:
        return Check(OK, "download", "nothing, every part is installed")
    listed = ", ".join(f"{part.name} {part.download} MB" for part in parts)
    return Check(OK, "download", f"about {sum(part.download for part in parts) / 1000:.1f} GB ({listed})")


def checks(parts: list[Part]) -> list[Check]:
    return [python(), system(), memory(), *disks(parts), download(parts)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="infra.stack.preflight", description="Can Keepsake be installed on this machine?")
    parser.add_argument("--for-tests", action="store_true", help="count what `make test` needs as well")
    parser.add_argument("--quiet", action="store_true", help="when every part is installed, print only what stands in the way")
    options = parser.parse_args()
    parts = list(missing_parts(options.for_tests))
    found = checks(parts)
    for check in found:
        if parts or not options.quiet or check.level == FAIL:
            sys.stderr.write(f"{check}\n")
    return 1 if any(check.level == FAIL for check in found) else 0


if __name__ == "__main__":
    sys.exit(main())
