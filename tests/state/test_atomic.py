from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.state.atomic import replace_file


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
