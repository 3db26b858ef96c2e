"""The compact profile: what a 135M model can decide. One decision per call, one constrained line, at most about 600 prompt tokens.

Lines instead of JSON, the name of an element repeated before its id, and the instruction repeated at the end of the web prompt are what made
narrow tasks learnable on SmolLM2-135M.
"""

import re
from typing import Any

from agents.ledger import describe
from agents.model import Constraint
from agents.profiles.base import Malformed, Prompt, content_lines, one_line, templates
from agents.roles import (
    CoderView,
    FactsView,
    FilesChoice,
    FilesView,
    FinalView,
    LedgerView,
    MementoView,
    PlanView,
    View,
    WebChoice,
    WebView,
)
from agents.state import PlanStep, ProgressLedger, TaskLedger
from agents.web.screen.excerpt import lines

_MAX_TOKENS = {"facts": 120, "plan": 160, "ledger": 80, "web": 80, "files": 120, "coder": 300, "memento": 110, "final": 80}
_TEXT = r"[^\n]+"  # unbounded on purpose: counted repetition makes grammars slow to compile, and max_tokens bounds the line anyway
_FILE = r"[A-Za-z0-9][A-Za-z0-9_. -]*"
_FACTS = ("given", "look up", "derive", "guess")
_STEP = re.compile(r"(\d+) (\w+): (.+)")
_PROGRESS = re.compile(r"(step|retry) (\d+) (\w+): (.+)")
_USE = re.compile(r"(click|type|select) (?:(link|button|box|select|check|radio) )?(.+) \[(\d+)\](?:: (.+))?")


class CompactProfile:
    """See agents.profiles.base.Profile."""

    name = "compact"

    def prompt(self, role: str, view: View) -> Prompt:
        text = templates("compact").get_template(f"{role}.txt").render(view=view, **_extra(view)).strip()
        return Prompt([{"role": "user", "content": text}], Constraint(regex=constraint(view)), _MAX_TOKENS[role])

    def parse(self, role: str, text: str, view: View) -> Any:  # noqa: ARG002 - the view's type says the role
        text = text.strip()
        if not text:
            raise Malformed("The answer is empty. Write the line.")
        if isinstance(view, FactsView):
            return parse_facts(text)
        if isinstance(view, PlanView):
            return parse_plan(text)
        if isinstance(view, LedgerView):
            return parse_progress(text)
        if isinstance(view, WebView):
            return parse_web(text, view)
        if isinstance(view, FilesView):
            return parse_files(text)
        if isinstance(view, CoderView):
            return parse_code(text)
        return one_line(text, 400)


