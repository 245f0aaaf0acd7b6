from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.state.shared_store import SharedEntry, SharedStore, open_shared
from tests.state.memory import memory

DATA = b"an image"
ENTRY = SharedEntry("f" * 64, hashlib.sha256(DATA).hexdigest(), "d1", "0.3.2", 12.5, "2026-01-02T03:04:05.678Z")
ONE_MORE = replace(ENTRY, seconds=3, time="2026-01-03T03:04:05.678Z", model_digest=None)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SharedStore:
    return folder(tmp_path) if request.param == "file" else SharedStore(memory(), "/team")


def folder(path: Path) -> SharedStore:
    return open_shared(f"file://{path.as_posix()}")


def again(store: SharedStore) -> SharedStore:
    """As another run finds it."""
    return SharedStore(store.files, store.root, folders=store.folders)


def put_raw(store: SharedStore, raw: bytes, fingerprint: str = ENTRY.fingerprint, name: str = "") -> None:
    """An entry as somebody wrote it who means harm."""
    name = name or f"{fingerprint}-{hashlib.sha256(raw).hexdigest()}.json"
    store.files.makedirs(f"{store.root}/index/{fingerprint[:2]}", exist_ok=True)
    store.files.pipe_file(f"{store.root}/index/{fingerprint[:2]}/{name}", raw)


def fields(**changes: Any) -> bytes:
    return json.dumps({"v": 1, **vars(ENTRY), **changes}).encode()


def test_what_was_put_is_found_by_the_next(store: SharedStore) -> None:
    store.put(ENTRY, DATA)
    assert again(store).entries(ENTRY.fingerprint) == [ENTRY]
    assert again(store).fetch(ENTRY.sha256) == DATA
    assert again(store).odd == []


def test_of_several_the_newest_comes_first(store: SharedStore) -> None:
    store.put(ENTRY, DATA)
    store.put(ONE_MORE, DATA)
    assert again(store).entries(ENTRY.fingerprint) == [ONE_MORE, ENTRY]


def test_what_is_not_there_is_nothing(store: SharedStore) -> None:
    assert store.entries(ENTRY.fingerprint) == []
    assert store.fetch(ENTRY.sha256) is None
    assert store.odd == []


def test_to_put_it_twice_changes_nothing(store: SharedStore) -> None:
    store.put(ENTRY, DATA)
    before = {path: store.files.cat_file(path) for path in store.files.find(store.root)}
    again(store).put(ENTRY, DATA)
    assert {path: store.files.cat_file(path) for path in store.files.find(store.root)} == before


def test_whether_an_image_is_there_is_told_without_reading_it(store: SharedStore) -> None:
    size = len(DATA)
    assert not again(store).has(ENTRY, size)
    store.put(ENTRY, DATA)
    assert again(store).has(ENTRY, size)
    assert not again(store).has(ENTRY, size + 1)
    assert not again(store).has(replace(ENTRY, time="2026-03-03T03:03:03.000Z"), size)
    store.files.rm_file(f"{store.root}/blobs/{ENTRY.sha256[:2]}/{ENTRY.sha256}")
    assert not again(store).has(ENTRY, size)


def test_an_image_without_an_entry_is_had_by_its_hash(store: SharedStore) -> None:
    store.put_image(ENTRY.sha256, DATA)
    assert again(store).fetch(ENTRY.sha256) == DATA
    assert again(store).entries(ENTRY.fingerprint) == []


def test_an_image_that_has_gone_bad_is_not_taken_and_the_next_that_has_it_mends_it(store: SharedStore) -> None:
    store.put(ENTRY, DATA)
    blob = f"{store.root}/blobs/{ENTRY.sha256[:2]}/{ENTRY.sha256}"
    store.files.pipe_file(blob, b"another!")  # of the same size
    found = again(store)
    assert found.fetch(ENTRY.sha256) is None
    assert found.odd == [f"the image {ENTRY.sha256[:12]}… is damaged: its bytes are not those of its name"]
    found.put(ENTRY, DATA)
    assert again(store).fetch(ENTRY.sha256) == DATA
    store.files.pipe_file(blob, b"another!")
    again(store).put(ONE_MORE, DATA)  # uploaded again, by one who did not look
    assert again(store).fetch(ENTRY.sha256) == DATA
    store.files.pipe_file(blob, DATA[:3])  # a share that was full
    again(store).put(ENTRY, DATA)
    assert again(store).fetch(ENTRY.sha256) == DATA


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "it is not valid JSON"),
        (b"\xff\xfe", "it is not valid JSON"),
        (b"[" * 4000, "it is not valid JSON"),
        (b"[]", "it has no version 'v'"),
        (b"{}", "it has no version 'v'"),
        (fields(v=True), "it has no version 'v'"),
        (fields(v=2), "it was written by a newer imagegen (format 2)"),
        (fields(path="../../etc/passwd"), "its fields are not those of an entry"),
        (json.dumps({"v": 1, "sha256": ENTRY.sha256}).encode(), "its fields are not those of an entry"),
        (fields(sha256="../../../etc/passwd"), "its 'sha256' is \"../../../etc/passwd\""),
        (fields(sha256=ENTRY.sha256 + "\n"), None),
        (fields(sha256=ENTRY.sha256.upper()), None),
        (fields(fingerprint="e" * 64), "it is of another fingerprint"),
        (fields(seconds=float("nan")), "its 'seconds' is NaN"),
        (fields(seconds=-1), "its 'seconds' is -1"),
        (fields(seconds=True), "its 'seconds' is true"),
        (fields(seconds=1e9), "its 'seconds' is 1000000000.0"),
        (fields(time="yesterday"), "its 'time' is \"yesterday\""),
        (fields(time="2026-01-02T03:04:05Z\x1b[2J"), None),
        (fields(backend_version="\x1b]0;x\x07"), None),
        (fields(backend_version="\ud800"), None),
        (fields(backend_version="x" * 300), None),
        (fields(backend_version=None), "its 'backend_version' is null"),
        (fields(model_digest=["d"]), "its 'model_digest' is [\"d\"]"),
    ],
)
def test_an_entry_that_is_none_is_passed_over(store: SharedStore, raw: bytes, why: str | None) -> None:
    put_raw(store, raw)
    store.put(ENTRY, DATA)
    found = again(store)
    assert found.entries(ENTRY.fingerprint) == [ENTRY]
    assert len(found.odd) == 1
    assert why is None or found.odd[0].endswith(f"cannot be used: {why}")
    assert "\x1b" not in found.odd[0]


