"""What using a page's form or button does to the world, from what a person sees of it, and which thing of the site it is done to.

A site's owner chooses these words, so they decide nothing alone: they only say which of the person's wishes a form could be meant by. Where
label, address and fields speak of several effects, the strictest counts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from agents.safety.lexicon import lexicon, verbs
from agents.safety.tools import SEVERITY
from agents.safety.values import Kind, value_of
from agents.safety.words import stem
from app.schemas import Effect

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_STRICT = frozenset({Effect.DELETE, Effect.PAY, Effect.CREDENTIAL})
_TIME = re.compile(r"[\d:./ -]+(?:am|pm|h)?", re.IGNORECASE)  # `To: 11:30` names nobody
_MASKED = "********"


@dataclass(frozen=True)
class Doing:
    """`families`: of the lexicon's verbs, what one would call it. `buying`: it fills or empties a cart, which nobody has to pay for yet."""

    effect: Effect
    families: frozenset[int]
    buying: bool = False


def words_in(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def doing_of(label: str, address: str = "", fields: Mapping[str, str] | None = None) -> Doing:
    """What pressing `label` does, where the form goes to `address` with `fields` (name: value). Without a known verb, it writes."""
    known = lexicon()
    fields = fields or {}
    words = words_in(label)
    path = _last_words(address)
    named = _verbs(words)
    families = known.families_of(named)
    effects = {known.families[number].effect for number in families}
    unknown = not {*words, *map(stem, words)} & (known.neutral | verbs())  # in a language that the lexicon has not
    fills = known.carts & {*words} or (known.carts & {*path} and (unknown or {*named, *path} & known.filling))
    if fills and Effect.PAY not in effects:
        return Doing(Effect.WRITE, families | known.families_of({"buy"}), buying=True)
    for word in path:  # `/orders/7/cancel`; `/orders` names a thing
        if word in verbs() and (strict := {known.families[n].effect for n in known.families_of({word})} & _STRICT):
            effects |= strict
            families |= known.families_of({word})
    if known.paying & set(words) and effects <= {Effect.WRITE}:
        effects.add(Effect.PAY)  # `Submit payment`
        families |= known.families_of({"pay"})
    asked = [set(words_in(name)) for name in fields]
    told = {*words} - ({"pin"} if words[:1] == ["pin"] else set())  # `Pin thread` is about no secret
    if any(_names_whom(name) and not _TIME.fullmatch(value.strip()) for name, value in fields.items()):
        pays = any(own & known.amounts for own in asked)
        effects.add(Effect.PAY if pays else Effect.SEND)
        families |= known.families_of({"pay"}) if pays else frozenset()
    if any(own & known.secrets for own in asked) or _MASKED in fields.values() or known.secrets & told:
        effects.add(Effect.CREDENTIAL)
        families |= known.families_of({"log-in"})
    effect = max(effects, key=SEVERITY.__getitem__, default=Effect.WRITE)
    return Doing(effect, families)


def only_reads(label: str) -> bool:
    """Whether a label promises to change nothing, or promises nothing at all: `Show more`, `Next`."""
    found = _verbs(words_in(label))
    return all(lexicon().families[number].effect == Effect.READ for number in lexicon().families_of(found))


def acts(address: str) -> Doing | None:
    """What a mere link does that says so in its address: `/items/7/delete`, `/cart/add/7`, `?do=close`. None for one that only leads."""
    known, parts = lexicon(), urlsplit(address.rpartition(" ")[2])
    segments = [words_in(part) for part in parts.path.split("/") if part][-3:]
    said = {own[0] for own in segments if own and own[0] in known.acting and set(own[1:]) <= known.generic | known.money}
    query = [(key.casefold(), words_in(value)) for key, value in parse_qsl(parts.query, keep_blank_values=True)]
    said |= {key for key, _ in query if key in known.acting}
    said |= {word for key, value in query if key in known.doing for word in value if word in verbs()}
    path = {word for own in segments for word in own}
    if known.carts & path and (put := path & verbs()):
        return Doing(Effect.WRITE, known.families_of({*put, "buy"}), buying=True)
    families = known.families_of(said)
    effects = {known.families[number].effect for number in families} - {Effect.READ}
    return Doing(max(effects, key=SEVERITY.__getitem__), families) if effects else None


def particular(text: str, common: Iterable[str] = ()) -> list[str]:
    """The words of a title, or of the first cell of a row that has any, which name one thing among others: without numbers, and without what
    all pages say."""
    left = {*lexicon().generic, *lexicon().carts, *common}
    for cell in text.split(" | "):
        if found := [word for word in words_in(cell) if word not in left and not word.isdigit() and len(word) > 1]:
            return found
    return []


def behind_verb(label: str) -> str:
    """What a label names besides its verb: of `Remove Copper Kettle`, `copper kettle`."""
    words = words_in(label)
    pair = next((pair for pair in lexicon().pairs if " ".join(words).startswith(pair)), "")
    at = 1 if pair else next((at for at, word in enumerate(words) if stem(word) in verbs()), -1)
    return " ".join(words[at + 1 :])


def numbers_of(text: str) -> list[str]:
    """The numbers by which a thing may be told from others, such as of an order; short ones and years tell little."""
    return [word for word in words_in(text) if word.isdigit() and len(word) > 2 and not re.fullmatch(r"(?:19|20)\d\d", word)]


def addressed(fields: Mapping[str, Any]) -> bool:
    """Whether one of the fields names whom it is for, or its value does."""
    if any(set(words_in(name)) & lexicon().addressees for name in fields):
        return True
    return any((found := value_of(str(value))) is not None and found.kind in (Kind.EMAIL, Kind.ACCOUNT) for value in fields.values())


def _verbs(words: list[str]) -> set[str]:
    """The first verb of a label, both of `Save and publish`; what follows a verb is a thing (`Cancel order`). A neutral one says nothing, and
    what follows it only if it is no usual thing (`Save contact`)."""
    known = lexicon()
    pairs = {verb for pair, verb in known.pairs.items() if pair in " ".join(words)}
    found = [word for word in map(stem, words) if word in verbs() - known.neutral]
    if "and" not in words and words and stem(words[0]) in known.neutral:
        found = [word for word in found if word not in known.nouns]
    return pairs or set(found if "and" in words else found[:1])


def _names_whom(name: str) -> bool:
    """Whether a field's label says that it takes a recipient; `Move to column` does not."""
    words = words_in(name)
    return bool({*words} & (lexicon().addressees - {"to"})) or words == ["to"]


def _last_words(address: str) -> list[str]:
    return words_in(urlsplit(address.partition(" ")[2] or address).path)[-2:]
