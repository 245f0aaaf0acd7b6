from __future__ import annotations

from pathlib import Path

import pytest

from imagegen.state.written_files import BY_HAND, WrittenFile, WrittenFiles

ONE = WrittenFile("a" * 64, 17, "f" * 64, "2026-01-01T00:00:00.000Z", "placeholder")
OTHER = WrittenFile("b" * 64, 18, "", "-", BY_HAND)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / ".imagegen/placed.txt"


def placed(memory: Path) -> WrittenFiles:
    return WrittenFiles(memory.parents[1], memory, memory.parent / "tmp")


def test_the_last_that_was_put_at_a_path_is_known(memory: Path) -> None:
    found = placed(memory)
    assert found.last("a b.png") is None
    for written_file in (ONE, OTHER):
        found.record({"a b.png": written_file})
    for same in (found, placed(memory)):
        assert same.last("a b.png") == OTHER
        assert same.last("other.png") is None


def test_what_another_process_noted_is_known_once_it_is_asked_for(memory: Path) -> None:
    found = placed(memory)
    found.record({"a.png": ONE})
    assert found.last("a.png") == ONE
    placed(memory).record({"a.png": OTHER})
    found.forget()
    assert found.last("a.png") == OTHER


@pytest.mark.parametrize("cut", range(1, 180, 9))
def test_a_line_that_a_kill_cut_off_costs_no_other(memory: Path, cut: int) -> None:
    placed(memory).record({"a.png": ONE})
    whole = memory.read_bytes()
    placed(memory).record({"b.png": ONE})
    memory.write_bytes(memory.read_bytes()[: len(whole) + cut])
    placed(memory).record({"c.png": OTHER})
    found = placed(memory)
    assert found.last("a.png") == ONE
    assert found.last("c.png") == OTHER


def test_it_is_folded_once_most_of_it_is_not_true_any_more(memory: Path) -> None:
    found = placed(memory)
    (memory.parents[1] / "there.png").write_bytes(b"")
    found.record({"gone.png": ONE})
    for _ in range(1001):
        found.record({"there.png": ONE})
    size = memory.stat().st_size
    found.compact()
    assert memory.stat().st_size < size / 500
    for same in (found, placed(memory)):
        assert same.last("there.png") == ONE
        assert same.last("gone.png") is None


def test_a_short_one_is_left_as_it_is(memory: Path) -> None:
    found = placed(memory)
    for _ in range(9):
        found.record({"there.png": ONE})
    before = memory.read_bytes()
    found.compact()
    assert memory.read_bytes() == before


def test_what_this_process_recorded_is_known_without_reading(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = placed(memory)
    found.record({"a.png": ONE})
    with monkeypatch.context() as patched:
        patched.setattr(WrittenFiles, "_read", lambda _: pytest.fail("it was read"))
        assert found.is_recorded("a.png", ONE.mtime_ns)
    assert not found.is_recorded("a.png", OTHER.mtime_ns)
    assert not found.is_recorded("b.png", ONE.mtime_ns)
    assert placed(memory).is_recorded("a.png", ONE.mtime_ns)
