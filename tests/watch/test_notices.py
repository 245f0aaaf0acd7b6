"""The notice that something changed in a folder, from the real system."""

from __future__ import annotations

import threading
from pathlib import Path

from imagegen.watch.notices import Notices


def test_a_change_in_a_folder_wakes_and_so_does_one_in_another_that_is_followed_later(tmp_path: Path) -> None:
    woken = threading.Event()
    notices = Notices(woken.set)
    try:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            notices.follow({str(tmp_path / name)})
            for _ in range(2):  # it wakes now and then all the same
                woken.clear()
                (tmp_path / name / "file").write_text("new")
                assert woken.wait(60)
        (tmp_path / "second/file").unlink()
        (tmp_path / "second").rmdir()
        woken.clear()
        assert woken.wait(60), "a folder that has gone is no reason to fall asleep"
    finally:
        notices.stop()
