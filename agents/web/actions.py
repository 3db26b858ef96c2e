"""From a browser decision to the canonical action that the gate judges, and back from the action to what is done.

What an action *is* follows from the element, not from the decision's words: a link leads to its address, a submit sends its form. Whether an
address may be opened is the gate's matter; here it is only brought into its one canonical form.
"""

import csv
import io
import re
import secrets
from typing import Any

from pydantic import BaseModel

from agents.roles import WebChoice
from agents.safety.forms import doing_of, only_reads, words_in
from agents.safety.lexicon import lexicon
from agents.safety.tools import SEVERITY
from agents.safety.values import values
from agents.web.locator import Locator
from agents.web.screen.address import canonical
from agents.web.screen.base import Element, PageView
from agents.web.screen.words import clean, shorten
from app.errors import InvalidInput
from app.schemas import Action, Effect, Site

AGENT = "web"
_URL = 2000
_OFFERED = 40  # options of a choice that are told
_TEXT = 20_000  # characters typed at once
_ROWS = 40  # of an order that are shown and judged
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
VERBS = ("visit", "click", "type", "select", "save_table", "download", "scroll", "back", "read", "answer")
_USES = {
    "click": ("link", "button", "check", "radio"),
    "type": ("box",),
    "select": ("select",),
}


class Deed(BaseModel):
    """What `perform` needs of an action: verb, the element found by what was seen of it, and the page it was seen on."""

    verb: str
    page_url: str = ""
    locator: Locator | None = None
    text: str = ""
    enter: bool = False
    url: str = ""

    @classmethod
    def of(cls, action: Action) -> "Deed":
        """Read an action back. Raises InvalidInput for one that is none of ours."""
        verb = action.kind.removeprefix("web.")
        arguments: dict[str, Any] = dict(action.arguments)
        if action.agent != AGENT or verb == action.kind:
            raise InvalidInput(f"`{action.kind}` is no action of the browser.", hint="Send it to its own member.")
        if verb in ("visit", "save_table"):
            arguments["text"] = action.target
        elif verb == "download":
            arguments["url"] = action.target
        return cls.model_validate({"verb": verb, **{k: v for k, v in arguments.items() if k in cls.model_fields}})


def to_action(choice: WebChoice, view: PageView | None, sites: list[Site]) -> Action:
    """The canonical action of a choice on `view` (None before the first visit).

    Raises InvalidInput for an unknown site, element, option, file name or verb: such a choice means nothing that could be judged.
    """
    if choice.verb == "visit":
        url = address(choice.text, sites)
        name = next((s.name for s in sites if s.name == choice.text.strip()), url)
        return _action("visit", Effect.READ, url, {}, f"visit {name}")
    if view is None:
        raise InvalidInput(f"No page is open for `{choice.verb}`.", hint="Visit a site first.")
    page = {"page_url": view.url}
    if choice.verb in ("scroll", "back", "read"):
        # A page that never loaded is nowhere: leaving it is no matter of its address.
        return _action(choice.verb, Effect.READ, view.url if view.status else "", page, choice.verb)
    if choice.verb == "save_table":
        return _save_table(choice.text.strip(), view)
    if choice.verb == "download":
        return _download(choice, view)
    if choice.verb not in _USES:
        raise InvalidInput(f"`{choice.verb[:40]}` is nothing a browser does.", hint=f"Use one of: {', '.join(VERBS)}.")
    element = _element(choice, view)
    arguments = {**page, "locator": Locator.of(view, element).model_dump(), "label": element.label}
    if choice.verb == "click":
        effect, target = _click(element, view)
        if effect != Effect.READ or element.submits:
            arguments |= sending(view, element, effect)
        return _action("click", effect, target, arguments, f"click {element.name}")
    if choice.verb == "type":
        if len(choice.text) > _TEXT:
            raise InvalidInput(f"{len(choice.text)} characters are too many to type.", hint=f"At most {_TEXT}.")
        effect, target = _send(element, view, choice.enter)
        arguments |= {"text": choice.text, "enter": choice.enter} | (sending(view, element, effect, choice.text) if choice.enter else {})
        return _action("type", effect, target, arguments, f"type {choice.text}")
    option = _option(choice.text, element)
    effect, target = _send(element, view, element.submits)
    arguments |= {"text": option} | (sending(view, element, effect, option) if element.submits else {})
    return _action("select", effect, target, arguments, f"select {option}")


