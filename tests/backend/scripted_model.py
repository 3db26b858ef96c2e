"""A scripted model behind a real endpoint: it orders in the example shop, by rules over the very prompts that the embedded model gets."""

import re
from typing import Any

from tests.agents.endpoint import completion

_ORDER = re.compile(r"[Oo]rder (\d+) (.+) in shop")


def answer(body: dict[str, Any]) -> dict[str, Any]:
    prompt = body["messages"][0]["content"]
    role, _, rest = prompt.partition("\n")
    return completion(_ROLES[role](rest))


def _facts(prompt: str) -> str:
    return f"given: {_wish(prompt)}\nlook up: none\nderive: none\nguess: none"


def _plan(prompt: str) -> str:
    return f"1 web: {_wish(prompt)}"


def _ledger(prompt: str) -> str:
    return "done" if "Next: done." in prompt else f"step 1 web: {_wish(prompt)}"


def _memento(prompt: str) -> str:
    return "The order is placed. Next: done." if "Result: order placed" in prompt else "It did not work. Next: step 1 again."


def _web(prompt: str) -> str:
    match = _ORDER.search(prompt)
    assert match, prompt
    count, item = match.groups()
    page = re.search(r"^Page: (.+)$", prompt, re.MULTILINE)
    title = page[1] if page else ""
    done = re.search(r"^Done: (.+)$", prompt, re.MULTILINE)
    steps = done[1].split("; ") if done else []
    if not re.search(r"^box Search", prompt, re.MULTILINE):
        return "visit shop"
    if title.endswith(" placed") or "click Place order" in steps:
        return "answer: order placed"
    if _element(prompt, "button Place order"):
        return f"click {_element(prompt, 'button Place order')}"
    if "click Add to cart" in steps and title != "Cart":
        return f"click {_element(prompt, 'link Cart')}"
    if title == item:
        box = _element(prompt, "box Quantity")
        return f"click {_element(prompt, 'button Add to cart')}" if f"{box} = {count}" in prompt else f"type {box}: {count}"
    if link := _element(prompt, f"link {item}"):
        return f"click {link}"
    box = _element(prompt, "box Search")
    return f"click {_element(prompt, 'button Search')}" if f"{box} = {item}" in prompt else f"type {box}: {item}"


def _element(prompt: str, label: str) -> str:
    found = re.search(rf"^{re.escape(label)} \[\d+\]", prompt, re.MULTILINE)
    return found[0] if found else ""


def _wish(prompt: str) -> str:
    match = _ORDER.search(prompt)
    assert match, prompt
    return f"order {match[1]} {match[2]} in shop"


_ROLES = {"FACTS": _facts, "PLAN": _plan, "LEDGER": _ledger, "MEMENTO": _memento, "WEB": _web, "FINAL": lambda _: "It is ordered."}
