"""The files member: reads and writes text in the workspace, one decision at a time."""

import secrets

from agents.files.workspace import Workspace
from agents.journal import ArtifactSink
from agents.member import Answer, Observation
from agents.roles import FilesChoice, FilesView, Roles
from agents.safety.permit import Permit
from agents.safety.seen import TEXT, Seen
from agents.state import Block, TeamState
from app.schemas import Action, Effect

UNTRUSTED = "untrusted:file"
_EFFECTS = {"list": Effect.READ, "read": Effect.READ, "write": Effect.WRITE}


class FilesMember:
    """See agents.member.Member."""

    name = "files"
    description = "Reads and writes text files in the workspace."

    def __init__(self, workspace: Workspace, artifacts: ArtifactSink) -> None:
        self.workspace = workspace
        self.artifacts = artifacts

    async def names(self) -> list[str]:
        return self.workspace.names()

    async def propose(self, state: TeamState, block: Block, roles: Roles) -> Action | Answer:  # noqa: ARG002
        history = [f"{s.summary}{'' if s.ok else ': ' + s.observation}" for s in block.steps]
        last = block.steps[-1] if block.steps else None
        content = last.observation if last and last.ok and last.action and last.action.kind == "files.read" else None
        problem = last.observation if last and not last.ok else ""
        view = FilesView(block.instruction, self.workspace.names(), history, content, problem)
        choice: FilesChoice = await roles.ask("files", view)
        if choice.verb == "answer":
            return Answer(choice.text)
        if any(s.ok and s.action and s.action.target == choice.path and s.action.arguments.get("text") == choice.text for s in block.steps):
            return Answer(f"{choice.verb} {choice.path} was done already", failed=choice.verb == "read" and len(block.steps) > 2)
        arguments = {"text": choice.text} if choice.verb == "write" else {}
        return Action(
            id=f"act_{secrets.token_hex(12)}",
            agent=self.name,
            kind=f"files.{choice.verb}",
            effect=_EFFECTS[choice.verb],
            target=choice.path or ".",
            arguments=arguments,
            summary=f"{choice.verb} {choice.path}".strip(),
        )

    async def perform(self, state: TeamState, block: Block, action: Action, permit: Permit) -> Observation:  # noqa: ARG002
        permit.check(action)
        if action.kind == "files.list":
            return Observation("\n".join(self.workspace.names()) or "no files", labels=[UNTRUSTED])
        if action.kind == "files.read":
            text = self.workspace.read(action.target)
            return Observation(text, labels=[UNTRUSTED], seen=Seen(what="file", where=action.target, text=text[:TEXT]))
        text = str(action.arguments.get("text", ""))
        text = text if text.endswith("\n") else text + "\n"
        self.workspace.write(action.target, text, permit, action)
        artifact = await self.artifacts.save(action.target, "text/plain", text.encode())
        entry = {"artifact_id": artifact, "name": action.target, "media_type": "text/plain", "size": len(text.encode())}
        return Observation("written", artifacts=[entry])

    async def look_again(self, state: TeamState, action: Action) -> str:  # noqa: ARG002
        return f"The workspace holds: {', '.join(self.workspace.names()) or 'no files'}."

    async def close(self) -> None:
        return None
