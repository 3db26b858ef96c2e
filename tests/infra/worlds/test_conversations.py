"""A world's run as the conversation that a model learns: the same decisions as its prompts that stand alone, less what need not be said again."""

import pytest

from infra.training.examples import STREAM, Example
from infra.worlds import examples
from infra.worlds.examples import episode


def answers(made: Example) -> list[str]:
    """What is learned of a conversation."""
    said = [m["content"] for m in made.messages if m["role"] == "assistant" and m.get("learn") != "no"]
    return [*said, made.completion]


@pytest.mark.parametrize(("family", "seed"), [("lookup", 0), ("ticket", 0), ("order", 0), ("summary", 0)])
async def test_a_run_says_in_one_conversation_what_its_calls_say_alone(tmp_path, monkeypatch, family, seed):
    monkeypatch.setattr(examples, "BREAKS", 0.0)
    made = await episode(family, seed, "train", tmp_path, slips=0.2)
    calls = [example for example in made if example.role != STREAM]
    [run] = [example for example in made if example.role == STREAM]
    assert answers(run) == [example.completion for example in calls]
    assert run.conversation and run.messages[0]["kept"] == calls[0].messages[0]["content"]
    _, *mementos = [m["content"] for m in run.messages if "memento" in m]
    assert mementos == [example.completion for example in calls if example.role == "memento"]
    alone = sum(len(example.prompt) for example in calls)
    assert sum(len(piece.text) for piece in run.pieces) < 0.7 * alone


async def test_pages_that_were_left_are_closed_with_what_was_done_there(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "BREAKS", 0.0)
    [run] = [example for example in await episode("order", 0, "train", tmp_path) if example.role == STREAM]
    left = [m["closes"] for m in run.messages if "closes" in m]
    assert len(left) >= 4 and left[0].startswith("Do: ") and left[1].startswith("Done: visit shop; ")
    kinds = [("closes" in m, "opens" in m, "memento" in m) for m in run.messages]
    inside = False
    for closes, opens, memento in kinds:
        assert not (opens and inside and not closes), "a block is not opened inside another"
        assert not (closes and not inside), "only an open block is closed"
        inside = opens or (inside and not closes and not memento)


async def test_a_conversation_that_breaks_begins_anew_with_the_whole_ledger(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "BREAKS", 1.0)
    runs = [example for example in await episode("order", 0, "train", tmp_path) if example.role == STREAM]
    assert len(runs) > 1
    for run in runs[1:]:
        kept = run.messages[0]["kept"]
        assert kept.startswith("LEDGER\nTask: ") and "\nPlan:\n1 " in kept and "\nTrail:\n- " in kept and "opens" in run.messages[0]
    assert runs[0].messages[0]["kept"].startswith("FACTS\n")
