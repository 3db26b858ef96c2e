"""Candidates re-join byte-exact whatever the text, and what belongs together is not parted."""

import random
import time

import pytest

from infra.training.mementos.sentences import candidates

PIECES = [
    "Okay, so I need to find x. ", "Wait, no. ", "Let me check, e.g. Fig. 3, or 3.14. ", "See https://a.b/c.d?e=1.2. Then ",
    "So x = 5.", "```python\ndef f(x):\n    return x. y\n\n# A. B\n```\n", "```", "~~~\ncode. More\n~~~", "$$\na = b. C\n$$",
    "$$", "$", "$x. Y$", "$5 and $6. ", "\\[ a. B \\]", "\\[", "\\(a. B\\)", "\\(", "\\begin{align}\na. B\n\\end{align}",
    "\\begin{x}", "(a. B (c! D) e)", "(", ")]}", "[1. 2]", "`a. B`", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\t", "   ",
    "\u2028", "\u00a0", "\x00", "\x0b", "\ufeff", "1. ", "2) ", "- item\n", "* other. Thing\n", "Therefore, y. ", "thus z",
    "First:\n", "= 3", "...", "?!", "\u2026 ", "。", "你好。世界！", "\U0001f600. ", "e\u0301. ", "\u202eabc. ", "<|im_end|>",
    "Dr. X. ", "a;\nb;\n", "x = 1\n", "if a:\n    b\n", "$" * 3, "`" * 4, "\\" * 3, "A" * 300, "Hmm. ", '"Quoted." ', "end.",
    "\ud7ff\ue000",
]  # fmt: skip


def parts(text):
    return [text[start:end] for start, end in candidates(text)]


def test_ten_thousand_traces_rejoin_byte_exact():
    rng = random.Random(20_260_801)
    several = 0
    for _ in range(10_000):
        pieces = rng.choices(PIECES, k=rng.randint(0, 30))
        if rng.random() < 0.2:
            pieces.append("".join(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) for _ in range(20)))
        rng.shuffle(pieces)
        text = "".join(pieces)
        spans = candidates(text)
        assert "".join(text[start:end] for start, end in spans).encode() == text.encode()
        assert all(start < end for start, end in spans)
        assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
        several += len(spans) > 1
    assert several > 5_000  # or nothing was cut and all of it is idle


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "$a" * 100_000, "`" * 100_000, "```a\n" * 30_000, "\\[" * 80_000, "\\begin{a}" * 30_000, " " * 200_000, "\n" * 100_000,
     "\r\n" * 80_000 + "x", "x=1\n" * 50_000, "- a b c d e f\n" * 30_000, "a" * 300_000, "\\(" * 80_000 + "\\)", "。" * 80_000, ":\n" * 50_000,
     "So a b c d e f. " * 20_000, "{[(" * 30_000 + ")]}" * 30_000, "a " * 100_000 + ".", "$\n" + " " * 100_000 + "$\n", "word " * 100_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_huge_lines_rejoin_in_linear_time(text):
    started = time.process_time()
    assert "".join(parts(text)) == text
    assert time.process_time() - started < 6


@pytest.mark.parametrize(
    "text",
    [
        "```python\ndef f(x):\n    return x. Upper\n\n# One. Two\nprint(x)\n```",
        "~~~\nOne thing here. Another thing there.\n\nAnd more of it.\n~~~",
        "$$\nf(x) = 3. Then\n\nall the others follow here.\n$$",
        "\\[ f(x) = 3. And there is much more. Of it all \\]",
        "We have \\(a. Then B is also here. And C\\) as given there",
        "We have $a. Then B is also here. And C$ as given there",
        "\\begin{cases}\nOne is one here. Two\n\nThree is three there. Four\n\\end{cases}",
        "This holds (because it was shown. Above in full. And below) for all of them",
        "See https://example.org/a.b?c=d. e for more of these things",
        "The value is 3.14 and the other one is 2. 5 of them",
        "Use a bound, e.g. Markov's or the one of Dr. Smith, i.e. the better one",
        "1. First of all, this is the only item in the list",
        "we need the following things: \n\n x = 3 and y = 4 are given",
        "so it is now clear that x + y =\n\n the sum of both of them",
        "the line is wrapped here by a width of sixty or so and goes\non in the next line of the very same sentence",
    ],
)
def test_what_belongs_together_is_one_candidate(text):
    assert parts(text) == [text]


def test_sentences_and_paragraphs_are_parted():
    text = "First I compute the sum of both. It is equal to twelve.\n\nNow let me look at the product instead. What is it worth now?\nIt is 35."
    assert parts(text) == [
        "First I compute the sum of both. ",
        "It is equal to twelve.\n\n",
        "Now let me look at the product instead. ",
        "What is it worth now?\n" + "It is 35.",  # a fragment goes to what it ends
    ]


def test_a_line_keeps_its_indentation():
    text = "Here is the first of all the lines.\n    And here is an indented one of them.\n"
    assert parts(text) == ["Here is the first of all the lines.\n", "    And here is an indented one of them.\n"]


def test_fragments_go_to_a_neighbour_and_derivations_stay_whole():
    assert parts("Wait, no. Let me start from the beginning again.") == ["Wait, no. Let me start from the beginning again."]
    chain = "We know that x is twice as large as y. Therefore y is half of x. Hence the sum is three times y."
    assert parts(chain) == [chain]


def test_money_is_no_formula():
    assert len(parts("It costs $5 for all of the children. The others have to pay about $6 for a ticket.")) == 2


def test_a_chain_without_end_stays_divisible():
    items = "".join(f"- item number {i} has a few words in it\n" for i in range(500))
    assert max(map(len, parts(items))) < 2_000


def test_an_empty_text_has_no_candidate():
    assert candidates("") == []
