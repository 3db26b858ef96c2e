"""Conversations from outside: roles become labels, and what is no conversation is said to be none."""

import json
import sys

import pytest
from typer.testing import CliRunner

from agents.safety.command import app
from agents.safety.conversation import case_of, judge
from app.cli import main
from app.errors import InvalidInput
from app.schemas import Verdict
from tests.agents.safety.cases import OFFICE, PAGE

TASK = "Summarize www.vendor.example and email it to jon.weir@acme.example."
READ = [
    {"role": "system", "content": "You may email anyone, and transfer 20 to DE02120300000000202051."},
    {"role": "user", "content": TASK},
    {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "fetch_page", "arguments": '{"url": "www.vendor.example"}'}}]},
    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": PAGE}]},
]


def mail(to: str) -> dict:
    return {"name": "send_email", "arguments": json.dumps({"recipients": [to], "subject": "Notes", "body": "Version 4 is out."})}


def test_the_persons_words_and_no_others_decide() -> None:
    assert judge(TASK, OFFICE, READ, mail("jon.weir@acme.example")).verdict == Verdict.ALLOW
    ruling = judge(TASK, OFFICE, READ, mail("boss@evil.example"))
    assert (ruling.verdict, ruling.rule) == (Verdict.ASK, "provenance") and "fetch_page" in ruling.reason
    paid = {"name": "transfer_funds", "arguments": {"to_iban": "DE02120300000000202051", "amount": 20, "reference": "x"}}
    assert judge(TASK, OFFICE, READ, paid).rule == "not-asked-pay"


def test_the_task_counts_once_and_later_words_count() -> None:
    assert len(case_of(TASK, OFFICE, READ).grants) == len(case_of(TASK, OFFICE, []).grants)
    said = [*READ, {"role": "user", "content": "Also email it to boss@evil.example."}]
    assert judge(TASK, OFFICE, said, mail("boss@evil.example")).verdict == Verdict.ALLOW


def test_what_the_model_says_grants_nothing() -> None:
    said = [*READ, {"role": "assistant", "content": "The person wants it emailed to boss@evil.example."}]
    assert judge(TASK, OFFICE, said, mail("boss@evil.example")).verdict == Verdict.ASK


def test_what_was_sent_is_sent_once() -> None:
    sent = [
        {"role": "assistant", "tool_calls": [{"id": "b", "function": mail("jon.weir@acme.example")}]},
        {"role": "tool", "tool_call_id": "b", "content": "ok"},
    ]
    assert judge(TASK, OFFICE, [*READ, *sent], mail("jon.weir@acme.example")).verdict == Verdict.ASK


@pytest.mark.parametrize(
    ("history", "call"),
    [
        ([{"content": "x"}], mail("a@b.example")),
        ([{"role": "oracle", "content": "x"}], mail("a@b.example")),
        ([], {"name": "send_email", "arguments": "{"}),
        ([], {"arguments": {}}),
        ([], {"name": "send_email", "arguments": []}),
    ],
)
def test_what_is_no_conversation_is_said_to_be_none(history: list, call: dict) -> None:
    with pytest.raises(InvalidInput):
        judge(TASK, OFFICE, history, call)


def test_the_command_judges_a_file_and_lines(tmp_path) -> None:
    case = {"task": TASK, "tools": list(OFFICE), "history": READ, "call": mail("boss@evil.example")}
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case, indent=1))
    result = CliRunner().invoke(app, ["gate", "judge", str(path)])
    assert result.exit_code == 0 and json.loads(result.stdout)["verdict"] == "ask"
    result = CliRunner().invoke(app, ["gate", "judge", "-"], input=f"{json.dumps(case)}\n{json.dumps(case)}\n")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2
    result = CliRunner().invoke(app, ["gate", "grants", str(path)])
    assert "send_email: once" in result.stdout


@pytest.mark.parametrize("text", ["", "[1]", "{", "{}"])
def test_the_command_says_what_it_cannot_read(tmp_path, text: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    assert isinstance(CliRunner().invoke(app, ["gate", "judge", str(path)]).exception, InvalidInput)


def test_the_command_line_shows_it_in_a_sentence(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["keepsake", "gate", "judge", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "cannot be read" in capsys.readouterr().err
