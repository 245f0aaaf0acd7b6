from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from imagegen.state import hashes as hashes_module
from imagegen.state.atomic import replace_file
from imagegen.state.hashes import NEVER, FileState, Hashes, is_conclusive, pointer_sha256, stat_key

OLD = time.time_ns() - 10**12


def hashes(root: Path) -> Hashes:
    return Hashes(root, root / "cache/hashes.json")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(path: Path, data: bytes, mtime_ns: int = OLD) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def wait_until_conclusive(file: Path) -> None:
    """Wait until a change would show in the file's times."""
    while not is_conclusive(stat_key(file) or NEVER):
        time.sleep(0.01)


def test_files_folders_and_nothing(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"data")
    (tmp_path / "folder").mkdir()
    known = hashes(tmp_path)
    assert known.state("a.png") == FileState(sha(b"data"), 4)
    assert known.state("b.png") is None
    assert known.state("a.png/x") is None
    assert (folder := known.state("folder")) is not None
    assert folder.sha256 == ""


def test_an_untouched_file_is_not_read_again(tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", b"data")
    first = hashes(tmp_path)
    first.state("a.png")
    first.save(tmp_path / "tmp")
    # only a reader would notice that the memory is of other bytes
    memory = first.memory.read_text()
    first.memory.write_text(memory.replace(sha(b"data"), sha(b"atad")))
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"atad"), 4)
    assert file.read_bytes() == b"data"


@pytest.mark.skipif(os.name == "nt", reason="ctime is the time of creation there")
def test_an_edit_that_keeps_size_and_mtime_is_read_again(tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", b"data")
    first = hashes(tmp_path)
    first.state("a.png")
    first.save(tmp_path / "tmp")
    while stat_key(put(file, b"atad")) == first.first_key(
        "a.png"
    ):  # within one tick of the clock its ctime is the same
        pass
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"atad"), 4)


def test_what_the_build_wrote_is_not_read_again_after_its_rename(tmp_path: Path) -> None:
    first = hashes(tmp_path)
    first.record_written("a.png", replace_file(tmp_path / "a.png", b"data", tmp_path / "tmp"), sha(b"data"))
    assert first.first_key("a.png") == stat_key(tmp_path / "a.png")


def test_a_touched_file_is_read_again(tmp_path: Path) -> None:
    put(tmp_path / "a.png", b"data")
    first = hashes(tmp_path)
    first.state("a.png")
    first.save(tmp_path / "tmp")
    put(tmp_path / "a.png", b"atad", OLD + 1)
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"atad"), 4)


def test_a_file_changed_within_the_tick_of_looking_is_read_again(tmp_path: Path) -> None:
    now = time.time_ns()
    file = put(tmp_path / "a.png", b"data", now)
    first = hashes(tmp_path)
    first.state("a.png")
    first.save(tmp_path / "tmp")
    with file.open("r+b") as open_file:
        open_file.write(b"atad")
    os.utime(file, ns=(now, now))
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"atad"), 4)


def test_within_the_tick_it_is_read_again_in_the_same_run_too(tmp_path: Path) -> None:
    now = time.time_ns()
    put(tmp_path / "a.png", b"data", now)
    known = hashes(tmp_path)
    assert known.state("a.png") == FileState(sha(b"data"), 4)
    with (tmp_path / "a.png").open("r+b") as open_file:
        open_file.write(b"atad")
    os.utime(tmp_path / "a.png", ns=(now, now))
    assert known.state("a.png") == FileState(sha(b"atad"), 4)


