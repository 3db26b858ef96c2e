"""Reads a page from its HTML alone, by lxml: the fast path for training data and bench, byte-equal to what DomParser reads from a browser
on pages whose visibility is given by markup (the hidden attribute, inline display:none, tags nobody sees). Runs no scripts, loads no frames.
"""

from collections.abc import Iterator

import lxml.html
from lxml.etree import ParserError  # ty: ignore[import-not-found] - a compiled module

from agents.web.screen.address import absolute
from agents.web.screen.base import PageView
from agents.web.screen.raw import (
    BLOCK,
    CLOSES,
    CONTROLS,
    NODES,
    OPENS,
    PART,
    PRE,
    REGION,
    ROLES,
    SENDING,
    SKIP,
    TEXT,
    VOID,
    Control,
    Record,
)
from agents.web.screen.reading import Reading, build

Element = lxml.html.HtmlElement
_FORM_TAGS = frozenset(("input", "button", "select", "textarea"))


def read_html(html: str, url: str, status: int = 200) -> PageView:
    """What a person would see of `html`, loaded from `url`. Never raises on bad markup: an empty page is an empty view."""
    return read_tree(parse(html), url, status)[0].view


def parse(html: str) -> Element:
    """The document's tree; broken markup is mended the way libxml2 mends it."""
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
    data = html.encode("utf-8", "replace").replace(b"\0", b"")
    try:
        root = lxml.html.document_fromstring(data, parser=parser) if data.strip() else None
    except ParserError:  # nothing but comments
        root = None
    return root if root is not None else lxml.html.document_fromstring(b"<html><body></body></html>")


def read_tree(root: Element, url: str, status: int = 200) -> tuple[Reading, list[Element]]:
    """A parsed page as a Reading, and the tree's elements that its `handles` index."""
    walk = _Walk(root, url)
    walk.run()
    return build(walk.records, url=url, status=status, cut=walk.cut or walk.left < 0), walk.elements


class _Walk:
    """One pass over a tree. The stack holds records to write, texts, and elements with whether newlines count inside them."""

    def __init__(self, root: Element, url: str) -> None:
        self.root, self.url = root, url
        self.records: list[Record] = []
        self.elements: list[Element] = []
        self.forms: dict[Element, int] = {}
        self.left = NODES
        self.cut = False

    def run(self) -> None:
        title = self.root.find(".//title")
        base = next((b.get("href") for b in self.root.iter("base") if b.get("href") is not None), None)
        place = absolute(self.url, base) if base is not None else self.url
        self.records.append(["doc", self.url, place or self.url, _content(title) if title is not None else ""])
        body = self.root.find("body")
        stack: list[Record | tuple[Element | str, str]] = [["/doc"]]
        if body is not None:
            stack.append((body, ""))
        # Without a body tag libxml2 leaves newer tags, such as nav, in the head; what belongs there is skipped anyway.
        head = self.root.find("head")
        stack += [(child, "") for child in reversed(head if head is not None else [])]
        while stack:
            item = stack.pop()
            if isinstance(item, list):
                self.records.append(item)
                continue
            self.left -= 1
            if self.left < 0:
                continue
            node, pre = item
            if isinstance(node, str):
                self.records.append(["text", node[:TEXT], pre])
            elif isinstance(node.tag, str):
                self._element(node, pre, stack)

    def _element(self, el: Element, pre: str, stack: list) -> None:
        tag = el.tag
        if tag in SKIP or hidden(el):
            return
        put = self.records.append
        if tag in BLOCK:
            put(["block"])
            stack.append(["block"])
        if tag in OPENS:
            put(["block"])
        if tag in CLOSES:
            put(["text", " ", ""])
            stack.append(["block"])
        for name, fields in _frames(el, tag):
            put([name, *fields])
            stack.append([f"/{name}"])
        # As the browser's walk does: a form is counted by the first control that is kept.
        control = _control(el, tag, self.forms if len(self.elements) < CONTROLS else {})
        if control is not None and len(self.elements) >= CONTROLS:
            self.cut = True
        elif control is not None:
            put(["control", *control])
            self.elements.append(el)
            if tag not in VOID:
                stack.append(["/control"])
        if tag in ("svg", "img"):
            words = el.get("alt", "") if tag == "img" else el.get("aria-label") or _content(el.find("title"))
            put(["text", words[:TEXT], ""] if words.strip() else ["media"])
        elif tag not in VOID and tag != "iframe":
            below = "1" if tag in PRE else pre
            for child in reversed(_children(el, tag)):
                stack.append((child, below))


def hidden(el: Element) -> bool:
    """Whether markup alone hides this element and all below it."""
    if el.get("hidden") is not None or (el.tag == "dialog" and el.get("open") is None):
        return True
    style = el.get("style")
    if not style:
        return False
    rules = {name.strip().lower(): value.strip().lower().removesuffix("!important").strip() for name, value in _declarations(style)}
    invisible = rules.get("opacity") in ("0", "0.0") and el.get("type") not in ("checkbox", "radio")
    return rules.get("display") == "none" or rules.get("visibility") in ("hidden", "collapse") or invisible


def form_of(el: Element) -> Element | None:
    """The form that owns a control: named by its `form` attribute, or around it."""
    owner = el.get("form") if el.tag in _FORM_TAGS else None
    if owner is not None:
        return next((f for f in el.getroottree().getroot().iter("form") if f.get("id") == owner), None)
    return next(el.iterancestors("form"), None)


