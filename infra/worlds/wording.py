"""Task texts in ordinary human English: a prefix, a core with slots, a suffix. Held-out splits use cores, prefixes and suffixes of their own.

The cores are plain text files beside this module, one core a line, one file a family and variant.
"""

import functools
import random
import re
from importlib.resources import files

from infra.worlds.base import Split
from infra.worlds.words import portion

_CHOICE = re.compile(r"\[([^\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")


@functools.cache
def lines(name: str, split: Split) -> tuple[str, ...]:
    """The split's lines of a wording file; `\\n` in a line is a line break."""
    text = (files("infra.worlds") / "wordings" / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(portion([line.replace("\\n", "\n") for line in text.splitlines() if line and not line.startswith("# ")], split))


def compose(variant: str, split: Split, rng: random.Random, **slots: str) -> str:
    """One text for `variant` with all its slots filled."""
    core = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), rng.choice(lines(variant, split)))
    prefix = rng.choice(lines("prefixes", split)) if rng.random() < 0.6 else ""
    suffix = rng.choice(lines("suffixes", split)) if rng.random() < 0.3 else ""
    if not prefix:
        core = core[0].upper() + core[1:]  # a slot stays as it is: file names are not capitalised
    filled = _SLOT.sub(lambda match: slots[match[1]], core)
    return " ".join(part for part in (prefix, filled, suffix) if part)
