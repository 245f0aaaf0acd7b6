"""Archives unpacked: what comes out, and what is refused."""

from __future__ import annotations

import io
import os
import random
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagegen.backends.archive import ArchiveError, check_links, estimate_unpacked_size, unpack
from tests.backends.archives import Member, link, tgz, zipped

ARCHIVE = tgz(
    ("program", b"#!/bin/sh", {"mode": 0o755}),
    ("libx.1.so", os.urandom(100_000), {"mode": 0o644}),
    ("libx.so", b"", {"type": tarfile.SYMTYPE, "linkname": "libx.1.so"}),
    ("sub/", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}),
    ("sub/file", b"text", {"mode": 0o644}),
)
ZIP = zipped(
    ("build/bin/program", b"#!/bin/sh", {"mode": 0o755}),
    ("build/bin/libx.1.so", random.Random(4).randbytes(5000), {}),  # noqa: S311 - the same in each run
    link("build/bin/libx.so", "libx.1.so"),
    ("sub/", b"", {"mode": stat.S_IFDIR | 0o755}),
    ("sub/file", b"text", {"mode": 0o600}),
)
SYM, HARD, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def put(folder: Path, data: bytes) -> Path:
    """Unpack it; the folder."""
    (folder / "a.tgz").write_bytes(data)
    inside = folder / "a" / "b"
    inside.mkdir(parents=True)
    unpack(folder / "a.tgz", inside)
    return inside


def test_files_folders_and_links_come_out_as_they_were_put_in(tmp_path: Path) -> None:
    inside = put(tmp_path, ARCHIVE)
    assert os.access(inside / "program", os.X_OK)
    assert not os.access(inside / "libx.1.so", os.X_OK)
    assert (inside / "libx.so").readlink() == Path("libx.1.so")
    assert (inside / "sub/file").read_bytes() == b"text"


def test_links_within_it_are_kept_wherever_they_stand(tmp_path: Path) -> None:
    data = tgz(
        ("./", b"", {"type": DIR}),
        ("./one/up", b"", {"type": SYM, "linkname": "../two/file"}),
        ("./hard", b"", {"type": HARD, "linkname": "./two/file"}),
        ("./folder", b"", {"type": SYM, "linkname": "two"}),
        ("./two/file", b"text", {}),
    )
    inside = put(tmp_path, data)
    assert [(inside / name).read_bytes() for name in ("one/up", "hard", "folder/file")] == [b"text"] * 3


def test_no_more_than_being_a_program_is_kept_of_a_mode(tmp_path: Path) -> None:
    inside = put(tmp_path, tgz(("a", b"", {"mode": 0o6777}), ("b", b"", {"mode": 0o666})))
    assert [stat.S_IMODE((inside / name).stat().st_mode) for name in "ab"] == [0o755, 0o644]


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/x", b"out", {})],
        [("../x", b"out", {})],
        [("a/../../x", b"out", {})],
        [("a\\..\\x", b"out", {})],
        [("x", b"", {"type": SYM, "linkname": "/etc/passwd"})],
        [("x", b"", {"type": SYM, "linkname": "../../x"})],
        [("x", b"", {"type": HARD, "linkname": "../../secret"})],
        [("x", b"", {"type": HARD, "linkname": "nothing"})],
        [("x", b"", {"type": SYM, "linkname": "x"})],
        [("d", b"", {"type": SYM, "linkname": "../.."}), ("d/x", b"out", {})],
        [("d", b"", {"type": SYM, "linkname": "../.."}), ("d/x", b"", {"type": SYM, "linkname": "a"})],
        [("d", b"", {"type": SYM, "linkname": "."}), ("d/x", b"", {"type": SYM, "linkname": ".."})],
        # each leads nowhere bad by itself, until the next is there
        [
            ("a/file", b"", {}),
            ("x", b"", {"type": SYM, "linkname": "a/e/../.."}),
            ("a/e", b"", {"type": SYM, "linkname": ".."}),
        ],
        [("x", b"", {"type": tarfile.FIFOTYPE})],
        [("x", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})],
        [("x", b"one", {}), ("x", b"two", {})],
        [("x", b"one", {}), ("x", b"", {"type": SYM, "linkname": "y"})],
        [("x", b"one", {}), ("x/y/z", b"two", {})],
        [("d/", b"", {"type": DIR})] * 10_001,
    ],
)
def test_what_leads_out_or_is_no_plain_file_is_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(ArchiveError, match="nothing of it is kept"):
        put(tmp_path, tgz(*members))
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "a.tgz", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert not list(tmp_path.glob("a/b/**/secret"))


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04", ARCHIVE[:-2000]])
def test_what_is_no_whole_archive_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ArchiveError, match="it cannot be read: "):
        put(tmp_path, data)


def test_what_it_unpacks_to_is_known_before(tmp_path: Path) -> None:
    data = tgz(("x", bytes(1_000_000), {}))
    (tmp_path / "a.tgz").write_bytes(data)
    assert 1_000_000 <= estimate_unpacked_size(tmp_path / "a.tgz") <= 1_020_000
    assert len(data) < 10_000


