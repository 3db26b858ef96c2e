"""The oracle: answers every role call as a flawless team would, in the line grammar of the compact profile.

What it says is meant to be learnt. So what is copied stands after a space as it does in the prompt: after a quote or at the start of a line the
same word has other tokens, which a small model does not find. And each decision follows from its own view: the browser's from instruction,
history and page; the ledger's from plan and mementos; the memento's from instruction and result. Knowledge of the task itself is used only
where the task is read: for facts and plan, and for what a note says. It needs no memory of its own, so retries, failed pages and pages that are
open already do not confuse it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from agents.roles import CoderView, FactsView, FilesView, FinalView, LedgerView, MementoView, PlanView, View, WebView
from agents.web.screen.base import Element, PageView
from infra.worlds.base import WorldTask
from infra.worlds.tracker import REPORT

_FIND = re.compile(r"find the price of (.+) in (\w+)")
_ORDER = re.compile(r"order (\d+) (.+) in (\w+)")
_FILE = re.compile(r"file a ticket in (\w+): title (.+?)(?:; type (\w+))?; severity (\w+)")
_SAVE = re.compile(r"save the ticket report of (\w+) as (\S+)")
_READ = re.compile(r"read (\S+) for .+")
_WRITE = re.compile(r"write (\S+) to (\S+)")
_COMPUTE = re.compile(r"compute (.+)")
_COMPARE = re.compile(r"compare (.+) with limit (\S+)")
_SUM = re.compile(r"sum (\S+) of rows with (.+) in (\S+)")
_KEEP = re.compile(r"write rows with (.+) of (\S+), columns (.+), to (\S+)")
_NEXT = re.compile(r"(.+) Next: (?:step (\d+)( again)?|(done))\.")
_CART_ROW = re.compile(r"(.+) \| (\d+) \| \d+\.\d\d \| \d+\.\d\d")
_PRICE = re.compile(r"Price: (\d+\.\d\d)")


class Lost(Exception):
    """The oracle was asked something that no flawless team would ask. A bug in the oracle or in the harness, never a run's outcome."""


class Oracle:
    """Knows one task. `decide` gives the text that the model should have written."""

    def __init__(self, task: WorldTask) -> None:
        self.task = task

    def decide(self, role: str, view: View) -> str:
        """The completion for `role` (facts | plan | ledger | web | files | coder | memento | final). Raises Lost."""
        return _ROLES[role](self, view)

    def _facts(self, view: FactsView) -> str:  # noqa: ARG002 - the task is read from the task itself
        facts = self.task.goal.facts()
        lines = {"given": facts.given, "look up": facts.look_up, "derive": facts.derive, "guess": facts.guess}
        return "\n".join(f"{name}: {'; '.join(values) or 'none'}" for name, values in lines.items())

    def _plan(self, view: PlanView) -> str:  # noqa: ARG002
        return "\n".join(f"{number} {line}" for number, line in enumerate(self.task.goal.plan(), 1))

    def _ledger(self, view: LedgerView) -> str:
        number, again = 1, False
        if view.mementos:
            match = _NEXT.fullmatch(view.mementos[-1])
            if match is None:
                raise Lost(f"no next step in the memento {view.mementos[-1]!r}")
            if match[4]:
                return "done"
            number, again = int(match[2]), bool(match[3])
        step = next((s for s in view.ledger.plan if s.number == number), None)
        if step is None:
            raise Lost(f"the plan has no step {number}")
        word = "retry" if again else "step"
        try:
            return f"{word} {number} {step.agent}: {_fill(step.instruction, view)}"
        except (KeyError, StopIteration) as missing:
            raise Lost(f"no memento gives what `{step.instruction}` waits for") from missing

    def _web(self, view: WebView) -> str:
        for pattern, act in _WEB:
            match = pattern.fullmatch(view.instruction)
            if match:
                return _open_site(view, _site(match)) or act(view, _page(view), match)
        raise Lost(f"no such browser instruction: {view.instruction}")

    def _files(self, view: FilesView) -> str:
        if match := _WRITE.fullmatch(view.instruction):
            line = f"write {match[2]}: {match[1]}"
            return f"answer: {match[2]} holds {match[1]}" if view.history else line
        if match := _READ.fullmatch(view.instruction):
            if view.content is not None:
                return f"answer: {self.task.goal.note()}"
            return f"answer: {match[1]} cannot be read" if view.history else f"read {match[1]}"
        raise Lost(f"no such file instruction: {view.instruction}")

    def _coder(self, view: CoderView) -> str:
        for pattern, program in _PROGRAMS:
            match = pattern.fullmatch(view.instruction)
            if match:
                return program(match)
        raise Lost(f"no such program: {view.instruction}")

    def _memento(self, view: MementoView) -> str:
        number = view.plan_step or 1
        failure = _failure(view)
        if failure:
            return f"{failure} Next: step {number} again."
        text = _done(view)
        last = number >= view.steps or text.startswith("The order is over budget")
        return f"{text} Next: {'done' if last else f'step {number + 1}'}."

    def _final(self, view: FinalView) -> str:
        if not view.mementos:
            raise Lost("a final answer without mementos")
        match = _NEXT.fullmatch(view.mementos[-1])
        text = match[1] if match else view.mementos[-1]
        if holds := re.fullmatch(r"The file (\S+) holds (\d+\.\d\d)\.", text):
            return f"The total is {holds[2]} and stands in {holds[1]}."
        if over := re.fullmatch(r"The order is over budget, total (\S+)\.", text):
            return f"Nothing was ordered: over budget, total {over[1]}."
        return text


