"""Reading and writing a host directory that may hold links somebody else made."""

import os
from pathlib import Path

import pytest

from agents.sandbox.workspace import Entry, arrival, contents, opened, remove, safe_listing
from app.errors import WorkspaceError


def test_a_listing_names_links_and_follows_none(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f.txt").write_text("12345")
    (tmp_path / "d" / "f.txt").chmod(0o755)
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "etc").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    listing = safe_listing(tmp_path)
    assert [(entry.path, entry.size, entry.executable) for entry in listing.files] == [("d/f.txt", 5, True)]
    assert listing.directories == ("d",) and listing.size == 5
    assert listing.left_out == ("etc: symbolic link", "loop: symbolic link", "pipe: not a regular file")


def test_a_missing_directory_is_a_workspace_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be opened"):
        safe_listing(tmp_path / "absent")


def test_a_file_that_becomes_a_link_after_the_listing_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    place = tmp_path / "workspace"
    place.mkdir()
    (place / "f").symlink_to(tmp_path / "secret")
    with opened(place) as root, pytest.raises(WorkspaceError, match="cannot be read"):
        list(contents(root, Entry("f", 4, False, 0)))


def test_a_file_that_shrinks_after_the_listing_is_an_error_not_a_short_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("12")
    with opened(tmp_path) as root, pytest.raises(WorkspaceError, match="became shorter"):
        list(contents(root, Entry("f", 4, False, 0)))


def test_an_arrival_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    with opened(tmp_path) as root, pytest.raises(RuntimeError), arrival(root, "f", False) as file:
        file.write(b"half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["f"] and (tmp_path / "f").read_text() == "old"


def test_removing_says_whether_something_went(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").touch()
    with opened(tmp_path) as root:
        assert [remove(root, path) for path in ("d", "d/f", "d/f", "d")] == [False, True, False, True]
