from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from imagegen.backends.ollama.unpack import unpack, unpacked_size
from imagegen.errors import ImagegenError
from tests.backends.ollama.archives import Member, archive, tgz

SYM, HARD, DIR = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def put(folder: Path, data: bytes) -> Path:
    """Unpack it; the folder."""
    (folder / "a.tgz").write_bytes(data)
    inside = folder / "a" / "b"
    inside.mkdir(parents=True)
    unpack(folder / "a.tgz", inside)
    return inside


def test_files_folders_and_links_come_out_as_they_were_put_in(tmp_path: Path) -> None:
    inside = put(tmp_path, archive())
    assert os.access(inside / "ollama", os.X_OK)
    assert not os.access(inside / "libx.1.dylib", os.X_OK)
    assert (inside / "libx.dylib").readlink() == Path("libx.1.dylib")
    assert (inside / "mlx_metal_v3/mlx.metallib").read_bytes() == b"metal"


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
    with pytest.raises(ImagegenError, match="nothing of it is kept"):
        put(tmp_path, tgz(*members))
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "a.tgz", "a"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert not list(tmp_path.glob("a/b/**/secret"))


@pytest.mark.parametrize("data", [b"", b"<html>", b"PK\x03\x04", archive()[:-2000]])
def test_what_is_no_whole_archive_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ImagegenError, match="it cannot be read: "):
        put(tmp_path, data)


def test_what_it_unpacks_to_is_known_before(tmp_path: Path) -> None:
    data = tgz(("x", bytes(1_000_000), {}))
    (tmp_path / "a.tgz").write_bytes(data)
    assert 1_000_000 <= unpacked_size(tmp_path / "a.tgz") <= 1_020_000
    assert len(data) < 10_000
