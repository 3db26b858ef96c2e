"""The oracle solves every family through the real orchestrator, members and sandbox, in lines that the model's grammar allows."""

import re
import shutil
from dataclasses import replace

import pytest

from agents.roles import FinalView, LedgerView, MementoView, WebView
from agents.state import PlanStep, TaskLedger
from agents.web.screen.base import Element, PageView
from infra.worlds.base import FAMILIES
from infra.worlds.families import make_task, tasks
from infra.worlds.instance import WorldInstance
from infra.worlds.oracle import Lost, Oracle
from tests.infra.worlds.rehearsal import rehearse

needs_fossil = pytest.mark.skipif(shutil.which("fossil") is None, reason="needs Fossil")
FIRST = {
    "lookup": ["price", "pair", "status", "client"],
    "ticket": ["typed", "untyped"],
    "order": ["text", "note"],
    "summary": ["status", "type", "severity"],
}


def variant(family, name, split="train"):
    return next(t for t in tasks(family, split) if t.variant == name)


@needs_fossil
@pytest.mark.parametrize(("family", "name"), [(f, v) for f, names in FIRST.items() for v in names])
async def test_the_oracle_solves_every_variant(tmp_path, family, name):
    async with WorldInstance(replace(variant(family, name), fault_rate=0.0), tmp_path) as world:
        played, examples = await rehearse(world)
        assert played.outcome and played.outcome.status == "succeeded" and played.check == (True, "")
        assert max(len(e.messages[-1]["content"]) for e in examples) < 2_400  # characters, about 600 tokens
        assert max(len(e.completion) for e in examples) < 420


@needs_fossil
@pytest.mark.parametrize("family", FAMILIES)
async def test_the_oracle_solves_held_out_tasks_too(tmp_path, family):
    async with WorldInstance(make_task(family, 10_017), tmp_path) as world:
        played, _ = await rehearse(world)
        assert played.check == (True, "")


async def test_over_budget_ends_without_an_order(tmp_path):
    task = next(t for t in tasks("order", "train") if not t.goal.within)
    async with WorldInstance(task, tmp_path) as world:
        played, _ = await rehearse(world)
        assert played.check.solved and world.state().orders == ()
        assert re.fullmatch(r"Nothing was ordered: over budget, total \d+\.\d\d\.", played.outcome.answer)


async def test_failing_pages_are_retried_through_memento_and_ledger(tmp_path):
    task = replace(variant("order", "text"), fault_rate=0.6)
    async with WorldInstance(task, tmp_path) as world:
        played, examples = await rehearse(world)
        texts = [e.completion for e in examples]
        assert played.outcome.status == "succeeded" and played.check == (True, "")
        assert "answer: error 503" in texts
        assert "The shop failed with error 503. Next: step 1 again." in texts
        assert any(t.startswith("retry 1 web: find the price") for t in texts)


@needs_fossil
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", [4, 5, 6])
async def test_wrong_clicks_do_not_confuse_the_oracle(tmp_path, family, seed):
    async with WorldInstance(replace(make_task(family, seed), fault_rate=0.0), tmp_path) as world:
        played, _ = await rehearse(world, slips=0.3)
        assert played.check == (True, "")


# Single decisions: each follows from its own view

ORDER = variant("order", "text")


def ledger(mementos, *instructions):
    plan = [PlanStep(number=n, agent=a, instruction=i) for n, (a, i) in enumerate(instructions, 1)]
    return LedgerView("a task", TaskLedger(plan=plan), {}, mementos)


@pytest.mark.parametrize(
    ("mementos", "line"),
    [
        ([], "step 1 web: find the price of Copper Kettle in shop"),
        (["The shop failed with error 503. Next: step 1 again."], "retry 1 web: find the price of Copper Kettle in shop"),
        (["The price of Copper Kettle is 7.70. Next: step 2."], "step 2 coder: compare 3 * 7.70 with limit 50"),
        (
            ["The price of Copper Kettle is 7.70. Next: step 2.", "The order is within budget, total 23.10. Next: step 3."],
            "step 3 web: order 3 Copper Kettle in shop",
        ),
        (["The price of Copper Kettle is 77.00. Next: step 2.", "The order is over budget, total 231.00. Next: done."], "done"),
    ],
)
def test_the_ledger_copies_what_mementos_say_into_the_plan(mementos, line):
    view = ledger(
        mementos,
        ("web", "find the price of Copper Kettle in shop"),
        ("coder", "compare 3 * price with limit 50"),
        ("web", "order 3 Copper Kettle in shop if within budget"),
    )
    assert Oracle(ORDER).decide("ledger", view) == line


def test_a_note_fills_every_later_step():
    plan = [
        ("files", "read order.txt for item, count, limit"),
        ("web", "find the price of the item in shop"),
        ("coder", "compare count * price with limit"),
        ("web", "order the items in shop if within budget"),
    ]
    said = ["The note order.txt says item Copper Kettle; count 3; limit 50.00. Next: step 2."]
    priced = [*said, "The price of Copper Kettle is 7.70. Next: step 3."]
    fits = [*priced, "The order is within budget, total 23.10. Next: step 4."]
    lines = [Oracle(ORDER).decide("ledger", ledger(m, *plan)) for m in (said, priced, fits)]
    assert lines == [
        "step 2 web: find the price of Copper Kettle in shop",
        "step 3 coder: compare 3 * 7.70 with limit 50.00",
        "step 4 web: order 3 Copper Kettle in shop",
    ]