_ROLES: dict[str, Callable[[Oracle, Any], str]] = {
    "facts": Oracle._facts,
    "plan": Oracle._plan,
    "ledger": Oracle._ledger,
    "web": Oracle._web,
    "files": Oracle._files,
    "coder": Oracle._coder,
    "memento": Oracle._memento,
    "final": Oracle._final,
}

# The ledger: plan lines with what is known by now put in


def _fill(line: str, view: LedgerView) -> str:
    """The plan's line with prices, totals and the note's values from the mementos in the places that wait for them."""
    texts = [match[1] for match in map(_NEXT.fullmatch, view.mementos) if match]
    prices = {m[1]: m[2] for m in (re.fullmatch(r"The price of (.+) is (\d+\.\d\d)\.", t) for t in texts) if m}
    note = _note(texts)
    if line == "compute price + price":
        wanted = [m[1] for m in (_FIND.fullmatch(s.instruction) for s in view.ledger.plan) if m]
        return f"compute {' + '.join(prices[item] for item in wanted)}"
    if line == "compare count * price with limit":
        return f"compare {note['count']} * {prices[note['item']]} with limit {note['limit']}"
    if line.startswith(("compute ", "compare ")):
        return line.replace("price", next(iter(prices.values())))
    if line.startswith("write the total to "):
        total = next(m[1] for m in (re.fullmatch(r"The total is (\S+)\.", t) for t in reversed(texts)) if m)
        return line.replace("the total", total)
    if line == "find the price of the item in shop":
        return f"find the price of {note['item']} in shop"
    if line == "order the items in shop if within budget":
        return f"order {note['count']} {note['item']} in shop"
    if line.startswith("file a ticket in tracker as in "):
        return "file a ticket in tracker: " + "; ".join(f"{name} {value}" for name, value in note.items())
    return line.removesuffix(" if within budget")


def _note(texts: Sequence[str]) -> dict[str, str]:
    """The values of the newest note: `The note a.txt says item Copper Kettle; count 3.` as {item: Copper Kettle, count: 3}."""
    said = next((m[1] for m in (re.fullmatch(r"The note \S+ says (.+)\.", t) for t in reversed(texts)) if m), "")
    return dict(part.split(" ", 1) for part in said.split("; ")) if said else {}  # type: ignore[arg-type]


# The browser


def _site(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group in ("shop", "tracker"))


def _page(view: WebView) -> PageView:
    if view.page is None:
        raise Lost("no page is open")
    return view.page


def _open_site(view: WebView, site: str) -> str | None:
    """Open the site first; a page that failed is told once something was tried, and opened anew in the next block.

    After an order was placed it is opened anew at once: the next block would not know of the order and place it again.
    """
    page = view.page
    if page is None:
        return f"visit {site}"
    if page.status >= 500 or page.status == 0:
        if not view.history or _did(view, "Place order"):
            return f"visit {site}"
        return f"answer: error {page.status}" if page.status else "answer: the page did not load"
    known = _named(page, "box", "Search") if site == "shop" else _named(page, "link", "New Ticket")
    return None if known else f"visit {site}"


def _did(view: WebView, words: str) -> int:
    """How far into the last six steps, those a prompt shows, the latest with these words lies; 0 for none."""
    return max((place for place, step in enumerate(view.history[-6:], 1) if words in step), default=0)


def _named(page: PageView, kind: str, name: str) -> Element | None:
    return next((e for e in page.elements if e.kind == kind and e.name == name), None)


def _click(page: PageView, kind: str, name: str) -> str:
    element = _named(page, kind, name)
    if element is None:
        raise Lost(f"the page {page.title!r} has no {kind} {name}")
    return f"click {element.label}"


def _look_for(page: PageView, item: str) -> str:
    """A step towards the product's page: its link if it is on the page, else the search."""
    if _named(page, "link", item):
        return _click(page, "link", item)
    if page.title == f"Results for {item}":
        return f"answer: {item} is not in the shop"
    box = _named(page, "box", "Search")
    assert box is not None, "the shop's pages have a search box"
    return _click(page, "button", "Search") if box.value == item else f"type {box.label}: {item}"


def _find_price(view: WebView, page: PageView, match: re.Match[str]) -> str:  # noqa: ARG001
    price = _PRICE.search("\n".join(page.text))
    if page.title == match[1] and price:
        return f"answer: {price[1]}"
    return _look_for(page, match[1])


