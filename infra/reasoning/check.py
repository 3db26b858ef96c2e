"""Whether an answer is right, whether a trace is, and which steps of a model's own trace are."""

import re
from collections.abc import Sequence

from app.errors import InvalidInput
from infra.reasoning import reference
from infra.reasoning.base import Block, Problem
from infra.reasoning.families import family
from infra.reasoning.solving import next_step


def extract(text: str) -> str | None:
    """The value of the last line, `answer: <value>`, with single spaces; None unless the last line has this form, and no other has."""
    lines = [line.strip() for line in text.strip().splitlines()]
    answers = [line for line in lines if line.startswith("answer:")]
    if len(answers) != 1 or lines[-1] != answers[0]:
        return None
    return " ".join(answers[0].removeprefix("answer:").split()) or None


def correct(problem: Problem, text: str) -> bool:
    """True if `text`, what a model wrote after its last memento, ends in the right answer. Nothing but white space may differ."""
    return extract(text) == problem.answer


def steps_right(problem: Problem, mementos: Sequence[str]) -> tuple[bool, ...]:
    """For each memento of a model whether it is the right one after those before it, right or wrong: a slip counts once, not its consequences.

    False where the mementos before it cannot be read, or hold the answer already.
    """
    due = (_step(problem, mementos[:index]) for index in range(len(mementos)))
    return tuple(isinstance(step, Block) and step.memento == memento for step, memento in zip(due, mementos, strict=True))


def faults(problem: Problem) -> tuple[str, ...]:
    """What is wrong with a problem; empty if nothing is.

    The answer is recomputed from the question by `reference`. Each block and the answer are asked of the family again, from the question and the
    mementos before it alone: if one came from anything else, they differ.
    """
    found = []
    expected = reference.answer(problem.family, problem.question)
    if problem.answer != expected:
        found.append(f"the answer is {expected}, not {problem.answer}")
    for index, block in enumerate(problem.blocks):
        if _step(problem, problem.mementos[:index]) != block:
            found.append(f"block {index + 1} does not follow from the mementos before it")
    if _step(problem, problem.mementos) != problem.answer:
        found.append("the answer does not follow from the mementos")
    for text in (problem.question, problem.closing, *(part for block in problem.blocks for part in (block.text, block.memento))):
        if not text.isascii() or re.search(r"<\||\|>|  |[ \t]$", text, re.MULTILINE):
            found.append(f"{text!r} has more than ASCII, a control token, or a space too many")
    return tuple(found)


def _step(problem: Problem, mementos: Sequence[str]) -> Block | str | None:
    """None where the family cannot go on from these mementos."""
    try:
        return next_step(family(problem.family), problem.question, mementos)
    except InvalidInput:
        return None
