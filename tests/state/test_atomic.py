from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.state.atomic import append_line, replace_file
from tests.faults.failing import FULL, Failing


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


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in (b"one", b"two"):
        append_line(tmp_path / "new" / "file", line)
    assert (tmp_path / "new" / "file").read_bytes() == b"one\ntwo\n"


def test_a_line_that_finds_no_room_leaves_nothing_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    append_line(path, b"whole")
    full = Failing(tmp_path, FULL, after=0)
    with full.failing(monkeypatch), pytest.raises(OSError, match=r"No space left on device: '.*lines'"):
        append_line(path, b"one that is cut off")
    assert full.failed == ["write lines"]
    assert path.read_bytes() == b"whole\n"
