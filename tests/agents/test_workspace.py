"""The workspace cannot be left."""

import os

import pytest

from agents.files.workspace import READ_LIMIT, Workspace
from agents.safety.gate import Gate
from agents.safety.grants import Grants
from app.errors import WorkspaceError
from app.schemas import Action, Effect, Policy


def write(space: Workspace, path: str, text: str) -> None:
    action = Action(id="a", agent="files", kind="files.write", effect=Effect.WRITE, target=path, arguments={"text": text})
    gate = Gate(Policy.ALLOW_LISTED, Grants())
    gate.follow([f"Write {path}."], [])
    permit = gate.judge(action).permit
    assert permit is not None
    space.write(path, text, permit, action)


def test_text_comes_back_as_written(tmp_path):
    space = Workspace(tmp_path)
    write(space, "a/b/ünï.txt", "héllo\n")
    assert space.read("a/b/ünï.txt") == "héllo\n" and space.names() == ["a/b/ünï.txt"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", ".", "./", "a/.."])
def test_paths_that_lead_out_or_to_no_file_are_refused(tmp_path, path):
    with pytest.raises(WorkspaceError):
        Workspace(tmp_path).read(path)


def test_links_are_neither_followed_nor_listed(tmp_path):
    outside = tmp_path / "secret"
    outside.write_text("secret")
    space = Workspace(tmp_path / "w")
    os.symlink(outside, space.root / "link")
    os.symlink(tmp_path, space.root / "folder")
    assert space.names() == []
    for path in ("link", "folder/secret"):
        with pytest.raises(WorkspaceError):
            space.read(path)
    with pytest.raises(WorkspaceError):
        write(space, "link", "x")
    assert outside.read_text() == "secret"


def test_pipes_and_folders_do_not_hang(tmp_path):
    space = Workspace(tmp_path)
    os.mkfifo(space.root / "pipe")
    (space.root / "folder").mkdir()
    for path in ("pipe", "folder", "missing.txt"):
        with pytest.raises(WorkspaceError):
            space.read(path)


def test_binary_files_are_told_from_text(tmp_path):
    space = Workspace(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"\x7fELF\0\0\0")
    with pytest.raises(WorkspaceError, match="not a text file"):
        space.read("x.bin")


def test_large_files_are_cut_and_say_so(tmp_path):
    (tmp_path / "big.txt").write_bytes(b"a" * (READ_LIMIT + 10))
    assert Workspace(tmp_path).read("big.txt").endswith("bytes]")


def test_the_header_of_a_table_is_a_hint(tmp_path):
    (tmp_path / "t.csv").write_text("id,total\n1,2\n")
    assert Workspace(tmp_path).header("t.csv") == "id,total"
