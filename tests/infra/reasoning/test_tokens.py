"""Sizes in SmolLM2's tokens, at the evaluation size: what a small model is asked to hold, and how much less of it a memento leaves."""

import json
from itertools import islice
from statistics import mean

import pytest

from infra.reasoning.families import FAMILIES
from infra.reasoning.problems import problems
from tests.infra.serving_environment import base_weights, evaluate

MAIN = ("state_chain", "chain_sum", "gcd_lcm", "long_multiplication", "base_conversion", "number_sorting")
COUNT = """
import json, sys
from pathlib import Path
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json"))
texts = json.loads(Path(sys.argv[2]).read_text())
print(json.dumps([len(e.ids) for e in tokenizer.encode_batch(texts, add_special_tokens=False)]))
"""
PROBLEMS = 40
TURNS = 9  # tokens of the chat template around one user message


@pytest.fixture(scope="module")
def made():
    return {family: list(islice(problems(family, "eval"), PROBLEMS)) for family in FAMILIES}


@pytest.fixture(scope="module")
def tokens(made, tmp_path_factory):
    """Tokens of every text of the problems."""
    texts = sorted(
        {t for some in made.values() for p in some for t in (p.question, p.closing, *(x for b in p.blocks for x in (b.text, b.memento)))}
    )
    file = tmp_path_factory.mktemp("texts") / "texts.json"
    file.write_text(json.dumps(texts))
    return dict(zip(texts, evaluate(COUNT, base_weights(), file), strict=True))


def sizes(problem, tokens):
    """Prompt with its turns, the whole completion, and the most that is visible at once; delimiters and the end token are counted."""
    prompt = tokens[problem.question] + TURNS
    blocks = [tokens[block.text] + 2 for block in problem.blocks]
    mementos = [tokens[block.memento] + 2 for block in problem.blocks]
    closing = tokens[problem.closing] + 1
    peak = max([sum(mementos[: index + 1]) + block for index, block in enumerate(blocks)] + [sum(mementos) + closing])
    return prompt, sum(blocks) + sum(mementos) + closing, prompt + peak


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_blocks_and_mementos_are_short(family, made, tokens):
    for problem in made[family]:
        assert sizes(problem, tokens)[0] <= 210
        assert sizes(problem, tokens)[1] <= 1_300
        assert all(tokens[block.text] <= 200 and tokens[block.memento] <= 30 for block in problem.blocks)
    assert mean(tokens[block.memento] for problem in made[family] for block in problem.blocks) <= 15


@pytest.mark.parametrize("family", MAIN)
def test_main_families_are_long_enough_to_need_mementos(family, made, tokens):
    assert 700 <= mean(sizes(problem, tokens)[1] for problem in made[family]) <= 1_100


@pytest.mark.parametrize("family", FAMILIES)
def test_where_a_trace_is_long_memory_is_a_third_or_less(family, made, tokens):
    measured = [sizes(problem, tokens) for problem in made[family]]
    if mean(trace for _, trace, _ in measured) > 700:
        assert mean((prompt + trace) / peak for prompt, trace, peak in measured) >= 3
