"""Policies at the gate: the first rule that fits decides, and nothing that a policy says undoes a refusal."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.safety.gate import KINDS, Gate
from agents.safety.grants import Grants
from app.policies.base import PolicyFile, Rule, Then
from app.policies.files import presets
from app.schemas import Action, Effect, Site, Verdict

SITES = [Site(name="shop", url="http://127.0.0.1:9001/"), Site(name="wiki", url="http://127.0.0.1:9002/")]
STRICT = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.REFUSE: 2}


def act(kind: str, target: str, effect: Effect = Effect.READ, **arguments: Any) -> Action:
    return Action(id="act_1", agent=kind.split(".")[0], kind=kind, effect=effect, target=target, arguments=arguments)


def judged(action: Action, *rules: Rule, otherwise: Then = Then.WORDS, **more: Any) -> tuple[Verdict, str]:
    gate = Gate(PolicyFile(name="mine", rules=list(rules), otherwise=otherwise, **more), Grants.of_task(SITES, {8710}))
    gate.follow(["Look around."], [])
    decision = gate.judge(action)
    return decision.verdict, decision.rule


SAVE = act("web.click", "POST http://127.0.0.1:9001/save", Effect.WRITE, page_url="http://127.0.0.1:9001/edit", presses="Save", form={})
PAY = act("web.click", "POST http://127.0.0.1:9001/buy", Effect.PAY, page_url="http://127.0.0.1:9001/cart", presses="Pay", totals=["60.00"])
READ = act("files.read", "notes/a.txt")
AWAY = act("web.visit", "https://docs.example.org/x")


@pytest.mark.parametrize(
    ("action", "rule", "verdict", "name"),
    [
        (SAVE, Rule(then=Then.ALLOW, sites=["shop"], effects=[Effect.WRITE]), Verdict.ALLOW, "policy"),
        (SAVE, Rule(then=Then.ALLOW, sites=["wiki"]), Verdict.ASK, "not-asked-write"),
        (SAVE, Rule(then=Then.REFUSE, sites=["127.0.0.*"]), Verdict.REFUSE, "refused-write"),
        (PAY, Rule(then=Then.ALLOW, effects=[Effect.WRITE]), Verdict.ASK, "not-asked-pay"),
        (PAY, Rule(then=Then.REFUSE, effects=[Effect.PAY], over=50), Verdict.REFUSE, "refused-pay"),
        (PAY, Rule(then=Then.REFUSE, effects=[Effect.PAY], over=60), Verdict.ASK, "not-asked-pay"),
        (SAVE, Rule(then=Then.REFUSE, over=0), Verdict.ASK, "not-asked-write"),
        (READ, Rule(then=Then.ASK, files=["notes/*"]), Verdict.ASK, "ask-read"),
        (act("files.read", "./notes//a.txt"), Rule(then=Then.ASK, files=["notes/*"]), Verdict.ASK, "ask-read"),
        (READ, Rule(then=Then.ASK, files=["*.csv"]), Verdict.ALLOW, "read"),
        (READ, Rule(then=Then.REFUSE, actions=["files.*"]), Verdict.REFUSE, "refused-read"),
        (READ, Rule(then=Then.ALLOW, sites=["*"]), Verdict.ALLOW, "read"),
        (AWAY, Rule(then=Then.ALLOW, sites=["*.example.org"]), Verdict.ALLOW, "policy"),
        (AWAY, Rule(then=Then.ALLOW, sites=["example.org"]), Verdict.ASK, "new-site"),
    ],
)
def test_a_rule_fits_by_all_that_it_names(action: Action, rule: Rule, verdict: Verdict, name: str):
    assert judged(action, rule) == (verdict, name)


def test_the_first_rule_that_fits_decides():
    allow, refuse = Rule(then=Then.ALLOW, sites=["shop"]), Rule(then=Then.REFUSE)
    assert judged(SAVE, allow, refuse)[0] == Verdict.ALLOW
    assert judged(SAVE, refuse, allow)[0] == Verdict.REFUSE


def test_a_payment_of_an_unknown_sum_is_taken_for_a_large_one():
    unknown = PAY.model_copy(update={"arguments": {**PAY.arguments, "totals": []}})
    assert judged(unknown, Rule(then=Then.REFUSE, over=1000)) == (Verdict.REFUSE, "refused-pay")


def test_leave_for_one_site_is_none_for_a_form_that_leads_to_another():
    across = act("web.click", "POST http://127.0.0.1:9002/save", Effect.WRITE, page_url="http://127.0.0.1:9001/", presses="Save")
    assert judged(across, Rule(then=Then.ALLOW, sites=["shop"]))[0] == Verdict.ASK
    assert judged(across, Rule(then=Then.REFUSE, sites=["shop"]))[0] == Verdict.REFUSE
    assert judged(across, Rule(then=Then.ALLOW, sites=["shop", "wiki"]))[0] == Verdict.ALLOW


def test_where_nobody_is_there_what_asks_is_refused():
    assert judged(SAVE, unanswered="refuse") == (Verdict.REFUSE, "not-asked-write")
    assert judged(READ, otherwise=Then.ASK, unanswered="refuse") == (Verdict.REFUSE, "ask-read")


def test_a_rule_says_its_own_reason():
    gate = Gate(PolicyFile(name="mine", rules=[Rule(then=Then.REFUSE, why="Never here.")], otherwise="ask"), Grants.of_task(SITES, set()))
    assert gate.judge(READ).reason == "Never here."


RULES = st.builds(
    Rule,
    effects=st.lists(st.sampled_from(Effect), max_size=3),
    actions=st.lists(st.sampled_from(["web.*", "files.*", "*", "code.run"]), max_size=2),
    sites=st.lists(st.sampled_from(["shop", "wiki", "*", "*.example.org", "10.*"]), max_size=2),
    files=st.lists(st.sampled_from(["*", "notes/*"]), max_size=1),
    over=st.none() | st.integers(0, 100),
    then=st.sampled_from(Then),
)
TARGETS = [
    "http://127.0.0.1:9001/",
    "http://10.0.0.1/",
    "http://127.0.0.1:8710/",
    "file:///etc/passwd",
    "a.txt",
    "../a.txt",
    "https://x.example.org/",
]
ACTIONS = st.builds(act, st.sampled_from([*KINDS, "web.teleport"]), st.sampled_from(TARGETS), st.sampled_from(Effect))


@settings(deadline=None)
@given(st.lists(RULES, max_size=4), st.sampled_from([Then.WORDS, Then.ASK, Then.REFUSE]), ACTIONS)
def test_no_policy_allows_what_is_refused_anyway(rules: list[Rule], otherwise: Then, action: Action):
    anyway = Gate("allow_listed", Grants.of_task(SITES, {8710})).judge(action)
    own = judged(action, *rules, otherwise=otherwise)
    if anyway.verdict == Verdict.REFUSE:
        assert own == (Verdict.REFUSE, anyway.rule)


@settings(deadline=None)
@given(st.lists(RULES, max_size=4), ACTIONS, st.sampled_from([Then.ASK, Then.REFUSE]))
def test_a_restriction_in_front_only_makes_a_policy_stricter(rules: list[Rule], action: Action, then: Then):
    free, bound = judged(action, *rules)[0], judged(action, Rule(then=then), *rules)[0]
    assert STRICT[bound] >= min(STRICT[free], STRICT[Verdict.ASK]) and (then != Then.REFUSE or bound == Verdict.REFUSE)


@settings(deadline=None)
@given(ACTIONS)
def test_the_presets_are_ordered_by_strictness(action: Action):
    def verdict(name: str) -> int:
        gate = Gate(name, Grants.of_task(SITES, {8710}))
        gate.follow(["Write a.txt."], [])
        return STRICT[gate.judge(action).verdict]

    assert verdict("ask_all") >= verdict("ask_writes") >= verdict("allow_listed") <= verdict("unattended")
    assert presets().keys() == {"ask_all", "ask_writes", "allow_listed", "unattended"}