def test_what_the_build_wrote_is_known_unless_somebody_changed_it_since(tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", b"data")
    known = hashes(tmp_path)
    known.record_written("a.png", file.stat(), "told")
    assert known.state("a.png") == FileState("told", 4)
    put(tmp_path / "a.png", b"more data")
    assert known.state("a.png") == FileState(sha(b"more data"), 9)


def test_a_file_stood_as_when_its_content_was_first_told_or_the_build_wrote_it(tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", b"data")
    hashes(tmp_path).save(tmp_path / "tmp")
    known = hashes(tmp_path)
    assert (known.first_key("a.png"), known.first_state("a.png")) == (None, None)
    known.state("a.png")
    before = stat_key(file)
    assert known.first_key("a.png") == before
    put(file, b"painted over")
    assert known.state("a.png") == FileState(sha(b"painted over"), 12)
    assert known.first_key("a.png") == before
    assert known.first_state("a.png") == FileState(sha(b"data"), 4)
    known.record_written("a.png", file.stat(), "told")
    assert known.first_key("a.png") == stat_key(file) != before


def test_a_file_that_could_change_unnoticed_stood_as_none_does(tmp_path: Path) -> None:
    file = put(tmp_path / "a.png", b"data", time.time_ns())
    known = hashes(tmp_path)
    known.state("a.png")
    put(file, b"data")
    known.state("a.png")
    key = known.first_key("a.png")
    assert key is NEVER
    assert (key != NEVER, key == NEVER) == (True, False), "two files that may have changed are not the same one"


@pytest.mark.parametrize("size", [0, 1, hashes_module._PIECE - 1, hashes_module._PIECE, 2 * hashes_module._PIECE + 9])
@pytest.mark.parametrize("name", ["a.png", "sheet.json"])
def test_files_of_any_size_are_read_to_their_end(tmp_path: Path, name: str, size: int) -> None:
    data = (b"0123456789" * (size // 10 + 1))[:size]
    put(tmp_path / name, data)
    assert hashes(tmp_path).state(name) == FileState(sha(data), size)


def test_what_is_expected_is_read_on_all_cores_once_something_must_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{n}.png" for n in range(6)]
    for name in names:
        put(tmp_path / name, name.encode())
    known = hashes(tmp_path)
    known.state(names[0])
    known.save(tmp_path / "tmp")
    reads: list[str] = []
    both = threading.Barrier(2)
    read_state = hashes_module._read_state

    def read(path: str, size: int) -> FileState:
        reads.append(Path(path).name)
        if path.endswith(("1.png", "2.png")):
            both.wait(60)  # nobody else comes if one thread reads everything
        return read_state(path, size)

    monkeypatch.setattr(hashes_module, "_read_state", read)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    known = hashes(tmp_path)
    known.expect([*names, "missing.png"])
    known.state(names[0])
    assert reads == [], "nothing must be read"
    assert known.state(names[3]) == FileState(sha(names[3].encode()), 5)
    assert sorted(reads) == names[1:]
    assert [known.sha256(name) for name in names] == [sha(name.encode()) for name in names]
    assert len(reads) == 5


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="whoever may read everything")
def test_an_expected_file_that_cannot_be_read_is_reported_when_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / name, b"data")
    (tmp_path / "b.png").chmod(0)
    known = hashes(tmp_path)
    known.expect(["a.png", "b.png"])
    known.state("a.png")
    with pytest.raises(PermissionError):
        known.state("b.png")


AHEAD_NS = {"an hour": 3600 * 10**9, "ten years": 10 * 365 * 86400 * 10**9}


@pytest.mark.parametrize("ahead_ns", AHEAD_NS.values(), ids=AHEAD_NS)
def test_a_file_dated_in_the_future_is_read_once(tmp_path: Path, ahead_ns: int) -> None:
    if os.name == "nt" and ahead_ns < 86400 * 10**9:
        pytest.skip("nothing but the mtime shows a change there, and a server's clock may be ahead")
    file = put(tmp_path / "a.png", b"data", time.time_ns() + ahead_ns)
    wait_until_conclusive(file)
    first = hashes(tmp_path)
    first.state("a.png")
    assert first.first_key("a.png") == stat_key(file)
    first.save(tmp_path / "tmp")
    # only a reader would notice that the memory is of other bytes
    first.memory.write_text(first.memory.read_text().replace(sha(b"data"), sha(b"atad")))
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"atad"), 4)
    put(file, b"tada", time.time_ns() + ahead_ns)
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"tada"), 4)


