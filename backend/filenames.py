"""Names for files that came from outside: harmless inside a workspace, and never two the same."""

import re
import unicodedata

from app.errors import InvalidInput

LONGEST = 120
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def clean_name(name: str) -> str:
    """The last part of a path, without control characters, bidirectional marks, leading dots or more than 120 characters. Raises InvalidInput
    when nothing is left."""
    last = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode()).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    cleaned = _FORBIDDEN.sub("_", last).strip().lstrip(".").strip()
    if not cleaned.strip("_"):
        raise InvalidInput("A file needs a name.", hint="Send the upload with a file name such as notes.txt.")
    stem, dot, suffix = cleaned.rpartition(".")
    if dot and len(suffix) <= 16:
        return f"{stem[: LONGEST - len(suffix) - 1]}.{suffix}"
    return cleaned[:LONGEST]


def distinct_names(names: list[str]) -> list[str]:
    """The same names in the same order, later ones numbered where they collide (also in letter case): a.csv, a-2.csv."""
    taken: set[str] = set()
    result = []
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        stem, ending = (stem, dot + suffix) if dot else (name, "")
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}-{number}{ending}"
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