def test_files_folders_and_links_come_out_of_a_zip_too(tmp_path: Path) -> None:
    inside = put(tmp_path, ZIP)
    assert os.access(inside / "build/bin/program", os.X_OK)
    assert not os.access(inside / "build/bin/libx.1.so", os.X_OK)
    assert (inside / "build/bin/libx.so").readlink() == Path("libx.1.so")
    assert (inside / "sub/file").read_bytes() == b"text"
    assert estimate_unpacked_size(tmp_path / "a.tgz") == 9 + 5000 + 9 + 4


def test_a_zip_from_windows_has_files_and_folders(tmp_path: Path) -> None:
    inside = put(tmp_path, zipped(("a/", b"", {"system": 0}), ("a/b.exe", b"text", {"system": 0})))
    assert (inside / "a/b.exe").read_bytes() == b"text"


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/x", b"out", {})],
        [("../x", b"out", {})],
        [("a/../../x", b"out", {})],
        [("a\\..\\x", b"out", {})],
        [("C:/x", b"out", {})],
        [("C:x", b"out", {})],
        [("x:stream", b"out", {})],
        [link("x", "/etc/passwd")],
        [link("x", "../../x")],
        [link("x", "x")],
        [link("x", "")],
        [link("x", "a" * 5000)],
        [link("x", "a\0b")],
        [link("d", "../.."), ("d/x", b"out", {})],
        [link("d", "../.."), link("d/x", "a")],
        [link("d", "."), link("d/x", "..")],
        [("a/file", b"", {}), link("x", "a/e/../.."), link("a/e", "..")],
        [("x", b"", {"mode": stat.S_IFIFO})],
        [("x", b"", {"mode": stat.S_IFCHR})],
        [("x", b"one", {}), link("x", "y")],
        [("x", b"one", {}), ("x/y/z", b"two", {})],
        [("d/", b"", {"mode": stat.S_IFDIR})] * 10_001,
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_leads_out_of_a_zip_is_refused(tmp_path: Path, members: list[Member]) -> None:
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(ArchiveError, match="nothing of it is kept"):
        put(tmp_path, zipped(*members))
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "a.tgz", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_a_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="'x' is in it twice"):
        put(tmp_path, zipped(("x", b"one", {}), ("x", b"two", {})))


def test_no_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    (tmp_path / "a.zip").write_bytes(zipped(("x", b"theirs", {})))
    with pytest.raises(ArchiveError, match="'x' is in it twice"):
        unpack(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.parametrize("flag", [b"\x01", b"\x09"])
def test_what_is_encrypted_is_refused(tmp_path: Path, flag: bytes) -> None:
    data = bytearray(zipped(("x", b"text", {})))
    data[6:7] = flag
    data[data.index(b"PK\x01\x02") + 8 : data.index(b"PK\x01\x02") + 9] = flag
    with pytest.raises(ArchiveError, match="'x' in it is encrypted"):
        put(tmp_path, bytes(data))


def test_a_way_of_compression_that_is_rare_is_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("x", b"text")
    with pytest.raises(ArchiveError, match="in a way that is not supported"):
        put(tmp_path, whole.getvalue())


def test_one_that_is_too_large_is_refused_before_it_is_written(tmp_path: Path) -> None:
    data = bytearray(zipped(*((name, b"text", {}) for name in "abc")))
    entry = 0
    for _ in range(3):
        entry = data.index(b"PK\x01\x02", entry + 1)
        data[entry + 24 : entry + 28] = b"\xfe\xff\xff\xff"
    with pytest.raises(ArchiveError, match=r"more than 10,000 files or 8\.0 GB|Bad|cannot be read"):
        put(tmp_path, bytes(data))
    assert estimate_unpacked_size(tmp_path / "a.tgz") == 3 * 0xFFFFFFFE


@given(st.integers(0, len(ZIP) - 1), st.binary(min_size=1, max_size=8))
@example(len(ZIP) - 6, b"\xff\xff\xff\xff")
def test_a_spoilt_zip_is_unpacked_or_refused_and_nothing_gets_out(where: int, what: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "a/b"
        folder.mkdir(parents=True)
        archive = Path(root) / "a.zip"
        archive.write_bytes(ZIP[:where] + what + ZIP[where + len(what) :])
        try:
            estimate_unpacked_size(archive)
            unpack(archive, folder)
        except ArchiveError:
            pass
        assert {path.name for path in Path(root).iterdir()} == {"a", "a.zip"}
        assert [path.name for path in folder.parent.iterdir()] == ["b"]


def test_a_link_that_leads_out_once_its_folder_was_moved_is_found(tmp_path: Path) -> None:
    inside = put(tmp_path, zipped(("file", b"text", {}), link("d/up", "../file")))
    check_links(inside)
    with pytest.raises(ArchiveError, match=r"the link 'up' in it leads to '\.\./file'"):
        check_links(inside / "d")
