"""The store of conversations: whose they are, how long they last, and what continues one."""

import stat

import pytest
from keepsake_vllm.api.errors import Refused
from keepsake_vllm.api.sessions import Session, Sessions, message_digest

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
SESSION = Session([1, 7, 8, 2], [message_digest(USER)], message_digest(ANSWER), "frame")


@pytest.fixture
def sessions(tmp_path):
    return Sessions(tmp_path / "store")


def test_a_handle_gives_the_conversation_back(sessions):
    assert sessions.load(sessions.save(SESSION, b"me"), b"me") == SESSION


def test_it_survives_a_restart(sessions, tmp_path):
    handle = sessions.save(SESSION, b"me")
    sessions.close()
    assert Sessions(tmp_path / "store").load(handle, b"me") == SESSION


def test_handles_differ_and_old_ones_stay(sessions):
    first, second = sessions.save(SESSION, b"me"), sessions.save(SESSION, b"me")
    assert first != second
    assert sessions.load(first, b"me") == sessions.load(second, b"me")


@pytest.mark.parametrize(("handle", "owner"), [(None, b"you"), ("wrong", b"me")])
def test_a_foreign_or_wrong_handle_is_not_found(sessions, handle, owner):
    mine = sessions.save(SESSION, b"me")
    with pytest.raises(Refused) as refused:
        sessions.load(handle or mine, owner)
    assert (refused.value.status, refused.value.code) == (404, "memento_session_not_found")


def test_a_handle_expires(tmp_path):
    now = [1000.0]
    sessions = Sessions(tmp_path, hours=1, clock=lambda: now[0])
    handle = sessions.save(SESSION, b"me")
    now[0] += 3599
    sessions.load(handle, b"me")
    now[0] += 2
    with pytest.raises(Refused):
        sessions.load(handle, b"me")


def test_the_oldest_go_when_there_are_too_many(tmp_path):
    now = iter(range(100))
    sessions = Sessions(tmp_path, max_sessions=2, clock=lambda: next(now))
    handles = [sessions.save(SESSION, b"me") for _ in range(3)]
    with pytest.raises(Refused):
        sessions.load(handles[0], b"me")
    assert sessions.load(handles[2], b"me") == SESSION


def test_the_store_is_bounded_in_bytes(tmp_path):
    sessions = Sessions(tmp_path, max_bytes=400)
    handles = [sessions.save(SESSION, b"me") for _ in range(10)]
    found = 0
    for handle in handles:
        try:
            sessions.load(handle, b"me")
            found += 1
        except Refused:
            continue
    assert 1 <= found < 5


def test_the_file_is_ours_alone_and_holds_no_handle_and_no_text(sessions):
    handle = sessions.save(SESSION, b"secret key")
    assert stat.S_IMODE(sessions.path.stat().st_mode) == 0o600
    for file in sessions.path.parent.iterdir():
        raw = file.read_bytes()
        assert handle.encode() not in raw
        assert b"secret key" not in raw


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        {"role": "assistant", "content": [{"type": "text", "text": "Hello\n"}]},
        {"role": "assistant", "content": "Hello", "reasoning": "dropped or not", "tool_calls": None},
    ],
)
def test_the_answer_may_come_back_in_any_shape(answer):
    assert SESSION.position([USER, answer, {"role": "user", "content": "And?"}], "frame") == 1


@pytest.mark.parametrize(
    ("messages", "frame", "what"),
    [
        ([USER], "frame", "1 messages and an answer"),
        ([USER, {"role": "assistant", "content": "Other"}], "frame", r"messages\[1\] is not the answer"),
        ([{"role": "user", "content": "Ho"}, ANSWER], "frame", r"messages\[0\] is not what"),
        ([USER, ANSWER], "other", "tools"),
        ([], "frame", "0 were sent"),
        (["nonsense", 1], "frame", r"messages\[0\]"),
    ],
)
def test_what_does_not_continue_is_told_why(messages, frame, what):
    with pytest.raises(Refused, match=what) as refused:
        SESSION.position(messages, frame)
    assert refused.value.status == 409


def test_tool_calls_are_part_of_the_answer_whatever_their_ids_and_spacing():
    def call(number, arguments):
        return {"role": "assistant", "content": None, "tool_calls": [{"id": number, "function": {"name": "f", "arguments": arguments}}]}

    assert message_digest(call("a", '{"x": 1}')) == message_digest(call("b", '{"x":1}'))
    assert message_digest(call("a", '{"x": 1}')) != message_digest(call("a", '{"x": 2}'))
