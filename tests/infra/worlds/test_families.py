"""Families: the same seed gives the same task, splits share nothing, and a check takes the right state and no other."""

import random
from dataclasses import replace
from itertools import combinations, islice

import pytest

from app.errors import InvalidInput
from infra.worlds.base import FAMILIES, SPLITS, Order, OrderLine, Ticket, WorldState, money, split_of
from infra.worlds.families import make_task, tasks
from infra.worlds.families.lookup import TableGoal
from infra.worlds.families.order import OrderGoal
from infra.worlds.families.summary import TABLE
from tests.infra.worlds.states import as_csv, solved

SEEDS = [*range(40), *range(9_000, 9_020), *range(10_000, 10_040)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_task(family):
    for seed in (0, 8_999, 9_000, 10_000, 19_999):
        assert make_task(family, seed) == make_task(family, seed)
    assert make_task(family, 1).fingerprint != make_task(family, 2).fingerprint


def test_seeds_own_their_splits():
    assert [split_of(s) for s in (0, 8_999, 9_000, 9_999, 10_000, 19_999)] == ["train", "train", "dev", "dev", "eval", "eval"]
    for wrong in (-1, 20_000):
        with pytest.raises(InvalidInput):
            split_of(wrong)
    with pytest.raises(InvalidInput, match="belongs to train"):
        make_task("order", 3, "eval")
    with pytest.raises(InvalidInput, match="no family"):
        make_task("cooking", 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_share_no_instance_no_text_and_no_name(family):
    made = {split: list(islice(tasks(family, split), 250)) for split in SPLITS}
    prints = [{t.fingerprint for t in made[s]} for s in SPLITS]
    assert [len(p) for p in prints] == [250] * 3, "equal instances are given once"
    for a, b in combinations(SPLITS, 2):
        assert not {t.fingerprint for t in made[a]} & {t.fingerprint for t in made[b]}
        assert not {t.text for t in made[a]} & {t.text for t in made[b]}
        assert not {p.name for t in made[a] for p in t.products} & {p.name for t in made[b] for p in t.products}
        assert not {x.title for t in made[a] for x in t.tickets} & {x.title for t in made[b] for x in t.tickets}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_follows_from_text_and_files_alone(family):
    """Whatever the plan or the facts name stands in the task's text word for word; the rest is said by files and pages later."""
    fixed = {"title", "type", "severity", TABLE}
    for seed in SEEDS:
        task = make_task(family, seed)
        facts = task.goal.facts()
        for fact in facts.given:
            value = fact.split(" ", 1)[1].removeprefix("with ")
            parts = value.split(", ") if fact.startswith("columns") else [value]
            assert all(part in task.text or part in fixed for part in parts), (fact, task.text)
        assert all(line.split(":")[0] in {"web", "files", "coder"} for line in task.goal.plan())
        assert all(len(line) < 190 for line in task.goal.plan())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_state_solves_and_the_start_does_not(family):
    for seed in SEEDS:
        task = make_task(family, seed)
        assert task.check(solved(task)) == (True, ""), seed
        nothing_to_do = isinstance(task.goal, OrderGoal) and not task.goal.within
        assert task.check(task.start()).solved == nothing_to_do


def test_orders_are_over_budget_in_about_three_of_ten_and_sometimes_exactly_at_the_limit():
    goals = [make_task("order", seed).goal for seed in range(1_000)]
    over = sum(not g.within for g in goals) / 1_000
    assert 0.25 < over < 0.35
    assert sum(g.limit == g.count * g.price for g in goals) > 20


def test_limits_are_said_as_a_person_says_them():
    goals = [make_task("order", seed).goal for seed in range(300)]
    assert all(round(float(g.limit_text) * 100) == g.limit for g in goals)
    assert sum("." not in g.limit_text for g in goals) > 60


def test_sums_are_those_of_the_table():
    for seed in range(200):
        task = make_task("lookup", seed)
        if isinstance(task.goal, TableGoal):
            lines = task.files[task.goal.table].splitlines()
            place = lines[0].split(",").index(task.goal.column)
            rows = [line.split(",") for line in lines[1:]]
            assert money(sum(round(float(r[place]) * 100) for r in rows if task.goal.value in r)) == money(task.goal.total)
            assert any(task.goal.value not in r for r in rows) or task.variant == "status" or task.variant == "client"


def _seed(family, wanted):
    return next(t for t in tasks(family, "train") if wanted(t))


# Ten wrong worlds a family: something missing, something wrong, something nobody asked for.


@pytest.mark.parametrize("variant", ["price", "pair", "status", "client"])
def test_lookup_refuses_wrong_worlds(variant):
    task = _seed("lookup", lambda t: t.variant == variant)
    right, name = solved(task), task.goal.output
    total = money(task.goal.total)
    stray = Order((OrderLine("Copper Kettle", 1, 770),))
    wrong = {
        "no file": replace(right, files=dict(task.files)),
        "another total": _with(right, name, money(task.goal.total + 1)),
        "a tenth": _with(right, name, money(task.goal.total // 10)),
        "two numbers": _with(right, name, f"{total} or {total}"),
        "no number": _with(right, name, "the total"),
        "an empty file": _with(right, name, ""),
        "another file name": replace(right, files=task.files | {f"my-{name}": total}),
        "a file too many": _with(right, "scratch.txt", "1"),
        "an order": replace(right, orders=(stray,)),
        "a full cart": replace(right, cart=stray.lines),
        "a removed input": replace(right, files={name: total}) if task.files else replace(right, wiki_edits=1),
    }
    _all_refused(task, wrong)


def test_lookup_takes_the_number_with_words_or_fewer_zeros():
    task = _seed("lookup", lambda t: t.goal.total % 10 == 0)
    for text in (f"Total: {money(task.goal.total)}", f"{money(task.goal.total)[:-1]}\n"):
        assert task.check(_with(solved(task), task.goal.output, text)).solved


def test_ticket_refuses_wrong_worlds():
    task = _seed("ticket", lambda t: t.variant == "typed" and len(t.tickets) > 1)
    right, wanted, old = solved(task), task.goal.ticket, task.tickets
    other = next(s for s in ("Critical", "Minor") if s != wanted.severity)
    kind = next(s for s in ("Bug", "Question") if s != wanted.type)
    wrong = {
        "no ticket": replace(right, tickets=old),
        "filed twice": replace(right, tickets=(*old, wanted, wanted)),
        "another severity": replace(right, tickets=(*old, replace(wanted, severity=other))),
        "no severity": replace(right, tickets=(*old, replace(wanted, severity=""))),
        "another type": replace(right, tickets=(*old, replace(wanted, type=kind))),
        "no type": replace(right, tickets=(*old, replace(wanted, type=""))),
        "another title": replace(right, tickets=(*old, replace(wanted, title=wanted.title + " again"))),
        "another status": replace(right, tickets=(*old, replace(wanted, status="Closed"))),
        "an old ticket changed": replace(right, tickets=(replace(old[0], status="Fixed!"), *old[1:], wanted)),
        "an old ticket gone": replace(right, tickets=(*old[1:], wanted)),
        "the wiki edited": replace(right, wiki_edits=1),
        "the note changed": _with(right, task.goal.file, "done"),
    }
    _all_refused(task, wrong)


def test_an_untyped_note_means_a_ticket_without_type():
    task = _seed("ticket", lambda t: t.variant == "untyped")
    assert not task.check(replace(solved(task), tickets=(*task.tickets, replace(task.goal.ticket, type="Bug")))).solved


@pytest.mark.parametrize("variant", ["text", "note"])
def test_order_refuses_wrong_worlds(variant):
    task = _seed("order", lambda t: t.variant == variant and t.goal.within)
    right, goal = solved(task), task.goal
    other = next(p for p in task.products if p.name != goal.item)
    line = OrderLine(goal.item, goal.count, goal.price)
    wrong = {
        "no order": replace(right, orders=()),
        "ordered twice": replace(right, orders=(Order((line,)), Order((line,)))),
        "one too many": replace(right, orders=(Order((replace(line, quantity=goal.count + 1),)),)),
        "one only": replace(right, orders=(Order((replace(line, quantity=1),)),)),
        "another product": replace(right, orders=(Order((OrderLine(other.name, goal.count, other.price),)),)),
        "a product besides": replace(right, orders=(Order((line, OrderLine(other.name, 1, other.price))),)),
        "left in the cart": replace(right, orders=(), cart=(line,)),
        "something still in the cart": replace(right, cart=(OrderLine(other.name, 1, other.price),)),
        "a file nobody wanted": _with(right, "order-log.txt", "ok"),
        "a ticket": replace(right, tickets=(Ticket("Order placed"),)),
        "an empty order": replace(right, orders=(Order(()),)),
    }
    _all_refused(task, wrong)


def test_over_budget_means_no_order_and_an_empty_cart():
    task = _seed("order", lambda t: not t.goal.within)
    line = OrderLine(task.goal.item, task.goal.count, task.goal.price)
    assert task.check(task.start()).solved
    _all_refused(
        task, {"ordered": WorldState(orders=(Order((line,)),), files=task.files), "in the cart": WorldState(cart=(line,), files=task.files)}
    )


def test_summary_refuses_wrong_worlds():
    task = _seed("summary", lambda t: len(t.goal.columns) == 2 and len(t.goal.rows(t.tickets)) > 1)
    right, goal = solved(task), task.goal
    header, rows = list(goal.columns), goal.rows(task.tickets)
    everything = [[getattr(t, c) for c in header] for t in task.tickets]
    wrong = {
        "no file": replace(right, files={TABLE: right.files[TABLE]}),
        "a missing row": _with(right, goal.output, as_csv([header, *rows[1:]])),
        "a row twice": _with(right, goal.output, as_csv([header, *rows, rows[0]])),
        "all rows": _with(right, goal.output, as_csv([header, *everything])),
        "no header": _with(right, goal.output, as_csv(rows)),
        "columns swapped in the header alone": _with(right, goal.output, as_csv([header[::-1], *rows])),
        "columns in another order": _with(right, goal.output, as_csv([header[::-1], *(r[::-1] for r in rows)])),
        "a column too few": _with(right, goal.output, as_csv([header[:1], *(r[:1] for r in rows)])),
        "a column too many": _with(right, goal.output, as_csv([[*header, "id"], *([*r, "1"] for r in rows)])),
        "empty": _with(right, goal.output, ""),
        "semicolons": _with(right, goal.output, as_csv([header, *rows]).replace(",", ";")),
        "a ticket filed": replace(right, tickets=(*task.tickets, Ticket("Done"))),
        "a text file besides": _with(right, "readme.txt", "see open.csv"),
    }
    _all_refused(task, wrong)


def test_summary_takes_rows_in_any_order():
    task = _seed("summary", lambda t: len(t.goal.rows(t.tickets)) > 2)
    rows = task.goal.rows(task.tickets)
    random.Random(3).shuffle(rows)
    assert task.check(_with(solved(task), task.goal.output, as_csv([list(task.goal.columns), *rows]))).solved


def _with(state, name, content):
    return replace(state, files=state.files | {name: content})


def _all_refused(task, wrong):
    for what, state in wrong.items():
        verdict = task.check(state)
        assert not verdict.solved and verdict.reason, what
