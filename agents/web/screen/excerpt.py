"""What of a page goes into a prompt: the lines and elements that matter for an instruction, small enough for a 135M model."""

import re

from agents.web.screen.base import Element, PageView
from agents.web.screen.words import shorten

TOKENS = 350  # estimated tokens of an excerpt, all its lines together
_LINE = 120
_VALUE = 60
_OPTIONS = 8
_ECHO = -1000  # score of a line that only says what an element says already: never shown
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_STOP = frozenset(
    _WORD.findall(
        "a an and are as at be by can do does find for from get give go has have how i if in into is it its me my not of on one or our out page "
        "say see shop show site so tell than that the their them then there this to up us use visit was we web what when where which will with "
        "you your"
    )
)
# What a page says about itself in few words: an amount, a state, `Label: value`.
_FACT = re.compile(r"\d[.,]\d\d\b|[€$£¥]|\b\d+ ?%|^[^\W\d_][\w /-]{0,28}: \S")
_STATE = re.compile(
    r"\b(?:error|fail\w*|not found|no \w+ (?:found|yet)|empty|invalid|missing|denied|unavailable|success\w*|thank|placed|saved|created|added|"
    r"removed|closed|in stock|out of stock|sold out|status|total)\b",
    re.IGNORECASE,
)
_KINDS = {"box": 6, "select": 6, "button": 5, "check": 5, "radio": 5, "link": 0}


def excerpt(view: PageView, instruction: str, max_text: int = 14, max_elements: int = 24, max_tokens: int = TOKENS) -> PageView:
    """The most relevant lines and elements of `view` in document order, ids unchanged, `max_tokens` estimated tokens at most.

    Deterministic; `view` stays as it is.
    """
    wanted = stems(instruction) - _STOP
    lines = [_window(line, wanted) for line in view.text]
    elements = [_shown(e, wanted) for e in view.elements]
    scores = _line_scores(view, wanted)
    texts = [place for place in _ranked(scores) if scores[place] > _ECHO][:max_text]
    things = _ranked(_element_scores(view, wanted))[:max_elements]
    room = max_tokens - sum(estimate(line) for line in _head(view))
    kept_lines, kept_elements = set(), set()
    # The best line, the best element, the next of each: neither kind crowds the other out.
    for rank in range(max(len(texts), len(things))):
        if rank < len(texts) and (cost := estimate(lines[texts[rank]])) <= room:
            kept_lines.add(texts[rank])
            room -= cost
        if rank < len(things) and (cost := estimate(element_line(elements[things[rank]]))) <= room:
            kept_elements.add(things[rank])
            room -= cost
    return view.model_copy(
        update={
            "text": [line for i, line in enumerate(lines) if i in kept_lines],
            "elements": [e for i, e in enumerate(elements) if i in kept_elements],
            "table": [],
            "truncated": view.truncated or len(kept_lines) < len(lines) or len(kept_elements) < len(elements),
        }
    )


def lines(view: PageView) -> list[str]:
    """A view as prompt lines: the page's title, its problem if any, its text, its elements."""
    return [*_head(view), *view.text, *(element_line(e) for e in view.elements)]


def element_line(element: Element) -> str:
    """`box Search [2] = kettle`, `select Severity [9] = Minor (Critical, Severe)`: value and other options only where there are some."""
    line = element.label
    if element.value:
        line += f" = {shorten(element.value, _VALUE)}"
    others = [option for option in element.options if option != element.value]
    if others:
        line += f" ({', '.join(others)})"
    return line + (" (disabled)" if element.disabled else "")


def stems(text: str) -> set[str]:
    """Words of a text, lower case, with plural and verb endings off."""
    return {_stem(word) for word in _WORD.findall(text.casefold())}


