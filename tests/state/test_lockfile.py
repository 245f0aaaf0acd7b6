from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegen.config.job import Encoding
from imagegen.errors import ImagegenError
from imagegen.plan.record import Decision, OutputLine
from imagegen.plan.request import Request
from imagegen.state import lockfile
from imagegen.state.hashes import stat_key
from imagegen.state.lock_line import parse_line
from imagegen.state.lockfile import LockFile, read_lock_file
from tests.state.waiting import HeldSync

LINE = OutputLine(
    "assets/j/a.png", "a", "f1", Encoding(), {"backend": "b", "prompt": "ä “x”\nü", "seed": 1}, "aa", 9, None, "1", 0.5, "2026-01-02T00:00:00Z"
)  # fmt: skip
NEWER = replace(LINE, sha256="bb", fingerprint="f2", time="2026-01-03T00:00:00Z")


def lock(path: Path) -> LockFile:
    return read_lock_file("jobs/j.lock", path / "j.lock")


def test_what_was_appended_reads_back(tmp_path: Path) -> None:
    written = lock(tmp_path)
    seed = Decision("seed", "a", 77, "2026-01-01T00:00:00Z")
    for entry in (LINE, seed, NEWER):
        written.append(entry)
    assert written.lines == lock(tmp_path).lines == {LINE.path: [LINE, NEWER]}
    assert lock(tmp_path).decisions == {("seed", "a"): seed}


def test_of_two_decisions_of_one_time_the_one_that_was_appended_last_counts(tmp_path: Path) -> None:
    written = lock(tmp_path)
    for seed in (1, 2):
        written.append(Decision("seed", "a", seed, "2026-01-01T00:00:00Z"))
    assert written.decisions["seed", "a"].value == lock(tmp_path).decisions["seed", "a"].value == 2


TEXTS = st.text(st.characters(codec="utf-8"))
KEYS = TEXTS.filter(lambda key: key not in Request.__dataclass_fields__)  # whose types are checked
SLUGS = st.from_regex(r"[a-z0-9:-]+", fullmatch=True)
VALUES = TEXTS | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.none()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.dictionaries(KEYS, VALUES), SLUGS, st.none() | TEXTS, st.floats(0, 1e6))
def test_any_line_reads_back_as_it_was_written(
    tmp_path: Path, request: dict[str, Any], slug: str, digest: str | None, seconds: float
) -> None:
    (tmp_path / "j.lock").unlink(missing_ok=True)
    line = replace(LINE, request=request, output=slug, model_digest=digest, seconds=seconds)
    lock(tmp_path).append(line)
    assert lock(tmp_path).lines[LINE.path] == [line]


def test_the_line_of_the_file_on_disk_counts_else_the_newest(tmp_path: Path) -> None:
    for order in ([LINE, NEWER], [NEWER, LINE]):
        found = read_lock_file("l", tmp_path / f"{order[0].sha256}.lock")
        for line in order:
            found.append(line)
        assert found.line_of(LINE.path, "aa") == LINE
        assert found.line_of(LINE.path, "bb") == NEWER
        assert found.line_of(LINE.path, "cc") == NEWER
        assert found.line_of(LINE.path, None) == NEWER
        assert found.line_of("elsewhere", None) is None


def test_its_lines_can_be_gone_through_while_others_append(tmp_path: Path) -> None:
    file = lock(tmp_path)
    file.append(LINE)
    for line in file.sample(9):
        file.append(replace(line, path="assets/other.png"))
    assert [line.path for line in file.sample(9)] == [LINE.path, "assets/other.png"]
    assert lock(tmp_path / "empty").sample(9) == []


def test_a_line_counts_once_it_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = lock(tmp_path)
    written.append(LINE)
    held = HeldSync()
    with held.holding(monkeypatch), ThreadPoolExecutor(1) as pool:
        appended = pool.submit(written.append, NEWER)
        assert held.begun.wait(60)
        assert not written.owns(NEWER.path, NEWER.sha256)
        held.go_on.set()
        appended.result(60)
    assert written.owns(NEWER.path, NEWER.sha256)


def test_folding_keeps_the_line_that_counts_sorted_and_the_decisions(tmp_path: Path) -> None:
    found = lock(tmp_path)
    other = replace(LINE, path="assets/j/Z.png", output="z")
    for entry in (other, NEWER, LINE, Decision("seed", "a", 1, "t1"), Decision("seed", "a", 2, "t2")):
        found.append(entry)
    found.compact({LINE.path: "aa"}.get, tmp_path / "tmp")
    assert not lock(tmp_path).needs_compaction
    assert lock(tmp_path).lines == {other.path: [other], LINE.path: [LINE]}
    assert lock(tmp_path).decisions[("seed", "a")].value == 2
    kinds = ["decision" in json.loads(line) for line in (tmp_path / "j.lock").read_text().splitlines()]
    assert kinds == [True, False, False]


