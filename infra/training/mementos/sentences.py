"""Sentence candidates of a trace (MEMENTO, data pipeline S2), as character offsets.

Places to cut are chosen and text is never rewritten, so the spans of `candidates` always re-join to the very text. Code and mathematics are
atomic. Every scan is linear in the text, whatever it holds.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

Span = tuple[int, int]  # [start, end) in characters

FRAGMENT_TOKENS = 5  # MEMENTO S2: what is shorter goes to a neighbour
LINE_WORDS = 30  # MEMENTO S2: consecutive code, list and formula lines up to this many words stay together
JOINED_CHARS = 1_500  # a chain of derivations or list items ends here: a list of hundreds must stay divisible
INLINE_CHARS = 500  # the longest inline formula or bracket that is taken for one

_OPENER = re.compile(
    r"(?P<fence>^[ \t]*(?:`{3}|~{3}))|(?P<display>\$\$)|(?P<square>(?<!\\)\\\[)|(?P<round>(?<!\\)\\\()|\\begin\{(?P<environment>\w+\*?)\}"
    # Pandoc's rule tells a formula from sums of money: no space inside the dollars, no digit after them.
    rf"|(?P<whole>(?<![\\$])\$(?![\s$])(?:[^$\n]|\n(?!\s?\n)){{0,{INLINE_CHARS}}}(?<![\s\\])\$(?!\d)|`[^`\n]{{1,{INLINE_CHARS}}}`)",
    re.MULTILINE,
)
_CLOSERS = {"display": "$$", "square": "\\]", "round": "\\)"}
_FENCE_END = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\r?$", re.MULTILINE)
_BRACKET = re.compile(r"[()\[\]{}]|\n[ \t]*\r?\n")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_GAP = re.compile(r"\s+|[。！？]+[」』”’）]*\s*")
_STOP = re.compile(r"[.!?…]+[\"'”’)\]*_]*$")
_NO_STOP = re.compile(
    r"(?:^|[^\w.])(?:e\.g|i\.e|a\.k\.a|vs|cf|et al|approx|resp|[Ff]igs?|[Ee]qs?|[Ss]ecs?|[Cc]h|[Nn]os?|[Vv]ol|pp?|Thm|Lem|Def|Prop|Cor|Ex"
    r"|Dr|Mr|Mrs|Ms|Prof|St|Jr|[A-Z])\.$"
    r"|(?:^|[\r\n])[ \t]*(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})\.$"  # a list marker
)
_LIST = re.compile(r"[ \t]*(?:[-*•+]|\(?(?:\d{1,3}|[A-Za-z])[.)])\s")
_CODE = re.compile(
    r"[ \t]*(?:(?:def|class|for|while|if|elif|else|return|import|from|print|let|const|var|function|int|do|end)\b.*[:;(){}=]"
    r"|[\w.\[\]]+\s*[-+*/|&]?=(?!=)|[{}]|//|#include)|.*[;{}]\s*$"
)
_FORMULA = re.compile(r"[=<>≤≥≈≡⇒→]")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_OPEN_END = re.compile(r"[:=,+<≤≥≈⇒→(]\s*$")
_LEADING = re.compile(r"\s*[,.;:!?)\]}=≤≥≈⇒→]")
_DERIVED = re.compile(r"\s*(?:therefore|thus|hence|so|then|consequently|which (?:means|gives|implies))\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A place to cut before the character `at`. `blank`: a blank line stands before it."""

    at: int
    blank: bool


def candidates(text: str) -> list[Span]:
    """Spans that cover `text` in order, without gap or overlap, none empty. None at all for an empty text."""
    if not text:
        return []
    atoms = list(_atoms(text))
    cuts = [_Cut(0, True), *_outside(_cuts(text), _union([*atoms, *_brackets(text, atoms)]))]
    return _spans(_without_fragments(text, _joined(text, cuts)), len(text))


def _spans(cuts: list[_Cut], end: int) -> list[Span]:
    starts = [cut.at for cut in cuts]
    return list(zip(starts, [*starts[1:], end], strict=True))


