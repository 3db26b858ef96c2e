"""A record makes every decision again, and shows when somebody has changed it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.safety.command import app
from agents.safety.record import Recorder, replay
from app.errors import InvalidInput
from tests.agents.safety.cases import CASES, OFFICE, UNREAD, Asked

ASKED = [asked for asked in CASES if asked.read]


def record_of(asked: Asked) -> list[str]:
    lines: list[str] = []
    recorder = Recorder(lines.append, [asked.words], asked.tools)
    for name, arguments, result in asked.read:
        recorder.judge(name, arguments)
        recorder.done(name, arguments, result)
    recorder.judge(*asked.call)
    recorder.hear("Email jon.weir@acme.example that I am late.")
    recorder.judge(*asked.call)
    return lines


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_every_decision_is_the_same_again(asked: Asked) -> None:
    found = replay(record_of(asked))
    assert found.decisions == len(asked.read) + 2 == found.matched and not found.differing


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_change_breaks_the_chain(data: st.DataObject) -> None:
    lines = record_of(ASKED[0])
    at = data.draw(st.integers(0, len(lines) - 2))
    change = data.draw(st.sampled_from(["verdict", "drop", "swap", "twice", "garbage"]))
    if change == "verdict":
        entry = json.loads(lines[at])
        entry["body"] = {"anything": "else"}
        lines[at] = json.dumps(entry)
    elif change == "drop":
        del lines[at]
    elif change == "swap":
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    elif change == "twice":
        lines.insert(at, lines[at])
    else:
        lines[at] = "{"
    with pytest.raises(InvalidInput, match="line"):
        replay(lines)


def test_a_decision_that_is_another_today_is_shown(monkeypatch) -> None:
    lines: list[str] = []
    recorder = Recorder(lines.append, ["Delete the email with the subject Urgent."], OFFICE)
    recorder.done(*UNREAD)
    with monkeypatch.context() as patched:
        patched.setattr(recorder.case, "grants", [])  # as if the words had not been understood then
        recorder.judge("delete_email", {"email_id": "33"})
    (differing,) = replay(lines).differing
    assert (differing[1]["verdict"], differing[2]["verdict"]) == ("ask", "allow")


def test_the_command_says_what_it_found(tmp_path) -> None:
    path = tmp_path / "record.jsonl"
    lines = record_of(ASKED[0])
    path.write_text("\n".join(lines) + "\n")
    result = CliRunner().invoke(app, ["gate", "replay", str(path)])
    assert result.exit_code == 0 and json.loads(result.stdout)["matched"] == 3
    path.write_text("\n".join(lines[1:]))
    assert isinstance(CliRunner().invoke(app, ["gate", "replay", str(path)]).exception, InvalidInput)
    assert CliRunner().invoke(app, ["gate", "replay", str(tmp_path / "none")]).exit_code == 2