def test_folding_is_stable(tmp_path: Path) -> None:
    found = lock(tmp_path)
    for entry in (NEWER, LINE):
        found.append(entry)
    found.compact(lambda _: None, tmp_path / "tmp")
    before = (tmp_path / "j.lock").read_bytes()
    lock(tmp_path).compact(lambda _: None, tmp_path / "tmp")
    assert (tmp_path / "j.lock").read_bytes() == before


def test_forgetting_drops_lines_and_keeps_decisions(tmp_path: Path) -> None:
    found = lock(tmp_path)
    for entry in (LINE, Decision("seed", "a", 1, "t")):
        found.append(entry)
    found.forget([LINE.path], tmp_path / "tmp")
    assert (lock(tmp_path).lines, len(lock(tmp_path).decisions)) == ({}, 1)
    found.decisions.clear()
    found.forget([], tmp_path / "tmp")
    assert not (tmp_path / "j.lock").exists()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_never_counts_and_is_cut_off_before_anything_is_appended(tmp_path: Path, cut: int) -> None:
    found = lock(tmp_path)
    found.append(LINE)
    found.append(NEWER)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes()[: -cut - 1])
    assert lock(tmp_path).lines == {LINE.path: [LINE]}
    assert lock(tmp_path).needs_compaction
    lock(tmp_path).append(NEWER)
    assert lock(tmp_path).lines == {LINE.path: [LINE, NEWER]}
    assert len(file.read_bytes().splitlines()) == 2


def test_a_last_line_that_only_lacks_its_newline_counts(tmp_path: Path) -> None:
    lock(tmp_path).append(LINE)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert lock(tmp_path).lines == {LINE.path: [LINE]}
    lock(tmp_path).append(NEWER)
    assert lock(tmp_path).lines == {LINE.path: [LINE, NEWER]}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (b"<<<<<<< HEAD\n", "has unresolved merge-conflict markers"),
        (b'{"v":2}\n', "written by a newer imagegen"),
        (b"garbage\n", "not a line of a lock file: it is not valid JSON"),
        (b"[1]\n", "not a line of a lock file: it is not a JSON object"),
        (b'{"v":1}\n', "not a line of a lock file: it has no 'path'"),
        (b"\xff\xfe\n", "not a line of a lock file"),
    ],
)
def test_what_is_no_lock_file_is_refused_in_its_place(tmp_path: Path, bad: bytes, what: str) -> None:
    lock(tmp_path).append(LINE)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes() + bad + file.read_bytes())
    with pytest.raises(ImagegenError) as caught:
        lock(tmp_path)
    assert caught.value.problems[0].where == "jobs/j.lock:2"
    assert caught.value.problems[0].what.startswith(what)


def test_a_field_of_a_wrong_type_is_refused(tmp_path: Path) -> None:
    lock(tmp_path).append(LINE)
    file = tmp_path / "j.lock"
    file.write_text(file.read_text().replace('"size":9', '"size":"9"'))
    with pytest.raises(ImagegenError, match="its 'size' is"):
        lock(tmp_path)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"backend_version": 2}, "its 'backend_version' is 2"),
        ({"seconds": float("nan")}, "Out of range"),
        ({"seconds": True}, "its 'seconds' is true"),
        ({"seconds": -1.0}, "its 'seconds' is -1.0"),
        ({"seconds": "x"}, "its 'seconds' is"),
        ({"time": 5}, "its 'time' is 5"),
        ({"model_digest": b"ab"}, "not JSON serializable"),
        ({"request": {"prompt": "\ud800"}}, "half of a surrogate pair"),
        ({"request": {"prompt": 5}}, "its 'request.prompt' is 5"),
        ({"request": {1: "a", "b": "c"}}, "not supported between"),
        ({"fingerprint": "../../x"}, "its 'fingerprint' is not a hash"),
        ({"sha256": "a/b"}, "its 'sha256' is not a hash"),
        ({"path": "a/" + "b" * 300}, "its 'path' is not the path of a file"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, odd: dict[str, Any], message: str) -> None:
    written = lock(tmp_path)
    written.append(LINE)
    with pytest.raises(ImagegenError, match="unreadable") as caught:
        written.append(replace(NEWER, **odd))
    assert message in caught.value.problems[0].what
    assert lock(tmp_path).lines == written.lines == {LINE.path: [LINE]}


@pytest.mark.parametrize("version", ["true", "0", "-1", '"1"', "null", "1.0"])
def test_a_line_of_no_version_is_refused(tmp_path: Path, version: str) -> None:
    (tmp_path / "j.lock").write_text(f'{{"v":{version}}}\n')
    with pytest.raises(ImagegenError, match="no version"):
        lock(tmp_path)


def test_carriage_returns_of_a_checkout_do_no_harm(tmp_path: Path) -> None:
    lock(tmp_path).append(LINE)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert lock(tmp_path).lines == {LINE.path: [LINE]}


