"""What a control of a page is, and what it is called: from the fields of its record to an Element."""

from agents.web.screen.address import absolute, canonical
from agents.web.screen.base import Element, ElementKind
from agents.web.screen.raw import PART, VOID, Control
from agents.web.screen.table import Cell
from agents.web.screen.words import clean, join, shorten

NAME = 80  # characters of an element's name
_HREF = 4000  # characters of an address; a longer link is not followed
_OPTIONS = 200  # options of a select that are kept
PASSWORD = "********"  # stands for what was typed into a password box
_BUTTONS = {"submit": "Submit", "button": "", "reset": "Reset", "image": "Submit"}
_ROLES: dict[str, ElementKind] = {
    "textbox": "box",
    "searchbox": "box",
    "checkbox": "check",
    "switch": "check",
    "menuitemcheckbox": "check",
    "radio": "radio",
    "menuitemradio": "radio",
}


class Label:
    """A <label>: its text names a control, and is no line of its own then."""

    def __init__(self, target: str, scope: int) -> None:
        self.target, self.scope = target, scope
        self.parts: list[str] = []
        self.taken = False  # the first control inside it has claimed it
        self.kept = False  # it names an element


class Widget:
    """A control on its way to become an element. `place` is (URL, base URL) of its document, `number` counts the walk's controls."""

    def __init__(self, raw: Control, number: int, place: tuple[str, str], scope: int) -> None:
        self.raw, self.number, self.place, self.scope = raw, number, place, scope
        self.parts: list[str] = []
        self.labels: list[Label] = []
        self.pictured = False  # holds a picture without words
        self.holds = False  # holds another control
        self.kept = False  # it became an element
        self.indexes: list[int] = []
        self.row: list[Cell] | None = None  # the row of a table that it stands in
        self.line = 0  # number of the line that it stands in, or, alone, of the last one before it

    @property
    def loose(self) -> bool:
        """Only an onclick attribute makes it a control: a card, a row of a table."""
        raw = self.raw
        return not (raw.tag in VOID or raw.tag in ("a", "button", "summary") or raw.role or raw.editable)

    @property
    def swallows(self) -> bool:
        """Its text is its name or value, and no line of the page."""
        return self.raw.tag != "a" and not self.loose

    def element(self) -> Element | None:
        """The element, its id still 0; None when it is nothing a person could use or see."""
        raw = self.raw
        href = absolute(self.place[1], raw.href) if raw.tag == "a" else ""
        kind = self._kind(href)
        content = join(self.parts)
        if kind is None or len(href) > _HREF or (raw.tag == "a" and not (content or self.pictured or clean(raw.label))):
            return None
        if self.loose and (self.holds or not 0 < len(content) <= NAME):
            return None
        name = self._name(kind, content, href)
        value, options = self._value(kind, content)
        action = (absolute(self.place[1], raw.action) if raw.action.strip() else canonical(self.place[0])) if raw.form else ""
        if raw.form == "get":
            action = action.partition("?")[0]
        sends = (kind == "button" and raw.type in ("submit", "image")) or (bool(raw.sends) and kind in ("select", "check", "radio"))
        inside = raw.form in ("get", "post")
        return Element(
            id=0,
            kind=kind,
            name=name,
            value=value,
            options=options,
            href=href if kind == "link" else "",
            form_method=raw.form if inside else "",
            form_action=action.partition("#")[0] if inside else "",
            form=int(raw.number) if inside else 0,
            submits=bool(inside and sends),
            disabled=bool(raw.disabled),
        )

    def _kind(self, href: str) -> ElementKind | None:
        raw = self.raw
        if raw.tag == "a":
            if href.startswith(("http:", "https:")) and raw.href.strip() != "#":
                return "button" if raw.script else "link"
            # A link to nowhere is a script's button; other schemes (mailto:, data:) lead out of the browser.
            return "button" if raw.href.strip() == "#" or href.lower().startswith("javascript:") else None
        if raw.tag == "input":
            choice: dict[str, ElementKind] = {"checkbox": "check", "radio": "radio"}
            return "button" if raw.type in _BUTTONS else choice.get(raw.type, "box")
        if raw.tag == "select":
            return "select"
        if raw.tag == "textarea" or raw.editable:
            return "box"
        return _ROLES.get(raw.role, "button")

    def _name(self, kind: ElementKind, content: str, href: str) -> str:
        """The first that is set of label, aria-label, what it shows, placeholder, title, alt, value, name attribute, last part of the link."""
        raw = self.raw
        label = " ".join(join(one.parts).rstrip(" :*") for one in self.labels).strip()
        for one in self.labels:
            one.kept = one.kept or bool(label)
        shown = content if raw.tag not in VOID and not raw.editable else ""
        value = raw.value if kind in ("check", "radio") else (raw.value or _BUTTONS.get(raw.type, "")) if raw.tag == "input" else ""
        value = "" if kind == "box" else value
        tail = href.partition("?")[0].rstrip("/").rpartition("/")[2] if href else ""
        for candidate in (label, raw.label, shown, raw.placeholder, raw.title, raw.alt, value, raw.name, tail):
            name = clean(candidate)
            if name:
                return shorten(name, NAME)
        return kind

    def _value(self, kind: ElementKind, content: str) -> tuple[str, list[str]]:
        raw = self.raw
        if kind in ("check", "radio"):
            return ("on" if raw.checked else ""), []
        if kind == "box":
            value = clean(content if raw.editable else raw.value)
            return (PASSWORD if value and raw.type == "password" else value), []
        if kind != "select":
            return "", []
        chosen, options = [], []
        for part in raw.options.split(PART) if raw.options else []:
            cut = min(i for i in (part.find("*"), part.find(":")) if i > 0)
            text = shorten(clean(part[cut + 1 :]), NAME)
            if part[cut] == "*" and text:
                chosen.append(text)
            if text and len(options) < _OPTIONS:
                options.append(text)
                self.indexes.append(int(part[:cut]))
        return ", ".join(chosen), options
