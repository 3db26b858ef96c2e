"""The executor: runs the coder's program in the sandbox, never anywhere else, and hands errors back to the coder."""

import secrets

from agents.files.workspace import Workspace, media_type
from agents.journal import ArtifactSink
from agents.member import Answer, Observation
from agents.roles import Roles
from agents.safety.permit import Permit
from agents.safety.seen import Seen
from agents.sandbox.base import Limits, Sandbox
from agents.state import Block, TeamState
from app.errors import WorkspaceError
from app.schemas import Action, Effect

UNTRUSTED = "untrusted:program"
MAX_TRIES = 3
MAX_ARTIFACTS = 20
MAX_ARTIFACT_BYTES = 20_000_000
SHOWN = 2000  # characters of a program's output that go on


class ExecutorMember:
    """See agents.member.Member. It only ever runs code that the coder wrote in this very block, never text found elsewhere."""

    name = "executor"
    description = "Runs the coder's programs in a sandbox without network."

    def __init__(self, workspace: Workspace, sandbox: Sandbox, artifacts: ArtifactSink, limits: Limits | None = None) -> None:
        self.workspace = workspace
        self.sandbox = sandbox
        self.artifacts = artifacts
        self.limits = limits or Limits()

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer:  # noqa: ARG002
        runs = [s for s in block.steps if s.action and s.action.kind == "code.run"]
        code = block.scratch.get("code", "")
        if not code:
            return Answer("There is no program to run.", failed=True)
        if runs and runs[-1].action and runs[-1].action.arguments["code"] == code:  # this program has run: report or go back
            last = runs[-1]
            if last.ok:
                return Answer(last.observation or "no output")
            unchanged = block.scratch.get("returned") == code  # the coder saw the error and wrote the same again
            if unchanged or len(runs) >= MAX_TRIES or last.observation.startswith("Refused"):
                return Answer(last.observation, failed=True)
            block.scratch |= {"error": last.observation[-300:], "returned": code}
            return Answer(last.observation, handoff="coder")
        return Action(
            id=f"act_{secrets.token_hex(12)}",
            agent=self.name,
            kind="code.run",
            effect=Effect.EXEC,
            target="python",
            arguments={"code": code},
            summary="run the program",
        )

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:  # noqa: ARG002
        permit.check(action)
        result = await self.sandbox.exec(["python3", "-c", action.arguments["code"]], workspace=self.workspace.root, limits=self.limits)
        artifacts: list[dict[str, object]] = []
        for name in result.changed[:MAX_ARTIFACTS]:
            try:
                data = self.workspace.content(name, MAX_ARTIFACT_BYTES)
            except WorkspaceError:
                continue  # too large to be shown; it lies in the workspace, where the next program finds it
            kind = media_type(name, data)
            artifact = await self.artifacts.save(name, kind, data)
            artifacts.append({"artifact_id": artifact, "name": name, "media_type": kind, "size": len(data)})
        ok = result.exit_code == 0 and not result.timed_out
        text = result.stdout.strip()
        if result.timed_out:
            text = f"stopped after {self.limits.wall_s:.0f} s"
        elif not ok:
            text = (result.stderr.strip().splitlines() or [f"exit code {result.exit_code}"])[-1]
        if len(text) > SHOWN:
            text = text[:SHOWN] + " [cut]"
        seen = Seen(what="program", text=text)
        return Observation(text, ok=ok, labels=[UNTRUSTED], artifacts=artifacts, seen=seen)

    async def look_again(self, state: TeamState, action: Action) -> str:  # noqa: ARG002
        return f"The workspace holds: {', '.join(self.workspace.names()) or 'no files'}."

    async def close(self) -> None:
        await self.sandbox.stop()
