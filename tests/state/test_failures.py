from __future__ import annotations

from pathlib import Path

from imagegen.state.failures import Failure, read_failures, update_failures

ONE, OTHER = Failure("f1", "out of memory", "buy more"), Failure("f2", "no such model")


def test_what_failed_is_known_until_it_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "cache/failures.json"
    assert read_failures(path) == {}
    update_failures(path, tmp_path / "tmp", {"a:x": ONE, "a:y": OTHER}, ())
    assert read_failures(path) == {"a:x": ONE, "a:y": OTHER}
    update_failures(path, tmp_path / "tmp", {"a:y": ONE}, {"a:x"})
    assert read_failures(path) == {"a:y": ONE}
    update_failures(path, tmp_path / "tmp", {}, {"a:y"})
    assert not path.exists()


def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "failures.json"
    for text in ("", "[]", '{"a": {"unknown": 1}}', '{"a": 1}', "\ufffd"):
        path.write_text(text, "utf-8")
        assert read_failures(path) == {}


def test_where_nothing_changes_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "failures.json"
    update_failures(path, tmp_path / "tmp", {}, {"a:x"})
    assert not path.exists()
    update_failures(path, tmp_path / "tmp", {"a:x": ONE}, ())
    before = path.stat().st_ino
    update_failures(path, tmp_path / "tmp", {"a:x": ONE}, ())
    assert path.stat().st_ino == before
