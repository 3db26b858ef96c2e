"""The folder of a build: whole lines only, each key once, one process, one set of settings."""

import os

import pytest

from app.errors import Conflict, NotFound, StorageError
from infra.training.mementos.journal import DROPPED, KEPT, SETTINGS, Journal, read_folder


def record(i, **more):
    return {"key": f"k{i}", "text": "é\u2028\r\n" * i, **more}


def keys(folder):
    _, kept, dropped = read_folder(folder)
    return [r["key"] for r in kept], [r["key"] for r in dropped]


def test_records_are_on_disk_when_they_are_kept(tmp_path):
    with Journal(tmp_path / "out", {"a": 1}) as journal:
        journal.keep(record(1))
        journal.drop(record(2))
        assert keys(tmp_path / "out") == (["k1"], ["k2"])
    with Journal(tmp_path / "out", {"a": 1}) as journal:
        assert journal.done == {"k1", "k2"}


@pytest.mark.parametrize("torn", [b'{"key": "k', b"x" * 200_000, b'{"key": "k9"}', b"\0" * 70_000])
def test_a_torn_line_is_cut_away_and_its_record_done_again(tmp_path, torn):
    with Journal(tmp_path, {}) as journal:
        journal.keep(record(1))
    with (tmp_path / KEPT).open("ab") as stream:
        stream.write(torn)
    assert keys(tmp_path) == (["k1"], [])
    with Journal(tmp_path, {}) as journal:
        assert journal.done == {"k1"}
        journal.keep(record(9))
    assert keys(tmp_path) == (["k1", "k9"], [])


def test_a_file_of_one_torn_line_becomes_empty(tmp_path):
    with Journal(tmp_path, {}):
        pass
    (tmp_path / DROPPED).write_bytes(b"{" * 100_000)
    with Journal(tmp_path, {}) as journal:
        assert journal.done == set() and (tmp_path / DROPPED).stat().st_size == 0


def test_a_record_cannot_be_doubled(tmp_path):
    with Journal(tmp_path, {}) as journal:
        journal.keep(record(1))
        for again in (journal.keep, journal.drop):
            with pytest.raises(Conflict):
                again(record(1))
    assert keys(tmp_path) == (["k1"], [])


def test_a_damaged_line_is_named_and_nothing_is_changed(tmp_path):
    with Journal(tmp_path, {}) as journal:
        journal.keep(record(1))
    content = b"{damaged}\n" + (tmp_path / KEPT).read_bytes()
    (tmp_path / KEPT).write_bytes(content)
    with pytest.raises(StorageError, match="Line 1"), Journal(tmp_path, {}):
        pass
    assert (tmp_path / KEPT).read_bytes() == content


def test_other_settings_are_refused_and_named(tmp_path):
    with Journal(tmp_path, {"teacher": "a", "prompts": {"x": "1"}}):
        pass
    with pytest.raises(Conflict, match="teacher 'a', now 'b'"), Journal(tmp_path, {"teacher": "b", "prompts": {"x": "1"}}):
        pass


def test_one_process_at_a_time(tmp_path):
    with Journal(tmp_path, {}), pytest.raises(Conflict, match="Another process"), Journal(tmp_path, {}):
        pass


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_is_said_and_leaves_whole_lines(tmp_path, monkeypatch, call):
    real = os.write

    def full(descriptor, data=b""):
        if data:
            return real(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with Journal(tmp_path, {}) as journal:
        journal.keep(record(1))
        monkeypatch.setattr(os, call, full)
        with pytest.raises(StorageError, match="No space"):
            journal.keep(record(2))
        monkeypatch.undo()
        journal.keep(record(3))  # another record that was in flight
    assert keys(tmp_path) == (["k1", "k3"], [])


def test_damaged_settings_are_said(tmp_path):
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(StorageError, match="damaged"), Journal(tmp_path, {}):
        pass


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(NotFound, match="no build"):
        read_folder(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"), Journal(tmp_path / "file" / "out", {}):
        pass