def input_type(el: Element) -> str:
    """Type of an input or button as a browser takes it: lower case, default filled in."""
    kind = (el.get("type") or "").strip().lower()
    if el.tag == "button":
        return kind if kind in ("button", "reset") else "submit"
    return kind or "text" if el.tag == "input" else ""


def disabled(el: Element) -> bool:
    """Disabled itself or by a fieldset around it."""
    if el.tag in _FORM_TAGS and el.get("disabled") is not None:
        return True
    for fieldset in el.iterancestors("fieldset") if el.tag in _FORM_TAGS else ():
        legend = fieldset.find("legend")
        if fieldset.get("disabled") is not None and (legend is None or all(a is not legend for a in el.iterancestors())):
            return True
    return False


def option_states(select: Element) -> list[tuple[int, Element, bool, bool]]:
    """(index, option, selected, offered) of a select, with a browser's default where the markup selects none."""
    options = list(select.iter("option"))
    multiple = select.get("multiple") is not None
    off = [o.get("disabled") is not None or any(g.get("disabled") is not None for g in o.iterancestors("optgroup")) for o in options]
    marked = [i for i, o in enumerate(options) if o.get("selected") is not None]
    if multiple:
        chosen = set(marked)
    elif marked:
        chosen = {marked[-1]}
    else:
        chosen = {next((i for i, o in enumerate(off) if not o), -1)} if int(select.get("size") or 0) < 2 else set()
    return [(i, o, i in chosen, not off[i] and o.get("hidden") is None) for i, o in enumerate(options)]


def option_text(option: Element) -> str:
    """The words of an option: its label attribute, or its text with spaces collapsed."""
    return option.get("label") or " ".join(_content(option).split())


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            yield name, value


def _frames(el: Element, tag: str) -> Iterator[tuple[str, list[str]]]:
    if tag in REGION:
        yield "region", []
    elif tag == "table":
        yield "table", []
    elif tag == "tr":
        yield "row", []
    elif tag in ("td", "th"):
        yield "cell", ["1" if tag == "th" else "", el.get("colspan", ""), el.get("rowspan", "")]
    elif tag == "label":
        yield "label", [el.get("for", "")]


def _children(el: Element, tag: str) -> list[Element | str]:
    if tag == "details" and el.get("open") is None:
        summary = el.find("summary")
        return [] if summary is None else [summary]
    found: list[Element | str] = [el.text] if el.text else []
    for child in el:
        found.append(child)
        if child.tail:
            found.append(child.tail)
    return found


def _content(el: Element | None) -> str:
    return "" if el is None else "".join(el.itertext())


def _flag(value: object) -> str:
    return "1" if value else ""


def _spoken(el: Element) -> str:
    ids = el.get("aria-labelledby", "").split()
    if not ids:
        return el.get("aria-label", "")
    root = el.getroottree().getroot()
    found = (next((e for e in root.iter() if e.get("id") == name), None) for name in ids)
    return " ".join(_content(e) for e in found)


def _options(el: Element) -> str:
    found = [f"{i}{'*' if chosen else ':'}{option_text(o)}" for i, o, chosen, offered in option_states(el) if offered or chosen]
    return PART.join(found[:1000])


def _control(el: Element, tag: str, forms: dict[Element, int]) -> Control | None:
    get = el.get
    role = (get("role") or "").strip().lower().split()[:1]
    role = role[0] if role else ""
    edit = get("contenteditable")
    editable = edit is not None and edit.lower() in ("", "true", "plaintext-only")
    clicks = get("onclick") is not None
    link = tag == "a" and get("href") is not None
    parent = el.getparent()
    native = tag == "button" or tag in VOID or (tag == "summary" and parent is not None and parent.tag == "details")
    if not (link or native or editable or clicks or role in ROLES):
        return None
    kind = input_type(el)
    if kind in ("hidden", "file"):
        return None
    form = form_of(el)
    submits = kind in ("submit", "image")
    method = action = number = ""
    if form is not None:
        number = str(forms.setdefault(form, len(forms) + 1))
        method = ((submits and get("formmethod")) or form.get("method") or "").strip().lower()
        method = method if method in ("post", "dialog") else "get"
        action = (submits and get("formaction")) or form.get("action") or ""
    choice = kind in ("checkbox", "radio")
    box = tag == "textarea" or (tag == "input" and not choice and not submits and kind not in ("button", "reset"))
    return Control(
        tag=tag,
        type=kind,
        role=role,
        id=get("id", ""),
        name=get("name", ""),
        label=_spoken(el),
        placeholder=get("placeholder", ""),
        title=get("title", ""),
        alt=get("alt", ""),
        value=(_content(el) if tag == "textarea" else get("value", ""))[:TEXT],
        href=get("href", "") if link else "",
        checked=_flag(get("checked") is not None if choice else get("aria-checked") == "true"),
        disabled=_flag(disabled(el) or get("aria-disabled") == "true" or (box and get("readonly") is not None)),
        editable=_flag(editable),
        script=_flag(any(get(name) is not None for name in SENDING)),
        sends=_flag("submit" in get("onchange", "")),
        form=method,
        action=action,
        number=number,
        options=_options(el) if tag == "select" else "",
    )