def sending(view: PageView, element: Element, effect: Effect, text: str | None = None) -> dict[str, Any]:
    """What goes out when `element` is used, with `text` put into it: the form's visible fields (`form`, name: value), those in which one only
    chooses (`choices`, and what they offer: `offered`), the button that Enter presses, what the form stands beside, what an order holds. The gate
    judges it, a person sees it.
    """
    own = [e for e in view.elements if e.form == element.form and e.kind not in ("link", "button")]
    form: dict[str, str] = {}
    choices, offered = [], {}
    for part in own:
        name = next(name for n in range(1, len(own) + 2) if (name := part.name if n == 1 else f"{part.name} {n}") not in form)
        form[name] = text if part is element and text is not None else part.value
        if part.kind != "box":
            choices.append(name)
        if part.options:
            offered[name] = [shorten(option, 60) for option in part.options[:_OFFERED]]
    pressed = _pressed(element, [e for e in view.elements if e.form == element.form])
    alike = [e for e in view.elements if (e.kind, e.name) == (element.kind, element.name)]
    beside = "row" if element.in_row else "near"
    facts = {"form": form, "choices": choices, "offered": offered, "presses": pressed.name if pressed else "", "alike": len(alike)}
    facts |= {"title": view.title, beside: element.near} | (_order(view) if effect == Effect.PAY else {})
    return {name: value for name, value in facts.items() if value}


def as_write(action: Action, view: PageView | None) -> Action:
    """The same action where using its element as reading was not enough: what it does, and all that is told of what changes something."""
    if view is None or "locator" not in action.arguments:
        return action.model_copy(update={"effect": Effect.WRITE})
    element = Locator.model_validate(action.arguments["locator"]).find(view)
    effect = max(Effect.WRITE, doing_of(element.name).effect, key=SEVERITY.__getitem__)
    return action.model_copy(
        update={"effect": effect, "arguments": action.arguments | sending(view, element, effect, action.arguments.get("text"))}
    )


def _order(view: PageView) -> dict[str, list[str]]:
    """The rows of what is paid for, and its total."""
    lines = [line for line in view.text if lexicon().totals & set(words_in(line))]
    return {"rows": [" | ".join(row) for row in view.table[1 : _ROWS + 1]], "totals": [v.text for line in lines for v in values(line)][-1:]}


def address(text: str, sites: list[Site]) -> str:
    """Address of a site's name or of an URL, in canonical form. Raises InvalidInput for anything else."""
    text = text.strip()
    for site in sites:
        if site.name == text:
            return canonical(site.url) or site.url
    if len(text) > _URL or not _SCHEME.match(text) or any(c.isspace() or ord(c) < 32 for c in text):
        names = ", ".join(s.name for s in sites) or "none"
        raise InvalidInput(f"`{shorten(clean(text), 80)}` is neither a site of the task nor an address.", hint=f"Sites: {names}.")
    url = canonical(text)
    if not url:
        raise InvalidInput(f"`{shorten(clean(text), 80)}` is a broken address.", hint="Write it as https://host/path.")
    return url


