"""Whether a text says a name, a number or a value of a page, however it is written."""

import re
from collections.abc import Sequence

from agents.safety.forms import words_in
from agents.safety.lexicon import lexicon, verbs
from agents.safety.values import Said
from agents.safety.words import spellings, stem

SHORT = 4  # letters; shorter words name nothing
_PIECE = re.compile(r"[^\W_]+|[^\w\s]|\n")  # a word, or a mark between words


def says_name(names: Sequence[str], text: str) -> bool:
    """Whether a text says a thing's name: all of its words in a row; or half of them, with no word beside them that belongs to another name."""
    wanted = spellings(names)
    said = [word.casefold() for word in _PIECE.findall(text) if word not in "-–"]
    at = 0
    while at < len(said):
        end = at
        while end < len(said) and said[end] in wanted:
            end += 1
        whole = end - at >= len(set(names))
        if end > at and (whole or (2 * (end - at) >= len(set(names)) and _ends(said, at - 1) and _ends(said, end))):
            return True
        at = max(end, at + 1)
    return False


def _ends(said: Sequence[str], at: int) -> bool:
    """Whether the word at this place is none of a name."""
    if not 0 <= at < len(said):
        return True
    word, known = said[at], lexicon()
    return len(word) < SHORT or word.isdigit() or word in known.generic or word in known.numbers or stem(word) in verbs()


def affirms(said: Said, value: str) -> bool:
    """Whether a text names a value, and not only to say that it is not meant: `as Can view, not Can comment`."""
    places = (match.start() for match in re.finditer(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", said.folded))
    return any(not re.search(r"\b(?:not|no|instead of|rather than)\s+(?:in |as |the |at )?$", said.folded[:at]) for at in places)


def says_part(names: Sequence[str], text: str) -> bool:
    """Whether a text says a word of a name that is long enough to stand for it."""
    return bool({name for name in names if len(name) >= SHORT} & set(words_in(text)))


def holds(subject: str, text: str) -> bool:
    """Whether a text says a short thing literally, whatever stands between its parts."""
    wanted, said = words_in(subject), words_in(text)
    return any(said[at : at + len(wanted)] == wanted for at in range(len(said) - len(wanted) + 1))
