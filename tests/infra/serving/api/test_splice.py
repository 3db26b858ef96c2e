"""Prompts of known ids and text."""

import pytest
from keepsake_vllm.api.splice import Splice, SpliceFailed

END = 2


async def encode(text, first):
    return [END if letter == "$" else ord(letter) for letter in text]


async def test_an_answers_ids_take_its_place():
    splice = Splice()
    place = splice.place([500, 501, END])
    assert await splice.apply(f"ab{place}$c", encode) == [97, 98, 500, 501, END, 99]


async def test_known_ids_replace_all_that_was_before():
    splice = Splice()
    place = splice.place([900, 901], everything=True)
    assert await splice.apply(f"anything{place}$c", encode) == [900, 901, END, 99]


async def test_several_answers():
    splice = Splice()
    one, two = splice.place([500, END]), splice.place([600])
    assert await splice.apply(f"a{one}$b{two}$c", encode) == [97, 500, END, 98, 600, END, 99]


@pytest.mark.parametrize("text", ["nothing", "{0}{0}"])
async def test_a_template_that_loses_or_repeats_an_answer_is_refused(text):
    splice = Splice()
    with pytest.raises(SpliceFailed):
        await splice.apply(text.format(splice.place([1])), encode)
