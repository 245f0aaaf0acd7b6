from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from imagegen.state.upload_queue import UploadQueue

ONE, TWO, IMAGE, OTHER = "1" * 64, "2" * 64, "a" * 64, "b" * 64
STORE = "file:///mnt/our team"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "pending.txt"


def pending(path: Path, store: str = STORE) -> UploadQueue:
    return UploadQueue(path, path.parent / "tmp", store)


def test_what_was_added_is_known_to_the_next_process(path: Path) -> None:
    first = pending(path)
    first.add([(ONE, IMAGE)])
    first.add([(TWO, IMAGE), ("", OTHER)])
    assert first.all() == pending(path).all() == [(ONE, IMAGE), (TWO, IMAGE), ("", OTHER)]
    assert first.blobs() == {IMAGE, OTHER}


def test_what_is_up_goes_when_it_is_folded(path: Path) -> None:
    first = pending(path)
    first.add([(ONE, IMAGE), (TWO, IMAGE)])
    first.remove(ONE, IMAGE)
    assert first.all() == [(TWO, IMAGE)]
    assert pending(path).all() == [(ONE, IMAGE), (TWO, IMAGE)]  # to send it again does no harm
    first.compact()
    assert pending(path).all() == [(TWO, IMAGE)]
    first.remove(TWO, IMAGE)
    first.compact()
    assert not path.exists()


def test_what_went_up_and_is_made_anew_waits_again(path: Path) -> None:
    first = pending(path)
    first.add([(ONE, IMAGE)])
    first.remove(ONE, IMAGE)
    first.add([(ONE, IMAGE)])
    first.compact()
    assert first.all() == pending(path).all() == [(ONE, IMAGE)]


def test_a_line_that_a_kill_cut_off_does_not_run_into_the_next(path: Path) -> None:
    pending(path).add([(ONE, IMAGE)])
    path.write_bytes(path.read_bytes()[:100])
    again = pending(path)
    again.add([(TWO, IMAGE)])
    assert pending(path).all() == [(TWO, IMAGE)]


def test_what_is_no_line_is_passed_over(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\n../../x " + IMAGE.encode() + b"\n\n" + f"{ONE} {IMAGE} {STORE}\n".encode())
    assert pending(path).all() == [(ONE, IMAGE)]


def test_what_another_build_added_meanwhile_stays(path: Path) -> None:
    first = pending(path)
    first.add([(ONE, IMAGE)])
    pending(path).add([(TWO, IMAGE)])
    assert first.all() == [(ONE, IMAGE), (TWO, IMAGE)]
    first.remove(ONE, IMAGE)
    first.compact()
    assert pending(path).all() == [(TWO, IMAGE)]


def test_what_waits_for_one_store_goes_to_no_other(path: Path) -> None:
    ours, theirs = pending(path), pending(path, "s3://team")
    ours.add([(ONE, IMAGE)])
    theirs.add([(ONE, IMAGE), (TWO, OTHER)])
    assert (ours.all(), theirs.all()) == ([(ONE, IMAGE)], [(ONE, IMAGE), (TWO, OTHER)])
    assert ours.blobs() == theirs.blobs() == {IMAGE, OTHER}
    theirs.remove(ONE, IMAGE)
    theirs.compact()
    assert (pending(path).all(), pending(path, "s3://team").all()) == ([(ONE, IMAGE)], [(TWO, OTHER)])


def test_a_list_that_cannot_be_read_is_not_written_over(path: Path) -> None:
    path.mkdir(parents=True)
    first = pending(path)
    assert first.all() == []
    first.remove(ONE, IMAGE)
    for refused in (first.compact, first.blobs, lambda: first.add([(ONE, IMAGE)])):
        with pytest.raises(OSError, match="directory"):
            refused()
    assert path.is_dir()


def test_a_store_that_could_not_be_reached_is_due_again_later_or_when_asked_for(path: Path) -> None:
    first = pending(path)
    assert not first.is_due
    first.add([(ONE, IMAGE)])
    assert first.is_due
    first.pause()
    assert not pending(path).is_due
    other = pending(path, "s3://team")
    other.add([(ONE, IMAGE)])
    assert other.is_due
    (mark,) = (path.parent / "cache").iterdir()
    for age in (601, -3600):  # a clock that was set back must not put it off for ever
        os.utime(mark, (time.time() - age,) * 2)
        assert first.is_due
        os.utime(mark)
        assert not first.is_due
    first.resume()
    first.resume()
    assert first.is_due
