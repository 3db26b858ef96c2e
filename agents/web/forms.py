"""What a browser does with a form (HTML Living Standard, form submission), on a parsed tree: which fields are sent, and when it refuses."""

import re
from dataclasses import dataclass

import lxml.html

from agents.web.screen.address import absolute, canonical, query_of
from agents.web.screen.static import disabled, form_of, input_type, option_states, option_text

Element = lxml.html.HtmlElement
_FIELDS = ("input", "button", "select", "textarea")
_SUBMITS = ("submit", "image")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True)
class Submission:
    """One request that sends a form. `fields` are in the body of a POST, and in the address already for a GET."""

    method: str
    url: str
    fields: list[tuple[str, str]]
    multipart: bool = False


def submission(form: Element, submitter: Element | None, url: str, base: str) -> Submission | None:
    """What sending `form` by `submitter` requests from the page at `url`; None for a dialog's form, which goes nowhere."""
    method = (_own(submitter, "formmethod") or form.get("method") or "").strip().lower()
    if method == "dialog":
        return None
    action = _own(submitter, "formaction") or form.get("action") or ""
    target = (absolute(base, action) if action.strip() else canonical(url)).partition("#")[0]
    fields = successful(form, submitter)
    if method != "post":
        return Submission("GET", f"{target.partition('?')[0]}?{query_of(fields)}", fields)
    encoding = (_own(submitter, "formenctype") or form.get("enctype") or "").strip().lower()
    return Submission("POST", target, fields, encoding == "multipart/form-data")


def successful(form: Element, submitter: Element | None) -> list[tuple[str, str]]:
    """Names and values that are sent, in tree order."""
    found: list[tuple[str, str]] = []
    for el in elements(form):
        name, kind = el.get("name") or "", input_type(el)
        if disabled(el) or (kind in (*_SUBMITS, "button", "reset") and el is not submitter) or kind == "file":
            continue
        if kind == "image":
            found += [(f"{name}.{axis}" if name else axis, "0") for axis in "xy"]
        elif not name or (kind in ("checkbox", "radio") and el.get("checked") is None):
            continue
        elif el.tag == "select":
            found += [(name, option_value(o)) for _, o, chosen, offered in option_states(el) if chosen and offered]
        else:
            found.append((name, value(el)))
    return found


def elements(form: Element) -> list[Element]:
    """The controls a form owns, in tree order."""
    return [el for el in form.getroottree().getroot().iter(*_FIELDS) if form_of(el) is form]


def default_submitter(form: Element) -> Element | None:
    """The button that Enter presses."""
    return next((el for el in elements(form) if input_type(el) in _SUBMITS and el.tag in ("input", "button")), None)


def sends_on_enter(form: Element) -> bool:
    """Without a submit button, Enter sends only a form with a single text field."""
    others = ("hidden", "checkbox", "radio", "button", "reset", "file")
    return len([el for el in elements(form) if el.tag == "input" and input_type(el) not in others]) == 1


def refused(form: Element, submitter: Element | None) -> bool:
    """Whether a browser keeps the form because a field is missing or wrong."""
    if form.get("novalidate") is not None or (submitter is not None and submitter.get("formnovalidate") is not None):
        return False
    return any(not _valid(el, form) for el in elements(form) if not disabled(el) and el.get("readonly") is None)


def value(el: Element) -> str:
    """What stands in a field."""
    if el.tag == "textarea":
        text = el.text or ""
        return text.removeprefix("\n")
    if input_type(el) in ("checkbox", "radio"):
        return el.get("value", "on")
    return el.get("value", "Submit" if input_type(el) == "submit" and el.tag == "input" and el.get("value") is None else "")


def option_value(option: Element) -> str:
    held = option.get("value")
    return option_text(option) if held is None else held


def _own(submitter: Element | None, name: str) -> str:
    return (submitter.get(name) or "") if submitter is not None else ""


def _valid(el: Element, form: Element) -> bool:
    kind = input_type(el)
    if el.tag == "button" or kind in ("hidden", "submit", "image", "button", "reset"):
        return True
    required = el.get("required") is not None
    if kind == "checkbox":
        return not required or el.get("checked") is not None
    if kind == "radio":
        group = [e for e in elements(form) if input_type(e) == "radio" and e.get("name") == el.get("name")]
        return not any(e.get("required") is not None for e in group) or any(e.get("checked") is not None for e in group)
    if el.tag == "select":
        return not required or any(chosen and option_value(o) for _, o, chosen, _ in option_states(el))
    text = value(el)
    if not text:
        return not required
    if kind == "number":
        return _number_valid(el, text)
    if kind == "email" and not _EMAIL.fullmatch(text):
        return False
    pattern = el.get("pattern")
    try:
        return el.tag == "textarea" or not pattern or re.fullmatch(pattern, text) is not None
    except re.error:  # a broken pattern does not hold anything back
        return True


def _number_valid(el: Element, text: str) -> bool:
    try:
        number = float(text)
        low, high = (float(el.get(name) or default) for name, default in (("min", "-inf"), ("max", "inf")))
        step = float(el.get("step") or 1) if el.get("step") != "any" else 0.0
    except ValueError:
        return True
    start = low if low > float("-inf") else 0.0
    return low <= number <= high and (step <= 0 or abs((number - start) / step - round((number - start) / step)) < 1e-9)
