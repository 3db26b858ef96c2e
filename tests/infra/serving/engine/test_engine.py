"""A real engine with a tiny model: adapters, malformed streams, limits, refusals, the grammar; and the self-test as users run it."""

import json
import re
from pathlib import Path

import pytest

from tests.infra.serving_environment import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXACT = 1e-4  # float32, against transformers
PROGRAM = Path(__file__).with_name("cases.py")


@pytest.fixture(scope="module")
def result() -> dict:
    done = run(PROGRAM, VLLM_LOGGING_LEVEL="ERROR")
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_self_test_proves_equivalence_in_under_a_minute_of_its_own():
    done = run("-m", "keepsake_vllm.command", "selftest", "--json", VLLM_LOGGING_LEVEL="ERROR")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    verdict = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert verdict.pop("ok")
    assert verdict.pop("dtype") == "float32"
    assert set(verdict) == {"decoding", "second turn", "in segments", "shared pages"}
    assert all(way["worst"] <= EXACT and way["plain"] > 1 and way["evicted"] for way in verdict.values())


def test_a_lora_adapter_is_exact_and_shares_no_pages_with_the_plain_model(result):
    found = result["adapters"]
    for way in ("plain", "adapted", "again"):
        assert found[way][0] <= EXACT
        assert found[way][1] > 1  # against a plain causal mask
    assert found["adapted_against_plain_weights"] > 1
    assert found["cached"][0] == 0
    assert found["cached"][1] > 0


def test_malformed_streams_are_computed_as_the_rule_says(result):
    assert result["malformed"] <= EXACT


def test_a_request_may_fill_the_context_and_not_exceed_it(result):
    tokens, off = result["limits"]["full"]
    assert tokens == 412
    assert off <= EXACT
    assert result["limits"]["longer"] == "refused"


def test_a_request_may_end_inside_a_block(result):
    assert result["limits"]["cut"] == [12, "length"]
    assert result["limits"]["stopped"] == [7, "stop"]


def test_unknown_options_and_tokens_are_refused_with_a_sentence(result):
    mode, negative, unknown, word, token = result["options"]
    assert "'keep', 'restart' or 'off'" in mode
    assert "greater than or equal to 0" in negative
    assert "known are memento, memento_keep_last_n, memento_grammar" in unknown
    assert "valid integer" in word
    assert "out of vocabulary" in token


def test_the_grammar_gives_blocks_their_shape_and_caps(result):
    eager = result["grammar"]["eager"]
    assert re.match(r"(\[\.{1,30}\]\(\.{1,8}\))+", eager)
    assert set(re.findall(r"\((\.*)\)", eager)) <= {"." * n for n in range(9)}
    assert re.fullmatch(r"(\[\.*\]\(\.*\))+.*", result["grammar"]["shy"])


def test_no_more_blocks_begin_than_a_request_allows(result):
    assert re.fullmatch(r"(\[\.*\]\(\.{1,8}\)){2}\.+", result["grammar"]["few"])


def test_blocks_may_be_demanded_before_a_bound_answer(result):
    shape, text = result["grammar"]["forced"]
    assert re.fullmatch(r"(\[\.{1,6}\]\(\.{1,3}\)){2}\.+", shape)
    assert re.fullmatch(r"(yes|no), because [a-z]{3,9}\.", text.rsplit("<|summary_end|>", 1)[1])


def test_an_answer_behind_a_thought_keeps_to_its_schema(result):
    shape, text = result["grammar"]["bound"]
    assert shape.startswith("[............](........)")
    answer = text.rsplit("<|summary_end|>", 1)[1]
    assert re.fullmatch(r"(yes|no), because [a-z]{3,9}\.", answer)
    assert re.fullmatch(r"(yes|no), because [a-z]{3,9}\.", result["grammar"]["plain"])


def test_a_seed_holds_over_a_prompt_that_is_prefilled_in_parts(result):
    (first, second), cached = result["seeds"]
    assert first == second
    assert cached[0] == 0 < cached[1]


def test_the_engine_accounts_for_what_it_evicted(result):
    usage = result["accounts"]["usage"]
    assert result["accounts"]["evictions"] == [[30, 72, 80], [80, 102, 107]]
    assert (usage["compactions"], usage["evicted_tokens"]) == (2, 42 + 22)
    # 30 of prompt, block 42, memento 8; and every row's keys summed
    assert usage["peak_kv_tokens"] == 80
    total, resident = 0, 0
    for index in range(30 + 50 + 27 + 7 - 1):  # the last token is sampled and never computed
        resident -= {80: 42, 107: 22}.get(index, 0)
        resident += 1
        total += resident
    assert usage["kv_auc"] == total


def test_no_page_is_left_behind(result):
    assert result["pages_left"] == 0
