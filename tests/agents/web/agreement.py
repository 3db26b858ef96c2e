"""Whether two surfaces show the same: used on small pages here, and on the worlds' pages by whoever owns them."""

import difflib
from collections.abc import Sequence

from agents.web.screen.base import Element, ElementKind, PageView
from agents.web.surface import Surface

Step = tuple[str, ...]


def assert_equal_views(one: PageView, other: PageView) -> None:
    """Fail with a diff unless both views are byte-equal as JSON."""
    left, right = one.model_dump_json(indent=1), other.model_dump_json(indent=1)
    if left != right:
        lines = difflib.unified_diff(left.splitlines(), right.splitlines(), "one", "other", lineterm="", n=4)
        raise AssertionError("The views differ:\n" + "\n".join(lines))


async def assert_agreement(one: Surface, other: Surface, steps: Sequence[Step]) -> list[PageView]:
    """Take the same steps on two open surfaces; after each, views and notes must be equal. Returns the views.

    A step is `("visit", url)`, `("back",)`, or a verb with an element's kind and name (and nth, text after it): `("click", "link", "Cart")`,
    `("type", "box", "Search", "kettle")`, `("select", "select", "Severity", "Minor")`. Each surface acts for itself, so a POST happens twice.
    """
    views = []
    for step in steps:
        await take(one, step)
        await take(other, step)
        views.append(await one.read())
        assert_equal_views(views[-1], await other.read())
        assert one.notes() == other.notes(), f"different notes after {step}"
    return views


async def take(surface: Surface, step: Step) -> None:
    """One step on one surface, as if a person had permitted whatever it does."""
    verb, *rest = step
    if verb == "visit":
        await surface.visit(rest[0])
    elif verb == "back":
        await surface.back()
    elif verb == "scroll":
        await surface.scroll()
    else:
        number = named(await surface.read(), rest[0], rest[1]).id  # type: ignore[arg-type]
        if verb == "click":
            await surface.click(number, write=True)
        elif verb == "type":
            await surface.type(number, rest[2], write=True)
        elif verb == "enter":
            await surface.type(number, rest[2], enter=True, write=True)
        elif verb == "select":
            await surface.select(number, rest[2], write=True)
        else:
            raise AssertionError(f"no such step: {verb}")


def named(view: PageView, kind: ElementKind, name: str) -> Element:
    """The first element of this kind and name."""
    found = next((e for e in view.elements if (e.kind, e.name) == (kind, name)), None)
    assert found is not None, f"no {kind} {name} among {[e.label for e in view.elements]}"
    return found
