"""Text of a page as a model may read it: one line, white space collapsed, nothing invisible."""

import re

SOFT = "\0"  # a border inside a line: becomes a space where two words would run together
# Control characters but white space, soft hyphens, zero-width and direction marks, noncharacters.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufff8\ufffe\uffff]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BETWEEN = re.compile(r"(?<=\w)\0+(?=\w)")


def clean(text: str) -> str:
    """`text` on one line. What looks like a model's control token stays text; the model client neutralises it."""
    if not (text.isascii() and text.isprintable()):
        text = _INVISIBLE.sub("", _SURROGATE.sub("\ufffd", text))
    return " ".join(text.split())


def join(parts: list[str]) -> str:
    """Runs of text and SOFT borders as one cleaned line."""
    text = "".join(parts)
    return clean(_BETWEEN.sub(" ", text) if SOFT in text else text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, ending in `…` when something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
