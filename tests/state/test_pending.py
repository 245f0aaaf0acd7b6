from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.state.pending import Pending

ONE, TWO, IMAGE = "1" * 64, "2" * 64, "a" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pending.txt"


def pending(path: Path) -> Pending:
    return Pending(path, path.parent / "tmp")


def test_what_was_added_is_known_to_the_next_process(path: Path) -> None:
    first = pending(path)
    first.add(ONE, IMAGE)
    first.add(TWO, IMAGE)
    assert first.all() == pending(path).all() == [(ONE, IMAGE), (TWO, IMAGE)]


def test_what_is_up_goes_when_it_is_folded(path: Path) -> None:
    first = pending(path)
    first.add(ONE, IMAGE)
    first.add(TWO, IMAGE)
    first.remove(ONE, IMAGE)
    assert first.all() == [(TWO, IMAGE)]
    assert pending(path).all() == [(ONE, IMAGE), (TWO, IMAGE)]  # to send it again does no harm
    first.fold()
    assert pending(path).all() == [(TWO, IMAGE)]
    first.remove(TWO, IMAGE)
    first.fold()
    assert not path.exists()


def test_a_line_that_a_kill_cut_off_does_not_run_into_the_next(path: Path) -> None:
    pending(path).add(ONE, IMAGE)
    path.write_bytes(path.read_bytes()[:-20])
    again = pending(path)
    again.add(TWO, IMAGE)
    assert pending(path).all() == [(TWO, IMAGE)]


def test_what_is_no_line_is_passed_over(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\n../../x " + IMAGE.encode() + b"\n\n" + f"{ONE} {IMAGE}\n".encode())
    assert pending(path).all() == [(ONE, IMAGE)]


def test_what_another_build_wrote_is_read_after_forgetting(path: Path) -> None:
    first = pending(path)
    assert first.all() == []
    pending(path).add(ONE, IMAGE)
    first.forget()
    assert first.all() == [(ONE, IMAGE)]
