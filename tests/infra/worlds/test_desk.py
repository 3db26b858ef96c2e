"""The desk's notes say all that a task needs, once and in words that can be copied."""

import csv
import io

import pytest

from infra.worlds.families import make_task

SEEDS = [*range(120), *range(9_000, 9_030), *range(10_000, 10_060)]


def test_a_ticket_note_holds_title_severity_and_type():
    for seed in SEEDS:
        task = make_task("ticket", seed)
        note, ticket = task.files[task.goal.file], task.goal.ticket
        assert note.count(ticket.title) == 1
        assert ticket.severity.lower() in note.lower()
        assert not ticket.type or ticket.type.lower() in note.lower()
        assert len([line for line in note.splitlines() if line.strip()]) <= 12


def test_an_order_note_holds_item_count_and_limit():
    for seed in SEEDS:
        task = make_task("order", seed)
        if task.variant == "note":
            note, goal = task.files[task.goal.file], task.goal
            assert goal.item in note and str(goal.count) in note and goal.limit_text in note


def test_notes_come_in_many_layouts():
    shapes = set()
    for seed in range(400):
        task = make_task("ticket", seed)
        shapes.add(task.files[task.goal.file].replace(task.goal.ticket.title, "T").split("\n")[0])
    assert len(shapes) > 12


@pytest.mark.parametrize("seed", [s for s in range(60) if make_task("lookup", s).variant in {"status", "client"}])
def test_invoices_are_sound_csv(seed):
    task = make_task("lookup", seed)
    [(name, text)] = task.files.items()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert name.endswith(".csv") and 5 <= len(rows) <= 12
    assert all(None not in row and None not in row.values() for row in rows)
    assert any(task.goal.value in row.values() for row in rows)
