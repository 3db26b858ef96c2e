"""What a program leaves behind reaches the person as it is, whatever its format."""

from pathlib import Path

import pytest

from agents.coder.executor import ExecutorMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.safety.permit import issue
from agents.sandbox.choice import choose
from agents.state import Block, TeamState, WorkStep
from app.config import Settings
from app.schemas import Action, Effect

PROGRAM = """
open('note.txt', 'w').write('seven')
open('chart.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0')
open('data.bin', 'wb').write(bytes(4))
print('done')
"""


@pytest.mark.sandbox
async def test_files_of_a_program_become_artifacts_byte_for_byte(tmp_path: Path) -> None:
    keeper = MemoryJournal()
    executor = ExecutorMember(Workspace(tmp_path), choose(Settings(home=tmp_path / "home", sandbox="bubblewrap")), keeper)
    block = Block(number=1, agent="coder", instruction="draw", scratch={"code": PROGRAM})
    action = Action(
        id="a", agent="executor", kind="code.run", effect=Effect.EXEC, target="python", arguments={"code": PROGRAM}, summary="run"
    )
    seen = await executor.perform(TeamState(task="t"), block, action, issue(action))
    await executor.close()
    assert (seen.ok, seen.text) == (True, "done")
    assert {name: (kind, data) for name, kind, data in keeper.artifacts.values()} == {
        "note.txt": ("text/plain", b"seven"),
        "chart.png": ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0"),
        "data.bin": ("application/octet-stream", bytes(4)),
    }


@pytest.mark.sandbox
async def test_the_same_failing_program_again_ends_the_step(tmp_path: Path) -> None:
    executor = ExecutorMember(Workspace(tmp_path), choose(Settings(home=tmp_path / "home", sandbox="bubblewrap")), MemoryJournal())
    state = TeamState(task="t")
    block = Block(number=1, agent="coder", instruction="divide", scratch={"code": "print(1 / 0)"})
    action = await executor.propose(state, block, None)  # type: ignore[arg-type]
    seen = await executor.perform(state, block, action, issue(action))
    block.steps.append(WorkStep(summary=action.summary, action=action, observation=seen.text, ok=seen.ok))
    back = await executor.propose(state, block, None)  # type: ignore[arg-type]
    assert (back.handoff, back.failed) == ("coder", False)
    given_up = await executor.propose(state, block, None)  # type: ignore[arg-type]  # the coder changed nothing
    await executor.close()
    assert (given_up.handoff, given_up.failed, given_up.text) == (None, True, "ZeroDivisionError: division by zero")
