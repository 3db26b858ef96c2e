"""Answers of a model are read whatever stands around them, and one that is of no use says what to mend."""

import contextlib
import json
import random

import pytest

from infra.training.mementos.compress import read_mementos
from infra.training.mementos.judge import PROMPT, Sizes, Verdict, faults, mechanical, read_verdict
from infra.training.mementos.scores import SHOWN_CHARS, abridged, read_scores
from infra.training.mementos.teacher import Malformed, Reply
from tests.infra.training.mementos.teachers import FULL


def reply(text, cut_off=False):
    return Reply(text, cut_off)


# Scores


@pytest.mark.parametrize(
    "text",
    [
        '{"scores": [0, 1, 3]}',
        'Sure:\n```json\n{"scores": [0, 1, 3,],}\n```\nDone.',
        '{"scores": ["0", 1.2, 3.0]}',
        '{"scores": [9]} no, rather {"scores": [0, 1, 3]}',
        '{"reasons": {"a": 1}, "scores": [0, 1, 3]}',
        "{" * 150 + ' {"scores": [0, 1, 3]}',
    ],
)
def test_scores_are_found(text):
    assert read_scores(reply(text), 3) == [0, 1, 3]


@pytest.mark.parametrize(
    "text",
    ["", "0 1 3", "[0, 1, 3]", '{"scores": [0, 1]}', '{"scores": [0, 1, 3, 3]}', '{"scores": [0, 1, 4]}', '{"scores": [0, 1, -1]}',
     '{"scores": [0, 1, null]}', '{"scores": [0, 1, true]}', '{"scores": [0, 1, NaN]}', '{"scores": "013"}', '{"scores": [0, 1', "{" * 100_000],
)  # fmt: skip
def test_scores_of_no_use_are_malformed(text):
    with pytest.raises(Malformed):
        read_scores(reply(text), 3)


def test_a_long_sentence_is_shown_by_its_ends():
    shown = abridged("a" * 5_000 + "the end")
    assert len(shown) < SHOWN_CHARS + 20 and shown.startswith("aaa") and shown.endswith("the end")


# Mementos


@pytest.mark.parametrize(
    "text",
    [
        "=== MEMENTO 1 ===\nx = 1\n\n=== MEMENTO 2 ===\ny = 2; approach failed\n=== END ===\nGood luck!",
        "## Memento 1\nx = 1\n## Memento 2\ny = 2; approach failed",
        "**Memento 1:** x = 1\n**Memento 2:** y = 2; approach failed",
        "[[ ## summaries ## ]]\nSummary 1:\nx = 1\n\nSummary 2:\ny = 2; approach failed\n[[ ## completed ## ]]",
        "Here they are.\r\n=== MEMENTO 1 of 2 ===\r\nx = 1\r\n=== MEMENTO 2 of 2 ===\r\ny = 2; approach failed\r\n",
        "=== MEMENTO 2 ===\ny = 2; approach failed\n=== MEMENTO 1 ===\nx = 1\n=== MEMENTO 9 ===\nof another trace",
        "=== MEMENTO 1 ===\ndraft\n=== MEMENTO 1 ===\nx = 1\n=== MEMENTO 2 ===\ny = 2; approach failed",
    ],
)
def test_mementos_are_found(text):
    assert read_mementos(reply(text), range(2)) == {0: "x = 1", 1: "y = 2; approach failed"}


@pytest.mark.parametrize("nothing", ["", "  ", "...", "[Missing summary]", "(memento missing)", "N/A", "TODO", "…", "---"])
def test_a_placeholder_is_a_missing_memento(nothing):
    assert read_mementos(reply(f"=== MEMENTO 1 ===\nx = 1\n=== MEMENTO 2 ===\n{nothing}\n=== END ==="), range(2)) == {0: "x = 1"}


