"""The words that the gate knows, from lexicon.yaml: verbs by what they do to the world, and nouns by the kind of value that they stand for."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict

from agents.safety.values import Kind
from app.schemas import Effect

Words = Annotated[frozenset[str], BeforeValidator(lambda text: frozenset(text.split()) if isinstance(text, str) else text)]


class Family(BaseModel):
    """Verbs that do the same, whatever they are called."""

    effect: Effect
    verbs: Words


class Nouns(BaseModel):
    """Nouns by which a person names what is to be looked up."""

    kinds: tuple[Kind, ...]
    nouns: Words


class Lexicon(BaseModel):
    """See lexicon.yaml. `who` to `how` are words in the names of parameters, by what such a parameter decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    families: tuple[Family, ...]
    pairs: Mapping[str, str]
    irregular: Mapping[str, str]
    passive: Words
    negations: Words
    polite: Words
    telling: Words
    searching: Words
    carts: Words
    paying: Words
    attachments: Words
    asking: Words
    secrets: Words
    money: Words
    who: Words
    where: Words
    which: Words
    what: Words
    how: Words
    buying: Words
    synonyms: tuple[Words, ...]
    numbered: Words
    amounts: Words
    written: Words
    lists: Words
    no_plurals: Words
    parameter_kinds: Mapping[Kind, Words]
    noun_kinds: tuple[Nouns, ...]
    any_kind: Words
    many: Words
    choosing: Words
    articles: Words
    numbers: Mapping[str, int]
    neutral: Words
    generic: Words
    addressees: Words
    needs: Words
    delegating: Words
    fetching: Words
    determiners: Words
    prepositions: Words
    adverbs: Words
    opening: Words
    modals: Words
    wondering: Words
    governing: Words
    first: Words
    before_doing: Words
    others: Words
    past: Words
    obliging: Words
    causing: Words
    telling_verbs: Words
    finding: Words
    done: Words
    to_me: Words
    looking: Words
    curious: Words
    needing: Words
    pleading: Words
    asked: Words
    tasked: Words
    saying: Words
    deals: Mapping[str, str]
    opposites: tuple[tuple[str, str], ...]
    nouns: Words
    filling: Words
    giving: Words
    finite: Words
    weighty: Words
    renaming: Words
    between: Words
    had: Words
    currency: Words
    harmless: tuple[str, ...]
    resuming: Words
    entering: Words
    light: Words
    asked_about: Words
    comparing: Words
    conditions: Words
    forbidding: tuple[str, ...]
    never: tuple[str, ...]
    conditional: Words
    judged: Words
    things_judged: Words
    selves: Words
    doings: Words
    untouched: Words
    acquiring: Words
    acquiring_within: Words
    postponing: Words
    wishers: Words
    pronouns: Words
    bounding: Words
    limits: Words
    limited: tuple[str, ...]
    acting: Words
    doing: Words
    totals: Words

    def families_of(self, verbs: set[str] | frozenset[str]) -> frozenset[int]:
        """Numbers of the families that one of these verbs belongs to."""
        return frozenset(number for number, family in enumerate(self.families) if family.verbs & verbs)


@cache
def lexicon() -> Lexicon:
    return Lexicon.model_validate(yaml.safe_load((files("agents.safety") / "lexicon.yaml").read_text()))


@cache
def verbs() -> frozenset[str]:
    """All verbs of all families."""
    return frozenset().union(*(family.verbs for family in lexicon().families))