@pytest.mark.parametrize(
    ("kind", "value", "reads"),
    [
        ("pick", 3, True),
        ("pick", 0, True),
        ("pick", "3", False),
        ("pick", True, False),
        ("reroll", 2**32, True),
        ("reroll", None, True),
        ("reroll", -1, False),
        ("accept", {"fingerprint": "f", "sha256": "s"}, True),
        ("accept", None, True),
        ("accept", {"fingerprint": "f"}, False),
        ("accept", "s", False),
        ("of a later release", [1], True),
    ],
)
def test_decisions_that_make_no_sense_are_refused_and_unknown_ones_kept(
    tmp_path: Path, kind: str, value: Any, reads: bool
) -> None:
    decision = Decision(kind, "a", value, "2026-01-01T00:00:00Z")
    if not reads:
        with pytest.raises(ImagegenError, match=f"its {kind} is"):
            lock(tmp_path).append(decision)
        line = {"v": 1, "decision": kind, "output": "a", "value": value, "time": ""}
        (tmp_path / "j.lock").write_text(json.dumps(line) + "\n")
        with pytest.raises(ImagegenError, match=f"its {kind} is"):
            lock(tmp_path)
        return
    lock(tmp_path).append(decision)
    lock(tmp_path).compact(lambda _: None, tmp_path / "tmp")
    assert lock(tmp_path).decisions[kind, "a"].value == value


# --- a file that is known to be sound


def sound(path: Path) -> LockFile:
    return read_lock_file("jobs/j.lock", path / "j.lock", stat_key(path / "j.lock"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the lines that were parsed since."""
    found: list[bytes] = []

    def parse(raw: bytes) -> OutputLine | Decision:
        found.append(raw)
        return parse_line(raw)

    monkeypatch.setattr(lockfile, "parse_line", parse)
    return found


def write_many(path: Path, count: int = 9) -> list[OutputLine]:
    lines = [replace(LINE, path=f"assets/j/{n}.png", sha256=f"s{n}", fingerprint=f"f{n}") for n in range(count)]
    written = lock(path)
    written.append(Decision("seed", "a", 77, "2026-01-01T00:00:00Z"))
    for line in lines:
        written.append(line)
    written.compact(lambda _: None, path / "tmp")
    return lines


def test_of_a_sound_file_only_decisions_and_what_is_asked_for_is_parsed(tmp_path: Path, parsed: list[bytes]) -> None:
    lines = write_many(tmp_path)
    parsed.clear()
    found = sound(tmp_path)
    assert found.decisions == lock(tmp_path).decisions
    assert not found.needs_compaction
    parsed.clear()
    found = sound(tmp_path)
    assert len(parsed) == 1
    assert found.line_of(lines[3].path, None) == lines[3]
    assert found.owns(lines[3].path, "s3")
    assert "elsewhere" not in found.lines
    assert (len(found.lines), list(found.lines)) == (9, [line.path for line in lines])
    assert found.peek("fingerprint") == [(line.fingerprint, line.path) for line in lines]
    assert found.peek("sha256") == [(line.sha256, line.path) for line in lines]
    assert len(parsed) == 3
    assert found.sample(99) == lines
    assert found.sample(9) == lines
    assert found.sample(5) == lines[::2]
    assert found.sample(1) == lines[:1]


def test_a_sound_file_is_compacted_without_parsing_what_did_not_change(tmp_path: Path, parsed: list[bytes]) -> None:
    lines = write_many(tmp_path)
    before = (tmp_path / "j.lock").read_bytes().splitlines()
    found = sound(tmp_path)
    newer = replace(lines[4], sha256="new", time="2026-02-01T00:00:00Z")
    found.append(newer)
    parsed.clear()
    found.compact(lambda path: "new" if path == newer.path else None, tmp_path / "tmp")
    assert len(parsed) == 1
    after = (tmp_path / "j.lock").read_bytes().splitlines()
    assert [at for at, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]] == [5]
    assert lock(tmp_path).lines == found.lines
    assert found.line_of(newer.path, None) == newer


def test_a_file_that_changed_since_it_was_sound_is_checked_as_a_whole(tmp_path: Path) -> None:
    write_many(tmp_path)
    key = stat_key(tmp_path / "j.lock")
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes().replace(b'"size":9', b'"size":"9"'))
    with pytest.raises(ImagegenError, match="its 'size' is"):
        read_lock_file("jobs/j.lock", file, key)


def test_a_line_that_is_damaged_after_all_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    lines = write_many(tmp_path)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes().replace(b'"size":9', b'"size":"9"'))
    with pytest.raises(ImagegenError, match="its 'size' is") as caught:
        sound(tmp_path).line_of(lines[2].path, None)
    assert caught.value.problems[0].where == "jobs/j.lock"


@pytest.mark.parametrize("cut", [1, 40])
def test_a_last_line_that_was_cut_off_does_not_count_in_a_sound_file_either(tmp_path: Path, cut: int) -> None:
    write_many(tmp_path)
    file = tmp_path / "j.lock"
    file.write_bytes(file.read_bytes()[:-cut])
    assert sound(tmp_path).lines == lock(tmp_path).lines
    assert sound(tmp_path).needs_compaction
