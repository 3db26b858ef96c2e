"""Names from outside become harmless and distinct."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from backend.filenames import LONGEST, clean_name, distinct_names


@pytest.mark.parametrize(
    ("given_name", "clean"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\plan.doc", "plan.doc"),
        (".bashrc", "bashrc"),
        ("a\x00b\nc.txt", "a_b_c.txt"),
        ("gpj\u202e.exe", "gpj_.exe"),
        ("Größe 1.csv", "Größe 1.csv"),
        ("x" * 300 + ".csv", "x" * 116 + ".csv"),
    ],
)
def test_a_name_is_made_harmless(given_name: str, clean: str) -> None:
    assert clean_name(given_name) == clean


@pytest.mark.parametrize("name", ["", "..", "/", "...", "\x00", "a/.."])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        clean_name(name)


@given(st.text(max_size=200))
def test_no_clean_name_leads_anywhere(name: str) -> None:
    try:
        clean = clean_name(name)
    except InvalidInput:
        return
    assert "/" not in clean and "\\" not in clean and not clean.startswith(".") and clean.isprintable() | (len(clean) > 0)
    assert 0 < len(clean) <= LONGEST and clean == clean_name(clean)


def test_equal_names_are_numbered_also_in_other_letter_case() -> None:
    assert distinct_names(["a.csv", "A.csv", "b", "b", "a-2.csv"]) == ["a.csv", "A-2.csv", "b", "b-2", "a-2-2.csv"]


@given(st.lists(st.text("aA.-2", min_size=1, max_size=4), max_size=12))
def test_distinct_names_are_distinct(names: list[str]) -> None:
    assert len({name.casefold() for name in distinct_names(names)}) == len(names)