def test_a_memento_that_was_cut_off_is_missing_and_one_that_names_another_is_whole():
    text = "=== MEMENTO 1 ===\nmemento 2 shows x\n=== MEMENTO 2 ===\ny ="
    assert read_mementos(reply(text, cut_off=True), range(2)) == {0: "memento 2 shows x"}
    assert read_mementos(reply(text + "2\n=== END ===", cut_off=True), range(2))[1] == "y =2"


@pytest.mark.parametrize("text", ["", "x = 1; y = 2", "=== MEMENTO 7 ===\nx", "=== MEMENTO 1 ===\n\n=== END ==="])
def test_an_answer_without_mementos_is_malformed(text):
    with pytest.raises(Malformed, match="MEMENTO 1"):
        read_mementos(reply(text), range(2))


def test_no_answer_breaks_the_readers():
    rng = random.Random(9)
    bits = [
        "=== MEMENTO 1 ===\n",
        "Summary 2:",
        '{"scores": [',
        '"formulas": 3',
        "{",
        "}",
        "]",
        "1, ",
        "\n",
        "\x00",
        "=== END ===",
        "é",
        '"',
        "```",
        "\r\n",
    ]
    for _ in range(3_000):
        text = "".join(rng.choices(bits, k=rng.randint(0, 25)))
        for read in (lambda r: read_scores(r, 2), lambda r: read_mementos(r, range(2)), read_verdict):
            with contextlib.suppress(Malformed):
                read(reply(text, cut_off=rng.random() < 0.5))


# Verdicts


def verdict(**changed):
    return read_verdict(reply("I think:\n" + json.dumps({**FULL, **changed})))


def test_the_rubric_has_ten_points_and_deductions():
    assert verdict().total == 10
    assert verdict(formulas=1).total == 8
    assert verdict(deductions=["hallucination", "narrative", "paraphrased_formula", "missing_critical"]).total == 5
    assert verdict(deductions=["missing_critical", "missing_critical"]).total == 8  # each once
    assert verdict(deductions={"Missing critical": -2}).total == 8
    assert verdict(numbers=1.9).numbers == 1
    zero = Verdict(formulas=0, numbers=0, methods=0, validation=0, correctness=0, result_first=0, deductions=("missing_critical",))
    assert zero.total == 0
    assert all(f"{name} " in PROMPT for name in [*FULL][:6])


@pytest.mark.parametrize(
    "changed", [{"formulas": 4}, {"numbers": -1}, {"methods": "all"}, {"correctness": None}, {"deductions": ["ugly"]}, {"feedback": 3}]
)
def test_a_verdict_out_of_the_rubric_is_malformed(changed):
    with pytest.raises(Malformed, match=next(iter(changed))):
        verdict(**changed)


# What needs no model


def test_numbers_that_come_from_nowhere_are_found():
    block = "Step 8: 12 * 3 = 36, modulo 100: 36. In all 1,250.5 and 007."
    assert mechanical(block, "after step 8: 36; sum: 1250.5; 7; 0", Sizes(40, 12), []) == []
    [said] = mechanical(block, "after step 9: 36; 1250", Sizes(40, 12), ["Start with 17."])
    assert "9, 1250" in said
    assert mechanical(block, "step 17", Sizes(40, 12), ["Start with 17."]) == mechanical(block, "step 9", Sizes(40, 12), None) == []


@pytest.mark.parametrize(
    ("memento", "sizes", "words"),
    [
        (" ", Sizes(100, 1), "empty"),
        ("x <|im_end|>", Sizes(100, 5), "control token"),
        ("x <think>", Sizes(100, 5), "control token"),
        ("x", Sizes(100, 100), "far shorter"),
        ("x", Sizes(1_000, 700), "ratio"),
        ("x", Sizes(1_000, 1), "ratio"),
    ],
)
def test_what_no_memento_may_be(memento, sizes, words):
    assert any(words in said for said in mechanical("x", memento, sizes, []))


def test_a_short_memento_of_a_short_block_is_in_order():
    assert faults("x = 1", Sizes(8, 5)) == mechanical("x = 1", "x = 1", Sizes(8, 5), []) == []
