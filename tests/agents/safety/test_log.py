"""A run's decisions: each can be made again from what was known, and whatever is changed breaks the chain."""

import json

import pytest
from typer.testing import CliRunner

from agents.safety.command import app
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from agents.safety.log import Known, Log, Record, replay
from agents.safety.seen import deed
from app.errors import InvalidInput
from app.schemas import Action, Effect, Policy
from tests.agents.safety.test_house import ORDER, PRODUCT, SITES, cart, page, use


@pytest.fixture
def record() -> Record:
    """An order from the visit to a second try."""
    known = Known(policy=Policy.ALLOW_LISTED, sites=SITES, texts=[ORDER])
    gate, log, entries = Gate(known.policy, Grants.of_task(SITES, set())), Log(), []
    visit = Action(id="a1", agent="web", kind="web.visit", effect=Effect.READ, target="http://shop.example/")
    wishes = [visit, use(PRODUCT.format(name="Copper Kettle", count=3), "Add to cart"), use(cart("Copper Kettle"), "Place order")]
    for action in [*wishes, wishes[-1], use(cart("Ivory Lamp"), "Place order")]:
        gate.follow(known.texts, [], known.seen, [])
        decision = gate.judge(action)
        entries.append(log.add(known.texts, [], known.seen, gate, action, decision))
        done = deed(action) if decision.permit else None
        known.seen += [*([done] if done else []), page("http://shop.example/", "Fernwood")]
    return Record(known=known, entries=entries, last=log.last)


def test_every_decision_is_the_same_again(record):
    assert [entry.rule for entry in record.entries] == ["read", "granted", "granted", "done-already", "done-already"]
    assert replay(Record.model_validate_json(record.model_dump_json()), set()) == []


def test_a_decision_that_would_be_another_today_is_told(record):
    (found,) = replay(record.model_copy(update={"known": record.known.model_copy(update={"sites": SITES[1:]})}), set())[:1]
    assert (found.number, found.then, found.now) == (0, "allow (read)", "ask (new-site)")


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r["known"]["texts"].__setitem__(0, "Order 9 copper kettles."),
        lambda r: r["known"]["seen"].pop(1),
        lambda r: r["known"]["seen"].reverse(),
        lambda r: r["known"]["seen"][0].__setitem__("text", "other"),
        lambda r: r["entries"].pop(),
        lambda r: r["entries"].pop(2),
        lambda r: r["entries"].insert(1, r["entries"][0]),
        lambda r: r["entries"][3].__setitem__("verdict", "allow"),
        lambda r: r["entries"][2]["action"].__setitem__("target", "POST http://shop.example/other"),
        lambda r: r.__setitem__("last", "0" * 64),
    ],
)
def test_whatever_is_changed_breaks_the_chain(record, change):
    plain = record.model_dump(mode="json")
    change(plain)
    with pytest.raises(InvalidInput, match="chain breaks"):
        replay(Record.model_validate(plain), set())


def test_the_command_replays_and_explains(record, tmp_path):
    path, run = tmp_path / "run.json", CliRunner()
    path.write_text(record.model_dump_json())
    told = run.invoke(app, ["gate", "replay", str(path)])
    assert (told.exit_code, json.loads(told.stdout.splitlines()[-1])) == (0, {"decisions": 5, "matched": 5, "last": record.last})
    assert "done-already" in run.invoke(app, ["gate", "explain", str(path)]).stdout
    one = run.invoke(app, ["gate", "explain", str(path), "4"]).stdout
    assert "Ivory Lamp | 3 | 60.00" in one and "done-already" in one and ORDER in one
    assert isinstance(run.invoke(app, ["gate", "explain", str(path), "9"]).exception, InvalidInput)
    path.write_text('{"entries": 3}')
    assert isinstance(run.invoke(app, ["gate", "replay", str(path)]).exception, InvalidInput)
