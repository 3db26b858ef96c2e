"""Families: what a question says stands in each wording, every line of a trace is true, and a trace needs nothing but its mementos."""

import random
import re
from itertools import pairwise

import pytest

from app.errors import InvalidInput
from infra.reasoning import reference
from infra.reasoning.base import Block
from infra.reasoning.check import faults
from infra.reasoning.families import FAMILIES, family
from infra.reasoning.problems import problem
from infra.reasoning.solving import MOST_BLOCKS, next_step, solve
from infra.reasoning.wording import ASK, Wordings, items, numbered

SEEDS = [*range(240), *range(900_000, 900_030), *range(950_000, 950_080)]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_problem_is_without_fault(name):
    """Answers against an independent way; every block and the answer again from question and mementos alone; ASCII, single spaces."""
    for seed in SEEDS:
        made = problem(name, seed)
        assert faults(made) == (), seed
        assert 0 < len(made.blocks) < MOST_BLOCKS
        assert all(text == text.lower() for block in made.blocks for text in (block.text, block.memento))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_depends_on_no_step_before_it(name):
    for seed in range(950_000, 950_010):
        made = problem(name, seed)
        order = list(range(len(made.blocks)))
        random.Random(seed).shuffle(order)
        assert all(family(name).step(made.question, made.mementos[:index]) == made.blocks[index] for index in order)


@pytest.mark.parametrize("name", FAMILIES)
def test_six_wordings_or_more_ask_the_same(name):
    kind = FAMILIES[name]
    question = problem(name, 3).question
    slots = kind.wordings.read(question)
    asked = [template.format(**slots) + "\n" + ASK for template in kind.wordings.templates]
    assert len(set(asked)) >= 6 and question in asked
    for other in asked:
        assert kind.wordings.read(other) == slots
        assert kind.content(other) == kind.content(question)
        assert solve(kind, other)[1] == reference.answer(name, other)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_wording_is_drawn_and_ends_in_the_same_instruction(name):
    kind = FAMILIES[name]
    drawn = set()
    for seed in range(120):
        question = problem(name, seed, level=1).question
        assert question.endswith("\n" + ASK)
        drawn |= {
            template for template in kind.wordings.templates if question == template.format(**kind.wordings.read(question)) + "\n" + ASK
        }
    assert drawn == set(kind.wordings.templates)


SUMS = re.compile(r"(?<!\+ )(?=\b[a-z]?(\d+) ([+*]) (\d+)(?: \+ (\d+))? = (\d+))")
DIFFERENCES = re.compile(r"(\d) - (\d) - (\d) = (\d) borrow (\d)")
DIVISIONS = re.compile(r"(\d+) : (\d+) \* (\d+) = (\d+) left (\d+)")


@pytest.mark.parametrize("name", ["state_chain", "chain_sum", "gcd_lcm", "long_multiplication", "base_conversion", "calendar_arithmetic"])
def test_every_written_equation_is_true(name):
    seen = 0
    for seed in range(950_000, 950_040):
        text = "\n".join(block.text for block in problem(name, seed).blocks)
        seen += sum(len(form.findall(text)) for form in (SUMS, DIFFERENCES, DIVISIONS))
        for x, sign, y, carry, result in SUMS.findall(text):
            assert (int(x) + int(y) if sign == "+" else int(x) * int(y)) + int(carry or 0) == int(result), text
        for x, y, borrow, digit, after in DIFFERENCES.findall(text):
            assert int(x) - int(y) - int(borrow) == int(digit) - 10 * int(after), text
        for part, times, base, product, left in DIVISIONS.findall(text):
            assert int(times) * int(base) == int(product) and int(part) == int(product) + int(left) < int(product) + int(base), text
    assert seen > 400


@pytest.mark.parametrize("name", FAMILIES)
def test_lists_carry_their_count_and_their_numbers(name):
    made = problem(name, 950_003)
    listed = re.findall(r"^(\d+): ", made.question, re.MULTILINE)
    assert listed == [str(number) for number in range(1, len(listed) + 1)]
    if listed:
        assert re.search(rf"(?<!\d){len(listed)}(?!\d|:)", made.question)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_question_of_another_kind_is_refused(name):
    for question in (
        "",
        "What is the time?",
        "What is the time?\n" + ASK,
        problem("coin_flip" if name != "coin_flip" else "gcd_lcm", 1).question,
    ):
        with pytest.raises(InvalidInput) as refused:
            next_step(FAMILIES[name], question, ())
        assert refused.value.hint


@pytest.mark.parametrize("name", FAMILIES)
def test_whatever_a_model_writes_as_mementos_gives_a_step_or_is_refused(name):
    draw = random.Random(name)
    for seed in range(950_000, 950_040):
        made = problem(name, seed)
        mementos = list(made.mementos[: draw.randint(1, len(made.blocks))])
        place = draw.randrange(len(mementos))
        mementos[place] = garbled(draw, mementos[place])
        try:
            assert isinstance(next_step(FAMILIES[name], made.question, mementos), Block | str)
        except InvalidInput as refused:
            assert refused.hint


def garbled(draw: random.Random, text: str) -> str:
    words = text.split()
    place = draw.randrange(len(words))
    match draw.randrange(5):
        case 0:
            del words[place]
        case 1:
            words.insert(place, draw.choice(words))
        case 2:
            words[place] = draw.choice(("x", "99", "", "a", "-1"))
        case 3:
            return "".join(draw.choice("0123456789 abxyz") if draw.random() < 0.3 else symbol for symbol in text)
        case _:
            words = words[:place]
    return " ".join(words)


def test_sorting_inside_a_piece_follows_the_direction():
    for seed in range(200):
        made = problem("number_sorting", seed)
        numbers = [int(number) for number in made.answer.split()]
        steps = {x < y for x, y in pairwise(numbers)}
        assert len(steps) == 1 and len(set(numbers)) == len(numbers)


def test_wordings_that_are_ambiguous_still_read_back():
    wordings = Wordings("From {a} to {b}.", "{b} after {a}:\n{list}")
    written = wordings.write(random.Random(0), a=1, b=2, list="x")
    assert written in ("From 1 to 2.\n" + ASK, "2 after 1:\nx\n" + ASK)
    assert wordings.read("2 after 1:\n1: x\n2: y\n" + ASK) == {"a": "1", "b": "2", "list": "1: x\n2: y"}


def test_a_numbered_list_reads_back_and_another_is_refused():
    assert items(numbered(["+3", "-4"])) == ["+3", "-4"]
    for wrong in ("2: x", "1: x\n3: y", "x"):
        with pytest.raises(InvalidInput):
            items(wrong)
