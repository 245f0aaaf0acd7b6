from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from imagegen.state.journal import Journal, JournalContent, NewerVersionError
from tests.faults.failing import FULL, Failing
from tests.state.waiting import HeldSync, wait_until


def parse(line: bytes) -> int:
    found = json.loads(line)
    if found == 99:
        raise NewerVersionError(99)
    return int(found["n"])


def dump(entry: int) -> bytes:
    return json.dumps({"n": entry}).encode()


@pytest.fixture
def journal(tmp_path: Path) -> Journal[int]:
    return Journal(tmp_path / "new" / "lines", parse, dump)


def test_entries_are_read_in_the_order_in_which_they_were_appended(journal: Journal[int]) -> None:
    assert journal.read() == JournalContent([])
    journal.append(1)
    journal.append(2, 3)
    assert journal.read() == JournalContent([1, 2, 3])
    assert journal.path.read_bytes() == b'{"n": 1}\n{"n": 2}\n{"n": 3}\n'


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_last_line_that_was_cut_off_never_counts_and_goes_before_anything_is_appended(
    journal: Journal[int], cut: int
) -> None:
    journal.append(1, 2)
    journal.path.write_bytes(journal.path.read_bytes()[: -cut - 1])
    assert journal.read() == JournalContent([1], truncated_at=None if cut == 8 else 9)
    journal.append(3)
    assert journal.path.read_bytes() == b'{"n": 1}\n{"n": 3}\n'


def test_a_last_line_that_only_lacks_its_newline_counts_and_gets_it(journal: Journal[int]) -> None:
    journal.append(1)
    journal.path.write_bytes(b'{"n": 1}')
    assert journal.read() == JournalContent([1], missing_newline=True)
    journal.append(2)
    assert journal.path.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


def test_lines_that_cannot_be_read_are_passed_over_or_refused_with_their_number(journal: Journal[int]) -> None:
    journal.append(1)
    journal.path.write_bytes(b'\n{"n": 1}\r\nnonsense\n{"m": 2}\n{"n": 3}\n')
    assert journal.read() == JournalContent([1, 3])

    def refuse(number: int, line: bytes, error: Exception) -> NoReturn:
        raise RuntimeError(f"{number}: {line!r}: {type(error).__name__}")

    with pytest.raises(RuntimeError, match="3: b'nonsense': JSONDecodeError"):
        journal.read(refuse)


def test_a_line_of_a_later_version_is_never_taken_for_one_that_was_cut_off(journal: Journal[int]) -> None:
    journal.append(1)
    journal.path.write_bytes(b'{"n": 1}\n99')
    assert journal.read() == JournalContent([1], missing_newline=True)


def test_compacting_replaces_the_file_and_removes_one_with_nothing_left(journal: Journal[int], tmp_path: Path) -> None:
    journal.append(1, 2, 3)
    written = journal.compact([3, 1], tmp_path / "tmp")
    assert written is not None
    assert (journal.read().entries, written.st_ino) == ([3, 1], journal.path.stat().st_ino)
    assert journal.compact([], tmp_path / "tmp") is None
    assert not journal.path.exists()


def test_lines_that_find_no_room_leave_nothing_of_themselves(
    journal: Journal[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(1)
    full = Failing(tmp_path, FULL, after=0)
    with full.failing(monkeypatch), pytest.raises(OSError, match=r"No space left on device: '.*lines'"):
        journal.append(2, 3)
    assert full.failed == ["write new/lines"]
    assert journal.path.read_bytes() == b'{"n": 1}\n'


def test_threads_that_append_at_the_same_time_wait_for_the_disk_together(
    journal: Journal[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(0)
    held = HeldSync()
    with held.holding(monkeypatch), ThreadPoolExecutor(9) as pool:
        first = pool.submit(journal.append, 1)
        assert held.begun.wait(60)
        others = [pool.submit(journal.append, number) for number in range(2, 10)]
        wait_until(lambda: len(journal.read().entries) == 10)
        assert not any(one.done() for one in (first, *others)), "nobody returns before the lines are on disk"
        held.go_on.set()
        for one in (first, *others):
            one.result(60)
    assert held.count == 2, "the sync under way did not cover what was written during it"
    assert sorted(journal.read().entries) == list(range(10))
    journal.append(10)


def test_lines_that_cannot_be_synced_are_cut_off_with_all_that_came_after_them(
    journal: Journal[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(1)
    held = HeldSync(OSError(errno.EIO, os.strerror(errno.EIO)))
    with held.holding(monkeypatch), ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(journal.append, 2)]
        assert held.begun.wait(60)
        futures += [pool.submit(journal.append, number) for number in (3, 4, 5)]
        wait_until(lambda: len(journal.read().entries) == 5)
        held.go_on.set()
        errors = [one.exception(60) for one in futures]
    assert [isinstance(error, OSError) and error.filename for error in errors] == [str(journal.path)] * 4
    assert journal.read() == JournalContent([1])
    journal.append(6)
    assert journal.read() == JournalContent([1, 6])


def test_a_file_that_cannot_be_read_is_not_written_over(journal: Journal[int]) -> None:
    journal.path.mkdir(parents=True)
    for use in (journal.read, lambda: journal.append(1)):
        with pytest.raises(OSError, match="directory"):
            use()
