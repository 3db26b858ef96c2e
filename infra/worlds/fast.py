"""The fast path of a world: the same team over the same pages without Chromium and without a sandbox, for the oracle's own programs only.

A test holds that its prompts are byte-identical to those of the real path (tests/infra/worlds/test_fast.py).
"""

import asyncio
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.coder.agent import CoderMember
from agents.coder.executor import ExecutorMember
from agents.context import Context
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.orchestrator import Limits
from agents.roles import Roles
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.sandbox import choose
from agents.sandbox.base import ExecResult
from agents.sandbox.base import Limits as ExecLimits
from agents.team import MementoTeam
from agents.web.agent import WebMember
from agents.web.static_surface import StaticSurface
from app.config import Settings
from app.schemas import TaskCreate


class TrustedPython:
    """Runs a program of the oracle in a child of this process. Never for a model's code: it has no walls. See agents.sandbox.base.Sandbox."""

    name = "trusted"

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def exec(
        self,
        argv: list[str],
        *,
        workspace: Path | None,
        stdin: str = "",
        env: dict[str, str] | None = None,  # noqa: ARG002
        limits: ExecLimits | None = None,
    ) -> ExecResult:
        before = _stamps(workspace)
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-IS",
            *argv[1:],
            cwd=workspace,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), (limits or ExecLimits()).wall_s)
        after = _stamps(workspace)
        changed = tuple(sorted(name for name, stamp in after.items() if before.get(name) != stamp))
        return ExecResult(out.decode(), err.decode(), process.returncode or 0, False, False, time.monotonic() - started, changed=changed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def world_team(
    settings: Settings, wanted: TaskCreate, workspace: Path, roles: Roles, *, fast: bool, context: Context = "text"
) -> MementoTeam:
    """The house team with `roles` in the model's place: over the real browser and sandbox, or over the fast path."""
    keeper = MemoryJournal()
    gate = Gate(wanted.policy, Grants.of_task(wanted.sites, settings.own_ports))
    space = Workspace(workspace)
    profiles = [s.profile for s in wanted.sites if s.profile]
    surface = StaticSurface(settings, gate.allows_request, profiles) if fast else None
    members = [
        WebMember(settings, wanted.sites, keeper, gate.allows_request, space.write, surface),
        FilesMember(space, keeper),
        CoderMember(space),
        ExecutorMember(space, TrustedPython() if fast else choose(settings), keeper),
    ]
    limits = Limits(settings.max_stalls, settings.max_replans)
    return MementoTeam(members, roles, sites=wanted.sites, gate=gate, journal=keeper, limits=limits, context=context)


def _stamps(workspace: Path | None) -> dict[str, tuple[int, int]]:
    files = [p for p in workspace.rglob("*") if p.is_file()] if workspace else []
    return {p.relative_to(workspace).as_posix(): (p.stat().st_mtime_ns, p.stat().st_size) for p in files} if workspace else {}
