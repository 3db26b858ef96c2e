"""A control group around one sandbox: the kernel's own bound on memory and processes, page cache and kernel buffers included.

A bonus where this process may make one (root with cgroup v2, v1 or the hybrid of both); elsewhere `create` says None and the limits of
supervisor.py stand alone. Nothing here starts a program: a shell writes itself into `joins` and then becomes the sandbox.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PARENT = "keepsake"
LEFTOVER_S = 3600.0  # a group older than the longest execution; the kernel removes it only when it is empty


@dataclass(frozen=True)
class Cgroup:
    """The directories of one group (one on v2, one per controller on v1)."""

    directories: tuple[Path, ...]

    @property
    def joins(self) -> list[str]:
        """The files into which a process writes its id to join."""
        return [str(directory / "cgroup.procs") for directory in self.directories]

    def remove(self) -> None:
        """Remove the group. The kernel refuses while dead processes are still being counted, so for at most a second this tries again."""
        deadline = time.monotonic() + 1
        for directory in self.directories:
            while directory.exists():
                try:
                    directory.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        return  # an empty group is left over; it holds no process and costs nothing
                    time.sleep(0.005)


def create(name: str, *, memory_bytes: int, pids: int, mount: Path = MOUNT) -> Cgroup | None:
    """A new group with these bounds, or None where this process may not make one."""
    try:
        if (mount / "cgroup.controllers").exists():
            return Cgroup((version_2(mount, name, memory_bytes, pids),))
        return Cgroup(version_1(mount, name, memory_bytes, pids))
    except OSError:
        return None


def version_2(mount: Path, name: str, memory_bytes: int, pids: int) -> Path:
    """On v2 a controller must be switched on in every group above; a container's own root group, which has members, refuses that."""
    parent = parent_in(mount)
    for group in (mount, parent):
        (group / "cgroup.subtree_control").write_text("+memory +pids")
    directory = parent / name
    directory.mkdir()
    try:
        (directory / "memory.max").write_text(str(memory_bytes))
        with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting
            (directory / "memory.swap.max").write_text("0")
        (directory / "pids.max").write_text(str(pids))
    except OSError:
        directory.rmdir()
        raise
    return directory


def version_1(mount: Path, name: str, memory_bytes: int, pids: int) -> tuple[Path, Path]:
    memory, tasks = (parent_in(mount / controller) / name for controller in ("memory", "pids"))
    made: list[Path] = []
    try:
        for directory in (memory, tasks):
            directory.mkdir()
            made.append(directory)
        (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
        (tasks / "pids.max").write_text(str(pids))
    except OSError:
        for directory in made:
            os.rmdir(directory)
        raise
    return memory, tasks


def parent_in(hierarchy: Path) -> Path:
    """The group that holds ours; in passing removes what killed processes left there. OSError where no group can be made."""
    parent = hierarchy / PARENT
    parent.mkdir(exist_ok=True)
    for group in parent.iterdir():
        with contextlib.suppress(OSError):  # in use, or somebody else was quicker
            if group.is_dir() and time.time() - group.stat().st_mtime > LEFTOVER_S:
                group.rmdir()
    return parent