def test_an_entry_under_a_name_that_is_not_its_hash_is_passed_over(store: SharedStore) -> None:
    put_raw(store, fields(), name=f"{ENTRY.fingerprint}-{'0' * 64}.json")
    assert store.entries(ENTRY.fingerprint) == []
    assert "its bytes are not those of its name" in store.odd[0]


def test_other_names_are_not_looked_at(store: SharedStore) -> None:
    for name in (
        "x.json",
        f"{ENTRY.fingerprint}-x.json",
        f"{ENTRY.fingerprint}-{'0' * 64}.json.tmp",
        f"{ENTRY.fingerprint}.jsonl",
    ):
        put_raw(store, b"x", name=name)
    assert store.entries(ENTRY.fingerprint) == []
    assert store.odd == []


def test_an_entry_that_is_too_large_and_more_than_a_hundred_are_passed_over(store: SharedStore) -> None:
    put_raw(store, fields(backend_version="x" * 5000))
    assert store.entries(ENTRY.fingerprint) == []
    assert "is larger than 4,096 bytes" in store.odd[0]
    for number in range(130):
        put_raw(store, fields(seconds=number))
    assert 90 < len(again(store).entries(ENTRY.fingerprint)) <= 100


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*vars(ENTRY), "v"]), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_an_entry_holds_it_is_one_or_is_passed_over(raw: bytes) -> None:
    store = SharedStore(memory(), "/team")
    put_raw(store, raw)
    assert len(store.entries(ENTRY.fingerprint)) + len(store.odd) == 1


def test_an_image_that_is_a_folder_or_closed_to_us_is_passed_over(tmp_path: Path) -> None:
    store = folder(tmp_path)
    (tmp_path / "blobs" / ENTRY.sha256[:2] / ENTRY.sha256).mkdir(parents=True)
    assert store.fetch(ENTRY.sha256) is None
    assert "cannot be read: Is a directory" in store.odd[0]


def test_a_folder_that_is_gone_is_told_and_never_made(tmp_path: Path) -> None:
    gone = tmp_path / "mnt" / "team"
    with pytest.raises(FileNotFoundError):
        folder(gone)
    gone.mkdir(parents=True)
    store = folder(gone)
    gone.rmdir()
    with pytest.raises(FileNotFoundError):
        store.put(ENTRY, DATA)
    assert not gone.exists()


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "team").write_text("x")
    with pytest.raises(NotADirectoryError):
        folder(tmp_path / "team")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_whoever_may_use_the_folder_may_use_what_is_made_in_it_whatever_the_umask(tmp_path: Path) -> None:
    team = tmp_path / "team"
    team.mkdir()
    team.chmod(0o2770)
    before = os.umask(0o077)
    try:
        folder(team).put(ENTRY, DATA)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in team.rglob("*")}
    assert modes == {0o2770, 0o660}


def test_nothing_that_is_being_written_is_seen_under_its_name(tmp_path: Path) -> None:
    """Two write the same image at once, again and again, while a third reads: it finds all of it or nothing."""
    data = os.urandom(300_000)
    entry = replace(ENTRY, sha256=hashlib.sha256(data).hexdigest())
    over = threading.Event()
    wrong: list[object] = []
    blob = tmp_path / "blobs" / entry.sha256[:2] / entry.sha256

    def write(number: int) -> None:
        try:
            for turn in range(20):
                folder(tmp_path).put(replace(entry, seconds=number * 100 + turn), data)
                if number == 0:
                    blob.unlink()
        except FileNotFoundError as error:
            wrong.append(error)

    def read() -> None:
        while not over.is_set():
            store = folder(tmp_path)
            found = store.entries(entry.fingerprint)
            wrong.extend(store.odd)
            for _ in found:
                if (fetched := store.fetch(entry.sha256)) not in (None, data):
                    wrong.append(fetched)
                wrong.extend(store.odd)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    over.set()
    reader.join()
    assert wrong == []
    assert len(folder(tmp_path).entries(entry.fingerprint)) == 40
    assert list((tmp_path / "tmp").iterdir()) == []
