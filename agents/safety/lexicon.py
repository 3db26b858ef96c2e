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
    fetching: tuple[str, ...]
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
