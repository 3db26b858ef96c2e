"""The gate's door: what is refused, what asks, what runs, and that nothing acts around it."""

import ast
import json
import socket
from pathlib import Path

import pytest

import agents
from agents.coder.agent import CoderMember
from agents.coder.executor import ExecutorMember
from agents.files.agent import FilesMember
from agents.files.workspace import Workspace
from agents.journal import MemoryJournal
from agents.safety.gate import KINDS, Gate
from agents.safety.grants import Grants, Origin, Reach, is_private, is_public
from agents.safety.permit import Permit
from agents.state import Block, TeamState
from app.errors import PermitMissing
from app.schemas import Action, Effect, Policy, Site, Verdict

SITE = Site(name="shop", url="http://127.0.0.1:9001/")
OWN = {8710, 8711}


def gate(policy: Policy = Policy.ALLOW_LISTED, *sites: Site) -> Gate:
    door = Gate(policy, Grants.of_task(list(sites) or [SITE], OWN))
    door.follow(["Write a.txt, and save a.csv from the shop."], [])
    return door


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
        ("http://224.0.0.1/", "private-address"),
        ("http://[ff02::1]/", "private-address"),
        ("http://[fec0::1]/", "private-address"),
        ("http://[::ffff:10.0.0.1]/", "private-address"),
        ("http://[64:ff9b::10.0.0.1]/", "private-address"),
        ("http://[2002:a00:1::1]/", "private-address"),
        ("http://2130706433:9002/", "private-address"),
        ("http://shop/", "private-address"),
        ("http://printer.local/", "private-address"),
        ("http://metadata.google.internal/", "private-address"),
        ("http://LOCALHOST.:9001/", "private-address"),
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
        decision = gate(policy).judge(act("web.visit", "http://8.8.8.8/"))
        assert decision.verdict == (Verdict.REFUSE if policy == Policy.UNATTENDED else Verdict.ASK)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../b", "", "a\\b", "x\0y"])
def test_paths_outside_the_workspace_are_refused(path):
    for kind, effect in (("files.read", Effect.READ), ("files.write", Effect.WRITE), ("web.save_table", Effect.WRITE)):
        assert gate().judge(act(kind, path, effect)).rule == "outside-workspace"


@pytest.mark.parametrize(
    ("target", "path", "rule"),
    [
        ("http://127.0.0.1:9001/a.csv", "a.csv", "granted"),
        ("http://127.0.0.1:9001/a.csv", "../a.csv", "outside-workspace"),
        ("http://127.0.0.1:9001/a.csv", "", "outside-workspace"),
        ("http://127.0.0.1:8710/v1/runs", "a.csv", "own-ports"),
        ("http://10.0.0.1/a.csv", "a.csv", "private-address"),
        ("file:///etc/passwd", "a.csv", "scheme"),
        ("", "a.csv", "scheme"),
        ("http://8.8.8.8/a.csv", "a.csv", "new-site"),
    ],
)
def test_a_download_answers_for_its_address_and_its_path(target, path, rule):
    assert gate(Policy.ALLOW_LISTED).judge(act("web.download", target, Effect.WRITE, text=path)).rule == rule
    assert gate().judge(act("web.download", target, Effect.READ, text=path)).rule == "effect-understated"


