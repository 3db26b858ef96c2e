"""Values as the gate compares them: the addresses, accounts, amounts and names in a text, and whether a text really says a value.

Comparison is by whole values: `13` is not said by `13:00`, `evil.example/a` not by `evil.example/ab`. Two spellings of one address are one value.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from agents.web.screen.address import canonical


class Kind(StrEnum):
    """What a value is, by its form alone."""

    URL = "url"
    EMAIL = "email"
    ACCOUNT = "account"  # IBAN, card or wallet number
    PHONE = "phone"
    FILE = "file"
    DATE = "date"
    TIME = "time"
    NUMBER = "number"


LEADS = (Kind.URL, Kind.EMAIL, Kind.ACCOUNT, Kind.PHONE)  # kinds that lead a reader, a message or money somewhere
_ENDINGS = (
    "txt|csv|tsv|pdf|docx?|xlsx?|pptx?|odt|ods|md|rst|json|ya?ml|toml|ini|log|html?|xml|png|jpe?g|gif|svg|webp|py|js|ts|sh|sql|"
    "zip|gz|tar|ics|eml"
)
_HOST = r"(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,24}"
_FORMS = (
    (Kind.EMAIL, rf"[\w.+%-]+@{_HOST}"),
    (Kind.URL, r"[a-z][a-z0-9+.-]{1,15}://[^\s<>\"'`|\\^{}\[\]]+"),
    (Kind.FILE, rf"[\w./~-]*[\w-]\.(?:{_ENDINGS})\b(?![.\w-]*/)"),
    (Kind.URL, rf"(?:www\.{_HOST}|{_HOST}(?=[/?#:]))(?::\d{{1,5}})?(?:[/?#][^\s<>\"'`|\\^{{}}\[\]]*)?|{_HOST}"),
    (
        Kind.ACCOUNT,
        r"(?-i:[A-Z]{2}\d{2}(?:[A-Z0-9]{10,30}|(?: [A-Z0-9]{4}){2,7}(?: \d{1,4})?))\b|\b(?:\d[ -]?){13,19}\b|\b0x[0-9a-f]{40}\b",
    ),
    (Kind.DATE, r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}"),
    (Kind.TIME, r"\d{1,2}:\d{2}(?::\d{2})?"),
    (Kind.PHONE, r"\+?\(?\d[\d ()/-]{7,18}\d"),
    (Kind.NUMBER, r"\d+(?:[,' ]\d{3})*(?:\.\d+)?|\d+,\d+"),
)
_VALUE = re.compile("|".join(f"(?P<k{i}>(?<![\\w.@-]){form})" for i, (_, form) in enumerate(_FORMS)), re.IGNORECASE)
_HINT = re.compile(r"[\d@]|://|\w\.\w")
_SPACE = re.compile(r"\s+")
_LONGEST = 2048  # characters; a value that is longer is compared as text
_REST = 64  # characters of a value behind its first blank, such as of an account in groups of four


@dataclass(frozen=True)
class Value:
    """`text` in its canonical spelling; `start` is where it was found."""

    kind: Kind
    text: str
    start: int = 0


def values(text: str) -> Iterator[Value]:
    """The values in a text, from left to right; none within another."""
    for match in _matches(text):
        kind = _FORMS[int(str(match.lastgroup)[1:])][0]
        if spelled := spelling(kind, match[0]):
            yield Value(kind, spelled, match.start())


def value_of(text: str) -> Value | None:
    """The one value that a text is, if it is one and nothing else."""
    text = text.strip()
    match = _VALUE.match(text) if len(text) <= _LONGEST else None
    return next(values(text), None) if match and match.end() == len(text) else None


def _matches(text: str) -> Iterator[re.Match[str]]:
    """Looks only at words in which a value can begin: most words are none, and the forms are slow to try."""
    at = 0
    while hint := _HINT.search(text, at):
        start = max(at, text.rfind(" ", 0, hint.start()) + 1, text.rfind("\n", 0, hint.start()) + 1)
        space = _SPACE.search(text, hint.start())
        end = space.start() if space else len(text)
        match = _VALUE.search(text, start, min(len(text), end + _REST))
        if match and match.start() < end:
            yield match
            at = match.end()
        else:
            at = end


def spelling(kind: Kind, text: str) -> str:
    """One spelling for one value; empty where the form deceives."""
    if kind == Kind.URL:
        return address(text)
    if kind in (Kind.EMAIL, Kind.FILE):
        return text.strip(".").casefold() if kind == Kind.EMAIL else text
    if kind in (Kind.ACCOUNT, Kind.PHONE):
        return re.sub(r"[ ()/-]", "", text).upper()
    if kind == Kind.NUMBER:
        number = number_of(text)
        return "" if number is None else f"{number.normalize():f}"
    return text


def address(text: str) -> str:
    """A web address without what makes no difference to where it leads: of `www.site.example/`, `http://www.site.example`."""
    text = text.rstrip(".,;:!?)")
    url = canonical(text if re.match(r"[a-z][a-z0-9+.-]*:(?!\d+(?:[/?#]|$))", text, re.IGNORECASE) else f"http://{text}")
    return re.sub(r"^(https?://[^/?#]+)/$", r"\1", url)


def number_of(value: Any) -> Decimal | None:
    """A number however it is written (`1,200.50`, `1200,5`), None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = re.sub(r"(?<=\d)[,' ](?=\d{3}\b)", "", str(value).strip()).replace(",", ".")
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


class Said:
    """A text, taken apart once, that can be asked what it says."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.folded = _SPACE.sub(" ", text).casefold()
        self.values = tuple(values(text))
        self._known = {(value.kind, value.text) for value in self.values}

    def says(self, value: Any) -> bool:
        """Whether the text says a value: letter for letter but for case and blanks, as a whole, or in another spelling of it."""
        if value is None or isinstance(value, bool):
            return False
        number = number_of(value)
        if number is not None:
            return (Kind.NUMBER, spelling(Kind.NUMBER, str(number))) in self._known or (isinstance(value, str) and self.holds(value))
        if not isinstance(value, str):
            return False
        found = value_of(value)
        if found is not None and found.kind != Kind.FILE:
            return (found.kind, found.text) in self._known
        return self.holds(value)

    def holds(self, text: str) -> bool:
        """Whether these very characters stand in the text, not as part of a longer word."""
        wanted = _SPACE.sub(" ", text.strip()).casefold()
        start = self.folded.find(wanted) if wanted else -1
        while start >= 0:
            end = start + len(wanted)
            if not (_joined(self.folded, start) or _joined(self.folded, end)):
                return True
            start = self.folded.find(wanted, start + 1)
        return False

    def of(self, kind: Kind) -> set[str]:
        """Canonical spellings of the values of a kind."""
        return {value.text for value in self.values if value.kind == kind}


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place belong to one word, number or address."""
    if at <= 0 or at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if (before.isalnum() or before == "_") and (after.isalnum() or after == "_"):
        return True
    # `1.5` and `a@b`, but not the full stop that ends a sentence
    outer = text[at : at + 2] if before.isalnum() else text[at - 2 : at] if at > 1 else ""
    if len(outer) < 2 or not re.fullmatch(r"[.,:@/-]\w|\w[.,:@/-]", outer):
        return False
    return "@" in outer or any(character.isdigit() for character in (before, after, *outer))