def _atoms(text: str) -> Iterator[Span]:
    """Fenced code, display and inline formulas, LaTeX environments, inline code. What is opened and never closed is ordinary text."""
    fences: dict[str, list[Span]] = {"`": [], "~": []}
    for line in _FENCE_END.finditer(text):
        fences[line[0].strip()[0]].append(line.span())
    known: dict[str, int] = {}
    at = 0
    while match := _OPENER.search(text, at):
        start, at = match.span()
        kind = str(match.lastgroup)
        if kind == "whole":
            yield start, at
            continue
        if kind == "fence":
            ends = fences[match[0].strip()[0]]
            after = bisect_left(ends, (_line_end(text, at), 0))
            end = ends[after][1] if after < len(ends) else 0
        else:
            closer = _CLOSERS.get(kind) or f"\\end{{{match[kind]}}}"
            if closer not in known or 0 <= known[closer] < at:  # else the earlier find still is the next one, or there is none left
                known[closer] = text.find(closer, at)
            end = known[closer] + len(closer) if known[closer] >= 0 else 0
            if kind == "round" and end - start > INLINE_CHARS:
                end = 0
        if end:
            yield start, end
            at = end


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _brackets(text: str, atoms: list[Span]) -> Iterator[Span]:
    """Brackets that close within their paragraph. Those inside atoms do not count."""
    opened: list[tuple[str, int]] = []
    inside = iter([*atoms, (len(text), len(text))])
    atom = next(inside)
    for match in _BRACKET.finditer(text):
        while atom[1] <= match.start():
            atom = next(inside)
        if atom[0] <= match.start():
            continue
        mark = match[0]
        if mark in "([{":
            opened.append((mark, match.start()))
        elif mark not in _PAIRS:
            opened.clear()
        elif opened and opened[-1][0] == _PAIRS[mark]:
            _, start = opened.pop()
            if match.end() - start <= INLINE_CHARS:
                yield start, match.end()


def _union(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap made one, in order."""
    union: list[Span] = []
    for start, end in sorted(spans):
        if union and start < union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return union


def _outside(cuts: Iterable[_Cut], spans: list[Span]) -> Iterator[_Cut]:
    """Cuts that fall into none of the spans; at either end of one is outside."""
    inside = iter([*spans, (1 << 62, 1 << 62)])
    start, end = next(inside)
    for cut in cuts:
        while end <= cut.at:
            start, end = next(inside)
        if cut.at <= start:
            yield cut


def _cuts(text: str) -> Iterator[_Cut]:
    """Ends of sentences and of lines. White space goes with what stands before it, but for the indentation of a line."""
    for gap in _GAP.finditer(text):
        start, end = gap.span()
        lines = max(gap[0].count("\n"), gap[0].count("\r"))
        at = max(text.rfind("\n", start, end), text.rfind("\r", start, end)) + 1 if lines else end
        if not 0 < at < len(text) or end == len(text):
            continue
        before = text[max(0, start - 40) : start]
        lower = text[end].islower()
        stop = not gap[0][0].isspace() or (_STOP.search(before) and not _NO_STOP.search(before) and not lower)
        wrapped = lower and len(before) == 40 and "\n" not in before and (before[-1].isalnum() or before[-1] == ",")
        if stop or lines > 1 or (lines and not wrapped):
            yield _Cut(at, lines > 1)


def _joined(text: str, cuts: list[_Cut]) -> list[_Cut]:
    """Without cuts that would part what belongs together."""
    kept = cuts[:1]
    for (start, end), cut, after in zip(_spans(cuts, len(text)), cuts[1:], [*(c.at for c in cuts[2:]), len(text)], strict=False):
        chained = after - kept[-1].at <= JOINED_CHARS and not cut.blank and _chains(text, (start, end), (cut.at, after))
        if not (chained or _OPEN_END.search(text[max(start, end - 80) : end]) or _LEADING.match(text[end : end + 80])):
            kept.append(cut)
    return kept


def _chains(text: str, left: Span, right: Span) -> bool:
    """Whether two neighbours within a paragraph are steps of one derivation, or short lines of one list, formula or program."""
    one, other = text[slice(*left)], text[slice(*right)]
    if _DERIVED.match(other):
        return True
    if not one.endswith(("\n", "\r")) or max(_tokens(text, left, LINE_WORDS + 1), _tokens(text, right, LINE_WORDS + 1)) > LINE_WORDS:
        return False
    return any(pattern.match(one) and pattern.match(other) for pattern in (_LIST, _CODE)) or (_is_formula(one) and _is_formula(other))


def _is_formula(line: str) -> bool:
    return bool(_FORMULA.search(line)) and len(_LONG_WORD.findall(line)) <= 3


def _tokens(text: str, span: Span, most: int) -> int:
    """Words and marks in a span, counted up to `most`."""
    return sum(1 for _ in islice(_TOKEN.finditer(text, *span), most))


def _without_fragments(text: str, cuts: list[_Cut]) -> list[_Cut]:
    """A fragment goes to what follows it, or to what it ends: the side on which no blank line stands."""
    kept: list[_Cut] = []
    carried = False  # the last kept piece is a fragment that waits for what follows
    for (start, end), cut, after in zip(_spans(cuts, len(text)), cuts, [*cuts[1:], _Cut(len(text), True)], strict=True):
        if carried:
            carried = _tokens(text, (kept[-1].at, end), FRAGMENT_TOKENS) < FRAGMENT_TOKENS
            continue
        short = _tokens(text, (start, end), FRAGMENT_TOKENS) < FRAGMENT_TOKENS
        if short and kept and after.blank and (not cut.blank or after.at == len(text)):
            continue
        kept.append(cut)
        carried = short
    if carried and len(kept) > 1:
        kept.pop()
    return kept