def parse_facts(text: str) -> TaskLedger:
    """Four lines `given: a; b`, `look up: …`, `derive: …`, `guess: …`; `none` means empty."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name.strip() in _FACTS:
            items = [item.strip() for item in rest.split(";")]
            found[name.strip()] = [item for item in items if item and item != "none"]
    if "given" not in found:
        raise Malformed("Write four lines: `given: …`, `look up: …`, `derive: …`, `guess: …`.")
    return TaskLedger(
        given=found["given"], look_up=found.get("look up", []), derive=found.get("derive", []), guesses=found.get("guess", [])
    )


def parse_plan(text: str) -> list[PlanStep]:
    """Lines `1 web: find …`."""
    steps = [_STEP.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    good = [PlanStep(number=int(m[1]), agent=m[2], instruction=m[3].strip()) for m in steps if m]
    if not good or len(good) < len(steps):
        raise Malformed("Write one line a step, such as `1 web: find the price of … in shop`.")
    return good


def parse_progress(text: str) -> ProgressLedger:
    """`done`, or `step 2 coder: …`, or `retry 2 coder: …` (the last try made no progress)."""
    if text == "done":
        return ProgressLedger(satisfied=True, in_loop=False, progress=True)
    match = _PROGRESS.fullmatch(text)
    if not match:
        raise Malformed("Write `step 2 coder: …`, `retry 2 coder: …` or `done`.")
    return ProgressLedger(
        satisfied=False,
        in_loop=False,
        progress=match[1] == "step",
        next_speaker=match[3],
        instruction=match[4].strip(),
        plan_step=int(match[2]),
    )


def parse_web(text: str, view: WebView) -> WebChoice:
    """One browser line; the element must be on the page, and its name must be the one beside the id."""
    if text in {"scroll", "back", "read"}:
        return WebChoice(text)
    verb, colon, rest = text.partition(": ")
    if colon and verb in {"answer", "save table"}:
        return WebChoice("answer" if verb == "answer" else "save_table", text=rest.strip())
    if text.startswith("visit "):
        return WebChoice("visit", text=text[6:].strip())
    match = _USE.fullmatch(text)
    if not match:
        raise Malformed("Write one action, such as `click link Home [1]`, `type box Search [2]: …` or `answer: …`.")
    element = view.page.element(int(match[4])) if view.page else None
    if element is None:
        raise Malformed(f"There is no element [{match[4]}] on the page.")
    if element.name != match[3]:
        raise Malformed(f"Element [{match[4]}] is `{element.label}`, not `{match[3]}`.")
    if match[1] != "click" and not match[5]:
        raise Malformed(f"`{match[1]}` needs a text after the id: `{text}: …`.")
    return WebChoice(match[1], element=element.id, text=(match[5] or "").strip())


def parse_files(text: str) -> FilesChoice:
    """`read note.txt`, `write total.txt: 53.90`, `list`, `answer: …`."""
    if text == "list":
        return FilesChoice("list")
    head, colon, rest = text.partition(": ")
    if colon and head == "answer":
        return FilesChoice("answer", text=rest.strip())
    if colon and head.startswith("write "):
        return FilesChoice("write", path=head[6:].strip(), text=rest)
    if text.startswith("read "):
        return FilesChoice("read", path=text[5:].strip())
    raise Malformed("Write `read FILE`, `write FILE: text`, `list` or `answer: …`.")


def parse_code(text: str) -> str:
    """The program, with or without a fence around it."""
    fenced = re.search(r"```(?:python)?\n(.*?)```", text, re.DOTALL)
    return (fenced[1] if fenced else text).strip("\n") + "\n"


def constraint(view: View) -> str | None:
    """The regular expression that the server holds the answer to; None for programs."""
    if isinstance(view, FactsView):
        return r"\n".join(f"{name}: {_TEXT}" for name in _FACTS)
    if isinstance(view, PlanView):
        step = f"({'|'.join(view.members)}): {_TEXT}"
        return rf"1 {step}(\n[2-9] {step}){{0,7}}"
    if isinstance(view, LedgerView):
        steps = "|".join(f"{s.number} {s.agent}" for s in view.ledger.plan)
        return f"(done|(step|retry) ({steps}): {_TEXT})" if steps else f"(done|(step|retry) [1-9] ({'|'.join(view.members)}): {_TEXT})"
    if isinstance(view, WebView):
        return _web_constraint(view)
    if isinstance(view, FilesView):
        read = f"read ({'|'.join(map(re.escape, view.files))})|" if view.files else ""
        return f"({read}write {_FILE}: {_TEXT}|answer: {_TEXT})"
    if isinstance(view, MementoView):
        return r"[^\n]+ Next: (step [1-9]( again)?|done)\."
    if isinstance(view, FinalView):
        return _TEXT
    return None


def _web_constraint(view: WebView) -> str:
    """What can be done on this very page: only elements that are there, each with its own name."""
    ways = [f"visit ({'|'.join(map(re.escape, view.sites))})"] if view.sites else []
    elements = [e for e in (view.page.elements if view.page else []) if not e.disabled]
    clickable = [_escape(e.label) for e in elements if e.kind in {"link", "button", "check", "radio"}]
    boxes = [_escape(e.label) for e in elements if e.kind == "box"]
    if clickable:
        ways.append(f"click ({'|'.join(clickable)})")
    if boxes:
        ways.append(f"type ({'|'.join(boxes)}): {_TEXT}")
    for element in elements:
        if element.kind == "select" and element.options:
            ways.append(f"{_escape(element.label)}: ({'|'.join(map(_escape, element.options))})")
    if view.page:
        ways += [rf"save table: {_FILE}", "scroll", "back", f"answer: {_TEXT}"]
    return f"({'|'.join(ways)})"


def _escape(text: str) -> str:
    return re.escape(text).replace(r"\ ", " ").replace(r"\-", "-")


def _extra(view: View) -> dict[str, Any]:
    """What a template needs beside the view itself."""
    if isinstance(view, LedgerView | PlanView):
        return {"ledger": describe(view.ledger)}
    if isinstance(view, WebView):
        return {"page": lines(view.page) if view.page else []}
    if isinstance(view, FilesView):
        return {"content": content_lines(view)}
    return {}
