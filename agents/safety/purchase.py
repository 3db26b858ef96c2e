"""Whether a message asks for a purchase without a verb of paying: `could I get 12 kettles? 300 for the lot`, `list.txt -> shop, 50 tops`.

Nothing is granted without a sum that the message or the file that it names tells, but `get me 2 kettles`.
"""

from collections.abc import Sequence

from agents.safety.asking import Asking
from agents.safety.lexicon import lexicon
from agents.safety.sentence import FILE, sentences
from agents.safety.values import Kind, Said
from agents.safety.words import Clause, spellings

_BELOW = {"<=", "≤"}
_NEAR = 6  # words between a verb and what it is about


def asks_to_buy(asked: Asking, clause: Clause, things: Sequence[Sequence[str]], bounded: bool) -> bool:
    """`clause` of a message that asks so; `things`: names of all that would be bought, word by word, none where a file tells them; `bounded`:
    whether message or file say how much it may cost."""
    if not asked.free:
        return False
    known, words = lexicon(), tokens(clause.said.text)
    named = FILE in words if not things else all(_place(words, names) is not None for names in things)
    if not named and not known.pronouns & {*words}:
        return False
    verbs = known.acquiring | (known.acquiring_within if bounded else frozenset())
    if any(_acquires(words, at, things, bounded) for at, word in enumerate(words) if word in verbs):
        return True
    return bounded and named and "?" not in words


def says_sum(said: Said) -> bool:
    """Whether a text tells a sum that must not be exceeded, in whatever words: besides what is counted, a number with a condition."""
    known, words = lexicon(), {*tokens(said.text)}
    numbers = {value.text for value in said.values if value.kind == Kind.NUMBER}
    bounds = words & (known.bounding | known.limits | _BELOW) or any(phrase in said.folded for phrase in known.limited)
    return len(numbers) > 1 and bool(bounds)


def tokens(text: str) -> list[str]:
    """Words and marks in lower case, without a possessive: of `budget's 180`, `budget`, `180`."""
    return [word.removesuffix("'s") for sentence in sentences(text) for word in sentence.words]


def _acquires(words: list[str], at: int, things: Sequence[Sequence[str]], bounded: bool) -> bool:
    """Whether the verb at a place is the person's wish and is about the things: at once, or by a pronoun."""
    known = lexicon()
    if known.negations & set(words[max(0, at - 3) : at]):
        return False
    if bounded:
        return True
    before, after = words[max(0, at - 1) : at], words[at + 1 : at + 1 + _NEAR]
    places = [place for names in things if (place := _place(after, names)) is not None]
    counted = [at for at, word in enumerate(after) if word.isdigit() or word in known.numbers]
    near = len(places) == len(things) > 0 and bool(counted) and min(counted) < min(places)
    return near and (not before or before[0] in known.wishers)


def _place(words: Sequence[str], names: Sequence[str]) -> int | None:
    """Where a thing is named first."""
    wanted = spellings(names)
    found = [at for at, word in enumerate(words) if word in wanted]
    return found[0] if len(found) * 2 >= len(names) > 0 else None
