"""The coder: writes a Python program for an instruction. It runs nothing; its answer is handed to the executor."""

from agents.files.agent import UNTRUSTED
from agents.files.workspace import Workspace
from agents.member import Answer, Observation
from agents.roles import CoderView, Roles
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from app.errors import PermitMissing
from app.schemas import Action


class CoderMember:
    """See agents.member.Member. It has no effect of its own, so `perform` is never right."""

    name = "coder"
    description = "Writes Python that computes, compares or works on the workspace's files; the program is run in a sandbox."

    def __init__(self, workspace: Workspace, handoff: str = "executor") -> None:
        self.workspace = workspace
        self.handoff = handoff

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer:  # noqa: ARG002
        error = block.scratch.get("error", "")
        files = {name: self.workspace.header(name) for name in self.workspace.names()[:12]}
        code = await roles.ask("coder", CoderView(block.instruction, files, block.scratch.get("code", "") if error else "", error))
        block.scratch["code"] = code
        return Answer(code, handoff=self.handoff, labels=[UNTRUSTED] if any(files.values()) else [])

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:  # noqa: ARG002
        raise PermitMissing("The coder has no effects.", hint="Programs are run by the executor.")

    async def look_again(self, state: TeamState, action: Action) -> str:  # noqa: ARG002
        return "The coder has no effects."

    async def close(self) -> None:
        return None
