"""The gate's door: what is refused, what asks, what runs, and that nothing acts around it."""

import ast
from pathlib import Path

import pytest

import agents
from agents.coder.agent import CoderMember
from agents.coder.executor import ExecutorMember
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.safety.gate import KINDS, Gate
from agents.safety.grants import Grants
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from app.errors import PermitMissing
from app.schemas import Action, Effect, Policy, Site, Verdict

SITE = Site(name="shop", url="http://127.0.0.1:9001/")
OWN = {8710, 8711}


def gate(policy: Policy = Policy.ALLOW_LISTED, *sites: Site) -> Gate:
    return Gate(policy, Grants.of_task(list(sites) or [SITE], OWN))


def act(kind: str, target: str, effect: Effect = Effect.READ, **arguments) -> Action:
    return Action(id="act_1", agent=kind.split(".")[0], kind=kind, effect=effect, target=target, arguments=arguments)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("data:text/html,hi", "scheme"),
        ("chrome://settings", "scheme"),
        ("http://user:pw@127.0.0.1:9001/", "scheme"),
        ("http://127.0.0.1:9002/", "private-address"),
        ("http://localhost:9001/", "private-address"),
        ("http://10.0.0.1/", "private-address"),
        ("http://169.254.169.254/latest/meta-data", "private-address"),
        ("http://[::1]:9001/", "private-address"),
        ("http://0.0.0.0:9001/", "private-address"),
        ("http://127.0.0.1:8710/v1/tasks", "own-ports"),
        ("http://127.0.0.1:5432/", "own-ports"),
    ],
)
def test_addresses_that_are_never_opened(target, rule):
    for policy in Policy:
        decision = gate(policy).judge(act("web.visit", target))
        assert (decision.verdict, decision.rule, decision.permit) == (Verdict.REFUSE, rule, None)


def test_our_own_ports_stay_closed_even_when_a_task_names_them():
    decision = gate(Policy.ALLOW_LISTED, Site(name="api", url="http://127.0.0.1:8710/")).judge(act("web.visit", "http://127.0.0.1:8710/"))
    assert decision.rule == "own-ports"


def test_a_public_site_nobody_named_asks():
    for policy in Policy:
        assert gate(policy).judge(act("web.visit", "http://8.8.8.8/")).verdict == Verdict.ASK


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../b", "", "a\\b", "x\0y"])
def test_paths_outside_the_workspace_are_refused(path):
    for kind, effect in (("files.read", Effect.READ), ("files.write", Effect.WRITE), ("web.save_table", Effect.WRITE)):
        assert gate().judge(act(kind, path, effect)).rule == "outside-workspace"


def test_the_three_policies():
    read, write, run = act("files.read", "a.txt"), act("files.write", "a.txt", Effect.WRITE), act("code.run", "python", Effect.EXEC)
    verdicts = {p: [gate(p).judge(a).verdict.value for a in (read, write, run)] for p in Policy}
    assert verdicts == {
        Policy.ASK_WRITES: ["allow", "ask", "ask"],
        Policy.ASK_ALL: ["ask", "ask", "ask"],
        Policy.ALLOW_LISTED: ["allow", "allow", "allow"],
    }


def test_an_approval_is_for_exactly_one_action():
    door, action = gate(Policy.ASK_WRITES), act("files.write", "a.txt", Effect.WRITE, text="1")
    other = act("files.write", "a.txt", Effect.WRITE, text="2")
    assert door.judge(action, action.digest).verdict == Verdict.ALLOW
    assert door.judge(other, action.digest).verdict == Verdict.ASK


def test_what_is_refused_cannot_be_approved():
    action = act("web.visit", "file:///etc/passwd")
    assert gate(Policy.ASK_ALL).judge(action, action.digest).verdict == Verdict.REFUSE


def test_an_action_cannot_understate_its_effect():
    assert gate().judge(act("code.run", "python", Effect.READ)).rule == "effect-understated"


def test_the_browser_filter_lets_only_granted_origins_through():
    door = gate()
    assert door.allows_request("http://127.0.0.1:9001/style.css")
    for url in ("http://127.0.0.1:9002/x", "https://evil.test/", "file:///etc/passwd", "http://127.0.0.1:8710/"):
        assert not door.allows_request(url)


def test_a_permit_cannot_be_made_outside_the_gate():
    with pytest.raises(PermitMissing):
        Permit("act_1", "0" * 64)


async def test_no_member_acts_without_a_permit_for_that_very_action(tmp_path):
    space, sink = Workspace(tmp_path), MemoryJournal()
    state, block = TeamState(task="t"), Block(number=1, agent="files", instruction="i")
    mine = act("files.write", "a.txt", Effect.WRITE, text="1")
    permit = gate().judge(mine).permit
    for member in (FilesMember(space, sink), ExecutorMember(space, None, sink), CoderMember(space)):
        with pytest.raises(PermitMissing):
            await member.perform(state, block, act("files.write", "b.txt", Effect.WRITE, text="1"), permit)
    with pytest.raises(PermitMissing):
        space.write("b.txt", "x", permit, act("files.write", "b.txt", Effect.WRITE))
    assert space.names() == []


def test_only_the_gate_issues_permits_and_effects_have_one_door_each():
    """Static: who calls issue(), who starts processes or a browser, who opens files for writing."""
    root = Path(agents.__file__).parent
    users: dict[str, set[str]] = {"issue": set(), "playwright": set(), "subprocess": set()}
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "issue":
                users["issue"].add(name)
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                if module.split(".")[0] in users:
                    users[module.split(".")[0]].add(name)
    assert users["issue"] == {"safety/gate.py"}
    assert all(n.startswith("web/") for n in users["playwright"])
    assert all(n.startswith("sandbox/") for n in users["subprocess"])


def test_every_known_kind_has_an_effect_class():
    assert set(KINDS.values()) == set(Effect)