def as_csv(table: list[list[str]]) -> str:
    """Rows of cells as CSV text (RFC 4180 quoting, newline line ends)."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(table)
    return stream.getvalue()


def _action(verb: str, effect: Effect, target: str, arguments: dict[str, Any], summary: str) -> Action:
    return Action(
        id=f"act_{secrets.token_hex(12)}",
        agent=AGENT,
        kind=f"web.{verb}",
        effect=effect,
        target=target,
        arguments=arguments,
        summary=shorten(clean(summary), 120),
    )


def _element(choice: WebChoice, view: PageView) -> Element:
    element = view.element(choice.element) if choice.element is not None else None
    if element is None:
        raise InvalidInput(f"There is no element [{choice.element}] on the page.", hint="Use a number that the page shows.")
    if element.kind not in _USES[choice.verb]:
        raise InvalidInput(f"One cannot {choice.verb} `{element.label}`.", hint=f"{choice.verb} is for: {', '.join(_USES[choice.verb])}.")
    if element.disabled:
        raise InvalidInput(f"`{element.label}` is disabled.", hint="Use another element.")
    return element


def _click(element: Element, view: PageView) -> tuple[Effect, str]:
    """Effect and target of a click: a link leads, a tick waits for its form, a button may do anything that its label says.

    A button that sends no form and promises to change nothing is first pressed as reading: what it would send is withheld, and asked for.
    """
    if element.kind == "link":
        return Effect.READ, element.href
    if element.kind != "button" or element.submits:
        return _send(element, view, element.submits)
    if only_reads(element.name) and element.form_method != "post":
        return Effect.READ, view.url
    return doing_of(element.name).effect, view.url


def _send(element: Element, view: PageView, sends: bool) -> tuple[Effect, str]:
    """Effect and target of filling something in: local until it is sent; what is sent without a GET form may change anything."""
    if not sends:
        return Effect.READ, view.url
    if not element.form_action:
        return Effect.WRITE, view.url
    target = f"{element.form_method.upper()} {element.form_action}"
    if element.form_method == "get":
        return Effect.READ, target
    form = [e for e in view.elements if e.form == element.form]
    pressed = _pressed(element, form) or element
    fields = {e.name: e.value for e in form if e.kind not in ("link", "button")}
    return max(Effect.WRITE, doing_of(pressed.name, target, fields).effect, key=SEVERITY.__getitem__), target


def _pressed(element: Element, form: list[Element]) -> Element | None:
    """The button that Enter in a box presses; anything else sends the form by itself."""
    if element.kind != "box":
        return element
    return next((e for e in form if e.submits and e.kind == "button"), None)


def _option(text: str, element: Element) -> str:
    """The option meant: exactly, or the only one that is equal or begins so when case is ignored."""
    if text in element.options:
        return text
    wanted = clean(text).casefold()
    for test in (str.__eq__, str.startswith):
        found = [o for o in element.options if test(o.casefold(), wanted)] if wanted else []
        if len(found) == 1:
            return found[0]
    raise InvalidInput(f"`{element.label}` has no option `{shorten(wanted, 60)}`.", hint=f"Options: {', '.join(element.options[:12])}.")


def _save_table(path: str, view: PageView) -> Action:
    _check_name(path)
    if not view.table:
        raise InvalidInput("There is no table on this page.", hint="Open the page that shows it.")
    arguments = {"page_url": view.url, "rows": len(view.table)}
    return _action("save_table", Effect.WRITE, path, arguments, f"save table {path}")


def _download(choice: WebChoice, view: PageView) -> Action:
    """The file that a link leads to, or, without an element, the page's own address: where a refused download has left the browser."""
    path = choice.text.strip()
    _check_name(path)
    url = view.url
    if choice.element is not None:
        element = view.element(choice.element)
        if element is None or element.kind != "link":
            raise InvalidInput(f"[{choice.element}] is no link on the page.", hint="Use the number of a link.")
        url = element.href
    return _action("download", Effect.WRITE, url, {"page_url": view.url, "text": path}, f"download {url} as {path}")


def _check_name(path: str) -> None:
    if not path or len(path) > 200 or any(ord(c) < 32 for c in path):
        raise InvalidInput("What is saved needs a file name.", hint="Such as tickets.csv.")