def _place_order(view: WebView, page: PageView, match: re.Match[str]) -> str:
    count, item = match[1], match[2]
    placed = re.fullmatch(r"Order (\d+) placed", page.title)
    if placed:
        return f"answer: order {placed[1]} placed"
    if _did(view, "Place order"):  # never order twice: look the order up
        known = next((e.name for e in page.elements if re.fullmatch(r"Order \d+", e.name)), None)
        return f"answer: {known.lower()} placed" if known else _click(page, "link", "Orders")
    if _named(page, "button", "Place order"):
        rows = [(row[1], row[2]) for row in map(_CART_ROW.fullmatch, page.text) if row]
        wrong = next((name for name, number in rows if (name, number) != (item, count)), None)
        return _click(page, "button", f"Remove {wrong}" if wrong else "Place order")
    if _did(view, "Add to cart") > _did(view, "click Cart") and page.title != "Cart":
        return _click(page, "link", "Cart")
    box = _named(page, "box", "Quantity")
    if page.title == item and box:
        return f"type {box.label}: {count}" if box.value != count else _click(page, "button", "Add to cart")
    return _look_for(page, item)


def _file_ticket(view: WebView, page: PageView, match: re.Match[str]) -> str:
    if _did(view, "click Submit"):  # never file twice
        return "answer: ticket filed"
    box = _named(page, "box", "Title")
    if box is None:
        return _click(page, "link", "New Ticket")
    if box.value != match[2]:
        return f"type {box.label}: {match[2]}"
    for name, value in (("Type", match[3]), ("Severity", match[4])):
        choice = _named(page, "select", name)
        if value and choice and choice.value != value:
            return f"{choice.label}: {value}"
    return _click(page, "button", "Submit")


def _save_report(view: WebView, page: PageView, match: re.Match[str]) -> str:
    if _did(view, f"save table {match[2]}"):
        return f"answer: {match[2]} saved"
    if page.title == REPORT:
        return f"save table: {match[2]}"
    return _click(page, "link", REPORT if _named(page, "link", REPORT) else "Tickets")


_WEB = ((_FIND, _find_price), (_ORDER, _place_order), (_FILE, _file_ticket), (_SAVE, _save_report))

# Programs: sums, comparisons and filters belong here and nowhere else


def _compute(match: re.Match[str]) -> str:
    return f'print(f"{{{match[1]}:.2f}}")'


def _compare(match: re.Match[str]) -> str:
    return (
        f'total = round({match[1]}, 2)\nprint("within budget" if total <= {match[2]} else "over budget", f"total {{total:.2f}}", sep=", ")'
    )


def _sum(match: re.Match[str]) -> str:
    return f"""import csv
column, value, file = " {match[1]} | {match[2]} | {match[3]} ".strip().split(" | ")
rows = csv.DictReader(open(file))
print(f"{{sum(float(r[column]) for r in rows if value in r.values()):.2f}}")"""


def _keep(match: re.Match[str]) -> str:
    return f"""import csv
value, table, columns, file = " {match[1]} | {match[2]} | {match[3]} | {match[4]} ".strip().split(" | ")
rows = [r for r in csv.DictReader(open(table)) if value in r.values()]
with open(file, "w", newline="") as f:
    w = csv.DictWriter(f, columns.split(", "), extrasaction="ignore")
    w.writeheader()
    w.writerows(rows)
print(len(rows), "rows")"""


_PROGRAMS = ((_COMPUTE, _compute), (_COMPARE, _compare), (_SUM, _sum), (_KEEP, _keep))

# Mementos


def _failure(view: MementoView) -> str:
    """What went wrong, in one sentence; empty when nothing did."""
    error = re.fullmatch(r"error (\d+)|(the page did not load)", view.result)
    if error:
        site = re.search(r" (?:in|of) (shop|tracker)\b", view.instruction)
        return f"The {site[1] if site else 'site'} {f'failed with error {error[1]}' if error[1] else 'did not load'}."
    if view.failed:
        return {"coder": "The program failed.", "web": "The site could not be used."}.get(view.agent, "The step failed.")
    return ""


def _done(view: MementoView) -> str:
    text, result = view.instruction, view.result.strip()
    if match := _FIND.fullmatch(text):
        found = re.fullmatch(r"\d+\.\d\d", result)
        return f"The price of {match[1]} is {result}." if found else f"The price was not found: {result}."
    if match := _ORDER.fullmatch(text):
        return f"{result.removesuffix(' placed').capitalize()} for {match[1]} {match[2]} is placed."
    if match := _FILE.fullmatch(text):
        return f"The ticket with title {match[2]} is filed."
    if match := _SAVE.fullmatch(text):
        return f"The table {match[2]} is saved."
    if match := _READ.fullmatch(text):
        return f"The note {match[1]} says {result}."
    if _COMPARE.fullmatch(text):
        return f"The order is {result}."
    if match := _KEEP.fullmatch(text):
        return f"The file {match[4]} holds {result}."
    if match := _WRITE.fullmatch(text):
        return f"The file {match[2]} holds {match[1]}."
    if _COMPUTE.fullmatch(text) or _SUM.fullmatch(text):
        return f"The total is {result}."
    raise Lost(f"no such instruction: {text}")
