from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import pytest

from imagegen.state.attempts import Attempts, Failure, read_failures, update_failures


def attempts(folder: Path) -> Attempts:
    """As a process that begins now reads them."""
    return Attempts(folder / "attempts.jsonl", folder / "tmp")


def opened(of: Attempts, image: str = "f path", forced: bool = False, done: Container[str] = ()) -> str:
    return of.open(image, forced=forced, done=done)


def test_an_attempt_that_a_kill_cut_off_is_the_same_again(tmp_path: Path) -> None:
    first = opened(attempts(tmp_path))
    assert opened(attempts(tmp_path)) == first
    assert opened(attempts(tmp_path), forced=True) == first  # the killed one was a new one already


def test_it_is_on_disk_before_it_is_told(tmp_path: Path) -> None:
    opened(attempts(tmp_path))
    assert b'"open":true' in (tmp_path / "attempts.jsonl").read_bytes()


def test_the_first_attempt_at_an_image_is_the_same_on_every_machine(tmp_path: Path) -> None:
    assert opened(attempts(tmp_path / "a")) == opened(attempts(tmp_path / "b"))
    assert opened(attempts(tmp_path / "a"), "other") != opened(attempts(tmp_path / "b"))


def test_after_a_failure_it_is_another(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    first = opened(one)
    one.close("f path", made=False)
    second = opened(attempts(tmp_path))
    assert second != first
    assert opened(attempts(tmp_path)) == second


def test_an_attempt_is_open_until_it_is_closed_or_its_image_is_in_the_store(tmp_path: Path) -> None:
    assert not attempts(tmp_path).is_open("f path", ())
    first = opened(attempts(tmp_path))
    assert attempts(tmp_path).is_open("f path", ())
    assert not attempts(tmp_path).is_open("f path", {first})
    attempts(tmp_path).close("f path", made=False)
    assert not attempts(tmp_path).is_open("f path", ())


def test_an_image_made_anew_is_another_even_where_nothing_is_remembered(tmp_path: Path) -> None:
    assert opened(attempts(tmp_path / "a"), forced=True) != opened(attempts(tmp_path / "b"))


def test_an_attempt_whose_image_is_in_the_store_is_over(tmp_path: Path) -> None:
    first = opened(attempts(tmp_path))
    again = opened(attempts(tmp_path), forced=True, done={first})
    assert again != first


def test_folding_keeps_what_is_under_way_and_what_failed(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    under_way, failed = opened(one, "under way"), opened(one, "failed")
    opened(one, "made")
    one.close("failed", made=False)
    one.close("made", made=True)
    one.compact()
    assert len((tmp_path / "attempts.jsonl").read_text().splitlines()) == 2
    assert opened(attempts(tmp_path), "under way") == under_way
    assert opened(attempts(tmp_path), "failed") != failed


def test_with_nothing_to_keep_there_is_no_file(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    opened(one)
    one.close("f path", made=True)
    one.compact()
    assert not (tmp_path / "attempts.jsonl").exists()


@pytest.mark.parametrize("torn", [b'{"image":"f pa', b"\xff\n", b"[]\n", b'{"image":"f path"}\n'])
def test_a_line_that_cannot_be_read_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    first = opened(attempts(tmp_path))
    with (tmp_path / "attempts.jsonl").open("ab") as file:
        file.write(torn)
    one = attempts(tmp_path)
    assert opened(one) == first
    one.close("f path", made=False)
    assert opened(attempts(tmp_path)) != first  # what was written after the torn line is read


def test_where_an_attempt_is_made_is_known_after_a_kill(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    first = one.open("f path", forced=False, done=(), server="http://a")
    assert attempts(tmp_path).server("f path", ()) == "http://a"
    assert opened(attempts(tmp_path)) == first
    assert attempts(tmp_path).server("f path", ()) == "http://a"
    assert one.open("f path", forced=False, done=(), server="http://b") == first
    assert attempts(tmp_path).server("f path", ()) == "http://b"


def test_folding_keeps_where_it_is_made(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    one.open("f path", forced=False, done=(), server="http://a")
    one.compact()
    assert attempts(tmp_path).server("f path", ()) == "http://a"


def test_an_attempt_that_is_over_is_made_nowhere(tmp_path: Path) -> None:
    one = attempts(tmp_path)
    attempt = one.open("f path", forced=False, done=(), server="http://a")
    assert one.server("f path", {attempt}) == ""
    one.close("f path", made=False)
    assert attempts(tmp_path).server("f path", ()) == ""
    opened(one)
    assert attempts(tmp_path).server("f path", ()) == ""


def test_a_line_of_an_earlier_release_tells_no_place(tmp_path: Path) -> None:
    (tmp_path / "attempts.jsonl").write_text('{"image":"f path","number":1,"open":true}\n')
    assert attempts(tmp_path).server("f path", ()) == ""
    assert opened(attempts(tmp_path)) == opened(attempts(tmp_path / "other"))


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