def page(title, *elements, text=(), status=200):
    numbered = [e.model_copy(update={"id": n}) for n, e in enumerate(elements, 1)]
    return PageView(url="http://127.0.0.1/", title=title, status=status, text=list(text), elements=numbered)


def shop_page(title, *elements, query="", **rest):
    return page(
        title, Element(id=0, kind="box", name="Search", value=query), Element(id=0, kind="button", name="Search"), *elements, **rest
    )


def link(name):
    return Element(id=0, kind="link", name=name)


def decide(instruction, shown, history=()):
    return Oracle(ORDER).decide("web", WebView(instruction, ["shop"], list(history), shown))


FIND = "find the price of Copper Kettle in shop"
BUY = "order 3 Copper Kettle in shop"
CART = "Product | Quantity | Price | Sum"
COMPARE = "compare 3 * 7.70 with limit 50"


@pytest.mark.parametrize(
    ("instruction", "shown", "history", "line"),
    [
        (FIND, None, [], "visit shop"),
        (FIND, page("Service unavailable", status=503), [], "visit shop"),
        (FIND, page("Service unavailable", status=503), ["visit shop"], "answer: error 503"),
        (FIND, page("", status=0), ["visit shop"], "answer: the page did not load"),
        (BUY, page("Service unavailable", status=503), ["click Place order"], "visit shop"),
        (FIND, page("Another site"), [], "visit shop"),
        (FIND, shop_page("Fernwood"), [], "type box Search [1]: Copper Kettle"),
        (FIND, shop_page("Fernwood", query="Copper Kettle"), [], "click button Search [2]"),
        (FIND, shop_page("Results for Copper Kettle", link("Steel Kettle"), link("Copper Kettle")), [], "click link Copper Kettle [4]"),
        (FIND, shop_page("Results for Copper Kettle", query="Copper Kettle"), [], "answer: Copper Kettle is not in the shop"),
        (FIND, shop_page("Copper Kettle", text=["Price: 7.70"]), [], "answer: 7.70"),
        (FIND, shop_page("Steel Kettle", text=["Price: 9.99"]), [], "type box Search [1]: Copper Kettle"),
        (BUY, shop_page("Copper Kettle", Element(id=0, kind="box", name="Quantity", value="1")), [], "type box Quantity [3]: 3"),
        (
            BUY,
            shop_page("Cart", Element(id=0, kind="button", name="Place order"), text=[CART, "Copper Kettle | 3 | 7.70 | 23.10"]),
            [],
            "click button Place order [3]",
        ),
        (
            BUY,
            shop_page(
                "Cart",
                Element(id=0, kind="button", name="Remove Copper Kettle"),
                Element(id=0, kind="button", name="Place order"),
                text=[CART, "Copper Kettle | 6 | 7.70 | 46.20"],
            ),
            [],
            "click button Remove Copper Kettle [3]",
        ),
        (BUY, shop_page("Order 4 placed"), ["click Place order"], "answer: order 4 placed"),
        (BUY, shop_page("Fernwood", link("Orders")), ["click Place order"], "click link Orders [3]"),
        (
            BUY,
            shop_page("Orders", link("Orders"), link("Order 4")),
            ["click Place order", "click Orders"],
            "answer: order 4 placed",
        ),
    ],
)
def test_a_browser_step_follows_from_instruction_history_and_page(instruction, shown, history, line):
    assert decide(instruction, shown, history) == line


@pytest.mark.parametrize(
    ("agent", "instruction", "result", "step", "steps", "failed", "line"),
    [
        ("web", FIND, "7.70", 1, 3, False, "The price of Copper Kettle is 7.70. Next: step 2."),
        ("web", FIND, "error 503", 1, 3, True, "The shop failed with error 503. Next: step 1 again."),
        ("coder", "compute 3 * 7.70", "23.10", 2, 3, False, "The total is 23.10. Next: step 3."),
        ("coder", "compute 3 * 7.70", "SyntaxError", 2, 3, True, "The program failed. Next: step 2 again."),
        ("coder", COMPARE, "over budget, total 99.00", 2, 3, False, "The order is over budget, total 99.00. Next: done."),
        ("files", "write 23.10 to total.txt", "total.txt holds 23.10", 3, 3, False, "The file total.txt holds 23.10. Next: done."),
        ("web", BUY, "order 3 placed", 3, 3, False, "Order 3 for 3 Copper Kettle is placed. Next: done."),
    ],
)
def test_a_memento_says_what_came_of_it_and_what_is_next(agent, instruction, result, step, steps, failed, line):
    assert Oracle(ORDER).decide("memento", MementoView(agent, instruction, step, steps, [], result, failed)) == line


def test_what_no_flawless_team_would_ask_is_said_loudly():
    oracle = Oracle(ORDER)
    with pytest.raises(Lost):
        oracle.decide("web", WebView("dance", ["shop"], [], None))
    with pytest.raises(Lost):
        oracle.decide("ledger", ledger(["no next step here"], ("web", FIND)))
    with pytest.raises(Lost):
        oracle.decide("ledger", ledger(["Nothing was found. Next: step 2."], ("web", FIND), ("coder", "compute 3 * price")))
    with pytest.raises(Lost):
        oracle.decide("final", FinalView("a task", []))