def test_the_policies():
    read, write, run = act("files.read", "a.txt"), act("files.write", "a.txt", Effect.WRITE), act("code.run", "python", Effect.EXEC)
    other = act("web.click", "POST http://127.0.0.1:9001/orders", Effect.PAY, locator={"name": "Place order"})
    verdicts = {p: [gate(p).judge(a).verdict.value for a in (read, write, run, other)] for p in Policy}
    assert verdicts == {
        Policy.ASK_WRITES: ["allow", "ask", "ask", "ask"],
        Policy.ASK_ALL: ["ask", "ask", "ask", "ask"],
        Policy.ALLOW_LISTED: ["allow", "allow", "allow", "ask"],
        Policy.UNATTENDED: ["allow", "allow", "allow", "refuse"],
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


@pytest.mark.parametrize(
    "url", ["http://Shop.Example:80/x", "http://shop.example./x", "HTTP://SHOP.EXAMPLE", "http:\\\\shop.example", "http://shop%2eexample/"]
)
def test_one_host_has_many_spellings_and_one_grant(url):
    door = gate(Policy.ALLOW_LISTED, Site(name="shop", url="http://shop.example"))
    assert door.allows_request(url)
    assert door.judge(act("web.visit", url)).verdict == Verdict.ALLOW


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ("http://[0:0:0:0:0:0:0:1]:9001/", "http://[::1]:9001/"),
        ("http://[2606:4700::0001]/", "http://[2606:4700:0:0::1]:80/"),
        ("http://127.1:9001", "http://127.0.0.1:9001/"),
        ("http://Shop.Example./", "http://shop.example/"),
    ],
)
def test_a_site_is_granted_however_its_person_spells_it(named, asked):
    door = gate(Policy.ALLOW_LISTED, Site(name="site", url=named))
    assert door.judge(act("web.visit", asked)).verdict == Verdict.ALLOW
    assert door.allows_request(asked)


def test_what_a_person_approved_outlives_the_gate_but_not_the_run():
    first, visit = gate(), act("web.visit", "http://New.Example./a")
    assert first.judge(visit).verdict == Verdict.ASK
    assert first.judge(visit, visit.digest).verdict == Verdict.ALLOW
    memory: dict = {}
    first.allows_request.keep(memory)
    memory = json.loads(json.dumps(memory))
    second = gate()
    assert not second.allows_request("http://new.example/b")
    second.allows_request.recall(memory)
    assert second.allows_request("http://new.example/b")
    assert second.judge(act("web.visit", "http://new.example/b")).verdict == Verdict.ALLOW
    assert second.judge(act("web.visit", "http://new.example:8080/b")).verdict == Verdict.ASK


def test_a_files_name_is_no_address_that_an_approval_opens():
    door, save = gate(Policy.ASK_WRITES), act("web.save_table", "http://new.example/a.csv", Effect.WRITE)
    assert door.judge(save, save.digest).verdict == Verdict.ALLOW
    assert not door.allows_request("http://new.example/")


def test_memory_of_a_run_that_approved_nothing_stays_as_it_is():
    memory: dict = {}
    Reach(Grants()).keep(memory)
    assert memory == {}


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.251",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "ff0e::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:192.168.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:808:808::80ff:fffe",
        "2001:db8::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)
    assert is_private(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"]
)
def test_addresses_that_are_public(address):
    assert is_public(address)
    assert not is_private(f"[{address}]")


def test_no_name_is_looked_up_by_the_gate(monkeypatch):
    def lookup(*_: object) -> None:
        raise AssertionError("the gate asked for a name")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    door = gate(Policy.ALLOW_LISTED, Site(name="api", url="http://api:8710"), Site(name="shop", url="http://shop.example:8710"))
    assert door.judge(act("web.visit", "http://nobody.example/")).rule == "new-site"
    assert door.judge(act("web.visit", "http://shop.example:8710/")).verdict == Verdict.ALLOW
    assert door.judge(act("web.visit", "http://api:8710/")).rule == "own-ports"
    assert not door.allows_request("http://api:8710/")


def test_an_origin_is_read_as_a_browser_reads_it():
    assert Origin.of("http:/Shop.Example.") == Origin("http", "shop.example", 80)
    assert Origin.of("https://[::FFFF:1.2.3.4]") == Origin("https", "::ffff:102:304", 443)
    assert Origin.of("http://user@shop.example/") is None


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


@pytest.mark.parametrize("effect", [effect for effect in Effect if effect != Effect.READ])
@pytest.mark.parametrize("policy", [Policy.ASK_WRITES, Policy.ALLOW_LISTED])
def test_a_foreign_tool_that_does_anything_asks_and_may_not_say_it_does_less(effect: Effect, policy: Policy):
    judging = Gate(policy, Grants({}, frozenset()), {"act": effect})
    assert judging.judge(act("tool.act", "", effect)).verdict == Verdict.ASK
    assert judging.judge(act("tool.act", "", Effect.READ)).rule == "effect-understated"


def test_every_kind_of_the_house_reads_writes_or_runs():
    assert set(KINDS.values()) == {Effect.READ, Effect.WRITE, Effect.EXEC}
