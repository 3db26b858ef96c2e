"""Checks: one form of the answer and no other; a trace with anything wrong in it is caught; a slip counts once."""

from dataclasses import replace

import pytest

from app.errors import InvalidInput
from infra.reasoning import reference
from infra.reasoning.base import Block
from infra.reasoning.check import correct, extract, faults, steps_right
from infra.reasoning.families import FAMILIES
from infra.reasoning.problems import problem
from infra.reasoning.solving import next_step


def altered(text: str) -> str:
    """The last digit, or else the last letter, is another one."""
    places = [index for index, symbol in enumerate(text) if symbol.isdigit()] or [len(text) - 1]
    symbol = text[places[-1]]
    other = str((int(symbol) + 1) % 10) if symbol.isdigit() else "q" if symbol != "q" else "k"
    return text[: places[-1]] + other + text[places[-1] + 1 :]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_answer_is_right_and_a_wrong_one_is_not(family):
    for seed in range(40):
        made = problem(family, seed)
        assert correct(made, made.closing)
        assert correct(made, f"  {made.closing}\n\n")
        assert not correct(made, altered(made.closing))
        assert not correct(made, made.answer)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("answer: 42", "42"),
        ("I think so.\n answer:  4   2 \n", "4 2"),
        ("answer:42", "42"),
        ("", None),
        ("42", None),
        ("answer:", None),
        ("Answer: 42", None),
        ("the answer: 42", None),
        ("answer: 42\nor so", None),
        ("answer: 41\nanswer: 42", None),
    ],
)
def test_an_answer_has_one_form(text, value):
    assert extract(text) == value


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_trace_is_caught_wherever_it_is_wrong(family):
    made = problem(family, 950_000)
    assert faults(made) == ()
    assert "the answer is" in faults(replace(made, answer=altered(made.answer)))[0]
    assert faults(replace(made, blocks=made.blocks[:-1]))
    for index, block in enumerate(made.blocks):
        for wrong in (Block(altered(block.text), block.memento), Block(block.text, altered(block.memento))):
            found = faults(replace(made, blocks=(*made.blocks[:index], wrong, *made.blocks[index + 1 :])))
            assert f"block {index + 1} does not follow from the mementos before it" in found


def test_a_trace_that_looks_consistent_but_answers_wrong_is_caught():
    """Every step of another question's trace follows from the one before; the question does not."""
    made, other = problem("chain_sum", 950_000), problem("chain_sum", 950_001)
    assert made.answer != other.answer
    assert faults(replace(made, blocks=other.blocks, answer=other.answer))


def test_control_tokens_and_stray_spaces_are_caught():
    made = problem("coin_flip", 950_000)
    for wrong in ("<|im_end|>", "two  spaces", "behind ", "\N{MULTIPLICATION SIGN}"):
        assert any("control token" in fault for fault in faults(replace(made, question=made.question.replace("\n", wrong + "\n", 1))))


@pytest.mark.parametrize("family", FAMILIES)
def test_all_steps_of_a_right_trace_are_right(family):
    made = problem(family, 950_001)
    assert steps_right(made, made.mementos) == (True,) * len(made.blocks)
    assert steps_right(made, [*made.mementos, "done"]) == (*[True] * len(made.blocks), False)


def test_a_slip_counts_once_and_its_consequences_do_not():
    made = problem("state_chain", 950_000)
    mementos = [*made.mementos[:3], altered(made.mementos[3])]
    while isinstance(step := next_step(FAMILIES["state_chain"], made.question, mementos), Block):
        mementos.append(step.memento)
    assert mementos != list(made.mementos)
    assert [index for index, right in enumerate(steps_right(made, mementos)) if not right] == [3]


def test_mementos_that_cannot_be_read_are_wrong_and_so_is_what_follows():
    made = problem("gcd_lcm", 950_000)
    assert steps_right(made, ["pair", made.mementos[1]]) == (False, False)


def test_the_reference_refuses_what_it_does_not_know():
    for family, question in (("cooking", "1 + 1"), ("state_chain", "no number"), ("calendar_arithmetic", "today")):
        with pytest.raises(InvalidInput) as refused:
            reference.answer(family, question)
        assert refused.value.hint
