"""What a request's cache cost, as the engine tells it or as it follows from the evictions."""

import random

from keepsake_vllm.api.accounts import Account, Ledger, reckon

from app.memento.grammar import TokenIds
from app.memento.visibility import Evictions, Policy, evict_after, visible
from tests.infra.serving.api.streams import block, ids


def test_reckoning_agrees_with_the_one_rule():
    random.seed(3)
    for _ in range(50):
        stream = ids("prompt")
        for _ in range(random.randint(0, 4)):
            stream += block("x" * random.randint(0, 9), "m" * random.randint(0, 5)) + ids("y" * random.randint(0, 3))
        tokens, policy = TokenIds(7, 8, 9, 10), Policy(keep_last_n=random.randint(0, 1))
        after, reading = evict_after(stream, tokens, policy), Evictions(tokens, policy)
        reading.read(stream)
        computed = len(stream) - 1
        resident = [sum(visible(query, key, after) for key in range(query + 1)) for query in range(computed)]
        usage = reckon([(event.start, event.end, event.boundary) for event in reading.found], computed)
        assert usage["kv_auc"] == sum(resident)
        assert usage["peak_kv_tokens"] == max(resident)


def test_a_replayed_eviction_is_told_once():
    account = Account()
    account.read({"evictions": [[3, 9, 12]]})
    assert account.drain() == [(3, 9, 12)]
    account.read({"evictions": [[3, 9, 12], [15, 20, 22]]})
    assert account.drain() == [(15, 20, 22)]


def test_the_engines_word_is_the_last():
    account, usage = Account(), {"peak_kv_tokens": 5}
    account.read({"usage": usage})
    assert account.close(100) == usage


def test_an_account_is_taken_once():
    ledger = Ledger()
    account = ledger.open("0_inner")
    ledger.close("0_inner", "outer", 0, keep=True)
    assert ledger.take("outer") is account
    assert ledger.take("outer") is None


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("keepsake_vllm.api.accounts.LIMIT", 10)
    ledger = Ledger()
    for number in range(100):
        ledger.open(f"open {number}")
        ledger.open(f"{number}")
        ledger.close(f"{number}", f"{number}", 0, keep=True)
    assert len(ledger._open) <= 10
    assert len(ledger._closed) <= 10
