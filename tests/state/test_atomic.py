from __future__ import annotations

import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagegen.errors import InputError
from imagegen.state.atomic import find_target, replace_file, rewrite_file


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "out" / "a.png"
    replace_file(target, b"one", tmp_path / "tmp")
    stat = replace_file(target, b"other", tmp_path / "tmp")
    assert target.read_bytes() == b"other"
    assert (stat.st_ino, stat.st_size) == (target.stat().st_ino, 5)
    assert list((tmp_path / "out").iterdir()) == [target]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_target_that_is_a_folder_is_left_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="directory"):
        replace_file(tmp_path / "out", b"x", tmp_path / "tmp")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def special(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Yield what is neither a file nor a folder, links to it among them; a device only where one may be made."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("fifo")
    Path("link").symlink_to("fifo")
    found = [tmp_path / "fifo", tmp_path / "link", tmp_path / "socket"]
    try:
        os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        found.append(tmp_path / "null")
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        yield found


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these in its folders")
def test_a_device_a_pipe_and_a_socket_are_never_replaced(special: list[Path], tmp_path: Path) -> None:
    before = [path.lstat() for path in special]
    for path in special:
        for write in (replace_file, rewrite_file):
            with pytest.raises(OSError, match="is a device, a pipe or a socket"):
                write(path, b"x", tmp_path / "tmp")
        with pytest.raises(InputError, match="--out: is a device, a pipe or a socket"):
            find_target(tmp_path, path, "--out")
    assert [path.lstat() for path in special] == before


def test_what_a_link_leads_to_is_rewritten_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    for data in (b"one", b"other"):
        rewrite_file(tmp_path / "link", data, tmp_path / "tmp")
        assert (tmp_path / "file").read_bytes() == data
    assert (tmp_path / "link").is_symlink()
    assert find_target(tmp_path, "link", "--out") == tmp_path / "link"


def test_a_file_that_a_person_names_may_be_anywhere_but_folders_are_created_only_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, home = tmp_path / "project", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    (root / "link").symlink_to(tmp_path / "nowhere/x.md")
    for named, path in (
        ("new/folders/x.md", root / "new/folders/x.md"),
        ("../x.md", root / "../x.md"),
        (str(tmp_path / "x.md"), tmp_path / "x.md"),
        ("~/x.md", home / "x.md"),
    ):
        assert find_target(root, named, "--out") == path
    for named, message in (
        ("../nowhere/x.md", f"--out: there is no folder {tmp_path.resolve() / 'nowhere'}, and outside the project"),
        ("~/nowhere/x.md", "there is no folder"),
        ("link", "there is no folder"),
        ("~", "is a folder"),
        (".git/x.md", ".git/ is not for files of yours"),
        (".IMAGEGEN/x.md", ".imagegen/ is not for files of yours"),
        ("assets/gallery/x.md", "assets/gallery/ is not for files of yours"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            find_target(root, named, "--out")
    assert find_target(root, "~/skills/own/x.md", "--out", new_folders=2) == home / "skills/own/x.md"
    with pytest.raises(InputError, match="there is no folder"):
        find_target(root, "~/.agent/skills/own/x.md", "--out", new_folders=2)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["home", "link", "project"]
