from __future__ import annotations

from pathlib import Path

from imagegen.backends.own_server import OwnServer


def test_a_log_that_is_not_there_has_no_end(tmp_path: Path) -> None:
    assert OwnServer("It", tmp_path, Path("server.log"), "", "").log_tail() == []