@pytest.mark.skipif(os.name == "nt", reason="ctime is the time of creation there")
def test_a_file_dated_in_the_future_just_now_could_change_unnoticed(tmp_path: Path) -> None:
    key = stat_key(put(tmp_path / "a.png", b"data"))
    assert key is not None
    size, _, inode, _ = key
    now = time.time_ns()
    hour, years = AHEAD_NS.values()
    assert not is_conclusive((size, now + years, inode, now))
    assert is_conclusive((size, now + years, inode, now - 10**9))
    assert not is_conclusive((size, now + hour, inode, now + hour)), "a server's clock may be an hour ahead"
    assert is_conclusive((size, now + years, inode, now + years)), "a clock that was wrong: a change sets today"
    assert not is_conclusive((size, now + years, inode, now // 10**9 * 10**9)), "a clock of whole seconds"


def test_a_git_lfs_pointer_counts_as_its_content(tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"
    put(tmp_path / "a.png", pointer.encode())
    assert hashes(tmp_path).state("a.png") == FileState("ab" * 32, len(pointer), True)


@pytest.mark.parametrize("memory", [b"", b"garbage", b"[]", b'{"a.png": [1]}', b'{"a.png": 3}'])
def test_a_spoilt_memory_only_costs_reading(tmp_path: Path, memory: bytes) -> None:
    put(tmp_path / "a.png", b"data")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/hashes.json").write_bytes(memory)
    assert hashes(tmp_path).state("a.png") == FileState(sha(b"data"), 4)


OID = "ab" * 32
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n"


@pytest.mark.parametrize(
    "pointer",
    [
        POINTER.replace("\n", "\r\n"),
        "\ufeff" + POINTER,
        POINTER.replace(OID, OID.upper()),
        POINTER.replace("oid", f"ext-0-foo sha256:{'cd' * 32}\next-1-bar sha256:{'ef' * 32}\noid"),
        POINTER.replace("git-lfs.github", "hawser.github"),
        POINTER.removesuffix("\n"),
        POINTER + "\n",
    ],
)
def test_so_does_one_that_another_tool_wrote_anew(pointer: str) -> None:
    assert pointer_sha256(pointer.encode()) == OID


@pytest.mark.parametrize(
    "data",
    [
        POINTER.replace("spec/v1", "spec/v9"),
        POINTER.replace(OID, OID[:-1]),
        POINTER.replace(OID, OID + "ab"),
        "x" + POINTER,
        POINTER + "x" * 1024,
        POINTER.replace("oid", "<<<<<<< HEAD\noid"),
    ],
)
def test_what_only_looks_like_a_pointer_is_a_file_like_any_other(data: str) -> None:
    assert pointer_sha256(data.encode()) is None


@pytest.mark.parametrize("name", ["sheet.json", "sheet.atlas", "sheet.tres", "sheet.css"])
def test_so_is_a_sheets_index(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, b'{\n<<<<<<< HEAD\n "a": 1\n=======\n "a": 2\n>>>>>>> other\n}\n')
    state = hashes(tmp_path).state(name)
    assert state is not None
    assert state.in_conflict


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("base", ["", "||||||| 1234567\noid sha256:" + "12" * 32 + "\nsize 1\n"])
def test_pointers_in_a_conflict_are_none_of_the_two(tmp_path: Path, base: str, end: str) -> None:
    version, ours = POINTER.split("\n", 1)
    theirs = ours.replace(OID, "cd" * 32)
    text = f"{version}\n<<<<<<< HEAD\n{ours}{base}=======\n{theirs}>>>>>>> branch\n".replace("\n", end)
    put(tmp_path / "a.png", text.encode())
    state = hashes(tmp_path).state("a.png")
    assert state == FileState(sha(text.encode()), len(text), is_pointer=False, in_conflict=True)
