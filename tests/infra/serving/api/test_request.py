"""What a request may ask of mementos."""

import pytest
from keepsake_vllm.api.call import Call
from keepsake_vllm.api.errors import Refused
from keepsake_vllm.api.request import Mark, check_xargs, take_echoes, take_marks, take_session


@pytest.mark.parametrize(
    "xargs", [{}, {"memento": "off", "memento_keep_last_n": 64, "memento_grammar": 1}, {"memento_keep_last_n": 0}, {"script": [1]}, None]
)
def test_what_is_allowed_passes(xargs):
    check_xargs({"vllm_xargs": xargs})


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("memento", "on", "'keep', 'restart' or 'off'"),
        ("memento", 1, "'keep', 'restart' or 'off'"),
        ("memento", ["keep"], "'keep', 'restart' or 'off'"),
        ("memento_keep_last_n", 65, "less than or equal to 64"),
        ("memento_keep_last_n", -1, "greater than or equal to 0"),
        ("memento_keep_last_n", "1", "valid integer"),
        ("memento_keep_last_n", True, "valid integer"),
        ("memento_grammar", 2, "0 or 1"),
        ("memento_max_blocks", 1025, "less than or equal to 1024"),
        ("memento_mode", "keep", "known are memento, memento_keep_last_n"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(key, value, says):
    with pytest.raises(Refused, match=says) as refused:
        check_xargs({"vllm_xargs": {key: value}})
    assert refused.value.status == 400
    assert refused.value.body()["error"]["param"] == f"vllm_xargs.{key}"


@pytest.mark.parametrize("body", [{"n": 2}, {"use_beam_search": True}, {"echo": True}, {"kv_transfer_params": {"prompt_token_ids": [1]}}])
def test_a_session_follows_one_answer(body):
    with pytest.raises(Refused):
        take_session({"memento_session": "new", **body})


@pytest.mark.parametrize("handle", [1, "", "x" * 300, ["new"], True])
def test_a_handle_is_a_short_text(handle):
    with pytest.raises(Refused):
        take_session({"memento_session": handle})


def test_echoes_are_taken_out():
    body = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "memento_token_ids": [7, 8]}]}
    assert take_echoes(body, 10) == {1: [7, 8]}
    assert "memento_token_ids" not in body["messages"][1]


@pytest.mark.parametrize(
    ("role", "ids"), [("user", [1]), ("assistant", [10]), ("assistant", []), ("assistant", "7"), ("assistant", [-1]), ("assistant", [True])]
)
def test_wrong_token_ids_are_refused(role, ids):
    with pytest.raises(Refused):
        take_echoes({"messages": [{"role": role, "memento_token_ids": ids}]}, 10)


def test_marks_are_taken_out():
    said = [
        {"role": "user", "content": "a", "memento": {"close": "m", "kept": "k", "open": True}},
        {"role": "assistant", "content": "b", "memento": {"parts": []}},
        {"role": "assistant", "content": "c", "memento": "close"},
        {"role": "user", "content": "d"},
    ]
    body = {"messages": said}
    assert take_marks(body) == {0: Mark(close="m", kept="k", open=True), 2: None}
    assert all("memento" not in message for message in said), "an answer of ours may come back as it was given"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"role": "user", "content": "a", "memento": "close"}, 'on an assistant message "close"'),
        ({"role": "assistant", "content": "a", "memento": "open"}, 'on an assistant message "close"'),
        ({"role": "system", "content": "a", "memento": {"open": True}}, 'on an assistant message "close"'),
        ({"role": "user", "content": "a", "memento": {"opens": True}}, "opens: Extra inputs"),
        ({"role": "user", "content": "a", "memento": {"open": "yes"}}, "open: Input should be a valid boolean"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}], "memento": {"open": True}}, "a string for its content"),
        ({"role": "assistant", "content": "a", "tool_calls": [{}], "memento": "close"}, "no tool calls"),
    ],
)
def test_wrong_marks_are_refused(message, says):
    with pytest.raises(Refused, match=says) as refused:
        take_marks({"messages": [message]})
    assert refused.value.status == 400 and refused.value.body()["error"]["param"].startswith("messages[0].memento")


@pytest.mark.parametrize("more", [{"memento_session": "new"}, {"kv_transfer_params": {"prompt_token_ids": [1]}}])
def test_marks_stand_alone(more):
    with pytest.raises(Refused, match="neither"):
        take_marks({"messages": [{"role": "user", "content": "a", "memento": {"open": True}}], **more})


def test_no_key_reaches_anothers_prefixes():
    salts = {Call(key=key).salt(own) for key in (b"a", b"b") for own in (None, "x", "y")}
    assert len(salts) == 6
    assert Call(key=b"a").salt("x") == Call(key=b"a").salt("x")
    assert Call().salt("x") == "x"
