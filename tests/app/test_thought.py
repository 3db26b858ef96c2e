"""A thought as events carry it: read, folded into the view, printed."""

from typing import Any

import pytest

from app.events import Event, EventType, NewEvent, RunView, reduce_events
from app.memento.thought import Part, PartKind, Thought, read_kv, read_parts
from app.terminal import lines

PARTS = [
    {"type": "block", "index": 0, "text": "one", "tokens": 7, "evicted": 9},
    {"type": "memento", "index": 0, "text": "short", "tokens": 2},
    {"type": "text", "index": 0, "text": "aside", "tokens": 1},
    {"type": "block", "index": 1, "text": "two", "tokens": 5, "evicted": 0},
    {"type": "answer", "index": 0, "text": "so", "tokens": 1},
]
KV = {"peak_kv_tokens": 31, "kv_auc": 700, "evicted_tokens": 9, "compactions": 1, "computed_tokens": 20}


def run(*steps: tuple[EventType, dict[str, Any]], labels: tuple[str, ...] = ()) -> list[Event]:
    new = [NewEvent(type=kind, payload=payload, labels=list(labels)) for kind, payload in steps]
    return [Event(run_id="run_1", seq=i, time=e.time, type=e.type, payload=e.payload, labels=e.labels) for i, e in enumerate(new, 1)]


def thought(block: int | None, parts: list[dict[str, Any]] = PARTS) -> tuple[EventType, dict[str, Any]]:
    return EventType.THOUGHT, {"block": block, "role": "web", "parts": parts, **KV, "full_kv_tokens": 40}


OPENED = (EventType.BLOCK_OPENED, {"block": 1, "instruction": "look", "plan_step": 1})


def test_blocks_come_with_their_mementos_in_order():
    blocks = Thought.model_validate({"parts": PARTS}).blocks
    assert [(b.block.text, b.memento and b.memento.text, b.freed) for b in blocks] == [("one", "short", 9), ("two", None, 0)]


def test_parts_are_read_or_there_are_none():
    assert read_parts({"parts": PARTS}) == [Part.model_validate(part) for part in PARTS]
    assert read_parts({"parts": []}) == []
    assert read_parts({"parts": [{"type": PartKind.BLOCK}]}) is None and read_parts(None) is None


@pytest.mark.parametrize("usage", [None, [], {}, {"prompt_tokens": 3}, {"peak_kv_tokens": None}, {"peak_kv_tokens": -1}])
def test_a_server_without_figures_has_none(usage: Any):
    assert read_kv(usage) is None


def test_a_thought_is_an_entry_of_its_block_and_its_labels_are_the_blocks():
    view = reduce_events(run(OPENED, thought(1), labels=("untrusted:web",)))
    [entry] = view.blocks[0].entries
    assert (entry["entry"], entry["parts"], view.blocks[0].labels) == ("thought", PARTS, ["untrusted:web"])
    assert view.thoughts == []


@pytest.mark.parametrize("block", [None, 7])
def test_a_thought_of_no_block_stands_beside_the_trail(block: int | None):
    view = reduce_events(run(OPENED, thought(block), labels=("untrusted:web",)))
    assert view.blocks[0].entries == [] and view.notices == []
    assert [(t["seq"], t["labels"]) for t in view.thoughts] == [(2, ["untrusted:web"])]


def test_what_was_freed_is_summed_over_the_run_and_redelivery_changes_nothing():
    events = run(thought(None), OPENED, thought(1))
    view = reduce_events([*events, *events])
    assert (view.evicted_tokens, view.compactions) == (18, 2)
    again = RunView.model_validate_json(view.model_dump_json())
    assert again == view, "a view goes through JSON as it is"


def test_a_terminal_prints_the_mementos():
    [event] = run(thought(1))
    assert lines(event) == [
        "    thought: short (9 tokens freed)",
        "    thought: (cut off before its memento) (5 tokens kept)",
    ]


def test_a_thought_cannot_steer_the_terminal():
    parts = [PARTS[0], PARTS[1] | {"text": "\x1b[2J\nnext\x07"}]
    [event] = run(thought(None, parts))
    assert lines(event) == ["    thought: [2J next (9 tokens freed)"]