def estimate(line: str) -> int:
    """Tokens of a prompt line, estimated on the high side for SmolLM2's tokenizer (digits count one each), newline included."""
    return 1 + sum(1 if len(word) == 1 else -(-len(word) // 5) for word in re.findall(r"[^\W\d_]+|\d|[^\w\s]|_", line))


def _head(view: PageView) -> list[str]:
    head = [f"Page: {shorten(view.title or view.url, _LINE)}"]
    return [*head, f"Problem: {shorten(view.problem, _LINE)}"] if view.problem else head


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending in ("ing", "ed"):
        if len(word) >= len(ending) + 3 and word.endswith(ending):
            return word[: -len(ending)]
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _ranked(scores: list[int]) -> list[int]:
    """Places by falling score, equal ones in document order."""
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


def _line_scores(view: PageView, wanted: set[str]) -> list[int]:
    names = {e.name for e in view.elements}
    echoes = [line in names for line in view.text]
    title = stems(view.title)
    scores = []
    for place, line in enumerate(view.text):
        found = stems(line)
        score = 10 * len(found & wanted)
        fact = bool(_FACT.search(line) or _STATE.search(line))
        score += 4 * fact + 3 * _heading(line, found, title)
        if place and not echoes[place] and fact:
            score += 5 * len(stems(view.text[place - 1]) & wanted)  # the price below the name
        following = view.text[place + 1] if place + 1 < len(view.text) else ""
        if echoes[place] and (following in names or not _FACT.search(following)):
            score = _ECHO
        scores.append(score)
    _raise_headers(view.text, scores)
    return scores


def _heading(line: str, found: set[str], title: set[str]) -> bool:
    short = len(line) <= 60 and line[:1].isupper() and line[-1:] not in ".:;,?!" and " | " not in line
    return short and (len(line.split()) <= 6 or (bool(found) and found <= title))


def _raise_headers(text: list[str], scores: list[int]) -> None:
    """The first row of a table goes where its best row goes: a row means little without it."""
    start = None
    for place, line in enumerate([*text, ""]):
        if " | " in line:
            start = place if start is None else start
        elif start is not None:
            scores[start] = max(scores[start:place])
            start = None


def _element_scores(view: PageView, wanted: set[str]) -> list[int]:
    main = _main_form(view)
    scores = []
    for element in view.elements:
        found = stems(element.name)
        common = len(found & wanted)
        score = 10 * common + _KINDS[element.kind]
        score += 8 if common and found <= wanted | _STOP else 0
        score += 6 * any(stems(option) & wanted for option in element.options)
        score += 4 if main and (element.form_method, element.form_action) == main else 0
        scores.append(score - 8 * element.disabled)
    return scores


def _main_form(view: PageView) -> tuple[str, str] | None:
    """The form with the most to fill in; the first of equals."""
    fields: dict[tuple[str, str], int] = {}
    for element in view.elements:
        if element.form_action and element.kind not in ("link", "button"):
            form = (element.form_method, element.form_action)
            fields[form] = fields.get(form, 0) + 1
    return max(fields, key=lambda form: fields[form]) if fields else None


def _shown(element: Element, wanted: set[str]) -> Element:
    """The element with its options cut to those that matter, the chosen one and their neighbours."""
    if len(element.options) <= _OPTIONS:
        return element
    common = [len(stems(option) & wanted) for option in element.options]
    matches = [i for i, found in enumerate(common) if found and found == max(common)]
    chosen = [i for i, option in enumerate(element.options) if option == element.value]
    centres = matches or chosen or [0]
    by_distance = sorted(
        range(len(element.options)), key=lambda i: (i not in chosen and i not in matches, min(abs(i - c) for c in centres), i)
    )
    kept = sorted(by_distance[:_OPTIONS])
    return element.model_copy(update={"options": [element.options[i] for i in kept]})


def _window(line: str, wanted: set[str]) -> str:
    """A long line cut to where it speaks of what is wanted."""
    if len(line) <= _LINE:
        return line
    match = next((m for m in _WORD.finditer(line) if _stem(m[0].casefold()) in wanted), None)
    start = match.start() - 40 if match and match.start() > _LINE - 20 else 0
    return ("…" if start else "") + shorten(line[start:], _LINE - bool(start))
