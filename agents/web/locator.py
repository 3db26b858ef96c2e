"""How an element is found again on a page that is read anew: by what a person sees of it, checked against where it leads."""

from typing import Any

from pydantic import BaseModel

from agents.web.screen.base import Element, ElementKind, PageView
from app.errors import ElementMissing


class Locator(BaseModel):
    """The `nth` (from 0) element of this kind and name, with the address or form it had when it was chosen."""

    kind: ElementKind
    name: str
    nth: int = 0
    href: str = ""
    form_method: str = ""
    form_action: str = ""
    submits: bool = False

    @classmethod
    def of(cls, view: PageView, element: Element) -> "Locator":
        """The locator of `element` in `view`."""
        return cls(nth=[e.id for e in _alike(view, element.kind, element.name)].index(element.id), **_fixed(element))

    def find(self, view: PageView) -> Element:
        """The element in a later view. Raises ElementMissing when it is gone or now leads elsewhere: nothing else is used in its place."""
        alike = _alike(view, self.kind, self.name)
        if self.nth >= len(alike):
            raise ElementMissing(f"`{self.kind} {self.name}` is no longer on the page.", hint="Read the page again.")
        found = alike[self.nth]
        if _fixed(found) != self.model_dump(exclude={"nth"}):
            raise ElementMissing(f"`{self.kind} {self.name}` now leads elsewhere.", hint="Read the page again.")
        if found.disabled:
            raise ElementMissing(f"`{self.kind} {self.name}` is disabled.", hint="Read the page again.")
        return found


def _alike(view: PageView, kind: str, name: str) -> list[Element]:
    return [e for e in view.elements if e.kind == kind and e.name == name]


def _fixed(element: Element) -> dict[str, Any]:
    return element.model_dump(include={"kind", "name", "href", "form_method", "form_action", "submits"})
