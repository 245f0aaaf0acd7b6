"""The files that a pattern finds on disk."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.plan.folder_items import parse_pattern
from imagegen.project import Project
from imagegen.project.folder_files import check_image_file, list_files
from imagegen.project.inputs import Inputs
from tests.project_folder import picture

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("art/a.png", "art/b-10.webp", "art/b-2.jpg", "art/more/c.png", "art/.d.png", "art/.no/e.png", "x.png"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture())
    return tmp_path


def found(root: Path, pattern: str) -> list[str]:
    return list_files(Inputs(root, ()), pattern).images


def problem(root: Path, pattern: str) -> str:
    with pytest.raises(ImagegenError) as caught:
        list_files(Inputs(root, ()), pattern)
    return str(caught.value)


PARTS = st.sampled_from(["art", "more", "*", "**", "a*", "*.png", "?.png", "x.png", "c.png"])


def test_a_listing_is_what_matches(root: Path) -> None:
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]

    @settings(max_examples=200, deadline=None)
    @given(st.lists(PARTS, min_size=1, max_size=4), st.sampled_from(["", "/"]))
    def agree(parts: list[str], end: str) -> None:
        text = "/".join(parts) + end
        pattern = parse_pattern(text)
        wanted = {path for path in paths if pattern.matches(path)}
        try:
            assert set(found(root, text)) == wanted
        except ImagegenError:
            assert not wanted

    agree()


def test_folders_and_files_are_watched(root: Path) -> None:
    inputs = Inputs(root, ())
    listed = list_files(inputs, "art/**")
    assert listed.images == ["art/a.png", "art/b-2.jpg", "art/b-10.webp", "art/more/c.png"]
    assert listed.items[1] == {"name": "b-2", "file": "art/b-2.jpg"}
    assert sorted(listed.folders) == ["art", "art/more"]
    assert inputs.stats.keys() == {"art", "art/more"}
    assert check_image_file(inputs, "art/a.png") == ""
    assert inputs.stats.keys() == {"art", "art/more", "art/a.png"}


def test_a_folder_that_is_missing_is_watched_until_it_is_there(root: Path) -> None:
    inputs = Inputs(root, ())
    with pytest.raises(ImagegenError):
        list_files(inputs, "scans/*.png")
    assert inputs.stats == {"scans": None}


def test_other_files_are_named_and_those_that_a_system_leaves_are_not(root: Path) -> None:
    for name in ("art/a.psd", "art/notes.txt", "art/Thumbs.db", "art/desktop.ini", "art/.DS_Store"):
        (root / name).write_bytes(b"x")
    (note,) = list_files(Inputs(root, ()), "art/").notes
    assert note.startswith("items.folder leaves out art/a.psd, art/notes.txt: images end in .avif, .jpeg")


def test_links_are_followed_to_files_of_the_project_and_not_to_folders(root: Path) -> None:
    (root / "art/link.png").symlink_to(root / "x.png")
    (root / "art/folder").symlink_to(root / "art/more")
    listed = list_files(Inputs(root, ()), "art/**")
    assert "art/link.png" in listed.images
    assert listed.others == ["art/folder (a link to a folder)"]
    assert found(root, "art/folder/") == ["art/folder/c.png"]
    (root / "art/link.png").unlink()
    (root / "art/link.png").symlink_to(root / "art/none.png")
    assert "art/link.png is a link that leads nowhere" in problem(root, "art/*.png")
    (root / "art/link.png").unlink()
    (root / "art/link.png").symlink_to("/etc/hostname")
    assert "art/link.png is a link: 'art/link.png' is outside the project" in problem(root, "art/*.png")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("arts/*.png", "items.folder: there is no folder 'arts'; did you mean 'art'?"),
        ("art/b.png", "items.folder: there is no file or folder 'art/b.png'; did you mean 'a.png'?"),
        ("art/*.jpeg", "items.folder: 'art/*.jpeg' matches no file"),
        ("art/[ab].png", "[ and ] stand for themselves; only *, ? and ** stand for other names"),
        ("art/{a,b}*.png", "{ and } stand for themselves; only *, ? and ** stand for other names"),
        ("../*.png", "is outside the project"),
        ("art/../../*.png", "is outside the project"),
    ],
)
def test_a_pattern_without_images_says_what_there_is(root: Path, pattern: str, said: str) -> None:
    assert said in problem(root, pattern)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "art/pipe.png")
    assert "art/pipe.png cannot be read: it is not a file" in problem(root, "art/*.png")


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_a_name_that_is_not_text_is_refused(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root / "art") + b"/\xff.png")).write_bytes(picture())
    assert "its name is not valid UTF-8" in problem(root, "art/*.png")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (picture(kind="webp"), ""),
        (POINTER, ""),
        (b"", "art/a.png: not an image (it is empty)"),
        (b"GIF89a" + bytes(9), "art/a.png: not a PNG, WebP, AVIF or JPEG image, but a GIF image"),
    ],
)
def test_the_first_bytes_tell_an_image(root: Path, data: bytes, said: str) -> None:
    (root / "art/a.png").write_bytes(data)
    assert check_image_file(Inputs(root, ()), "art/a.png") == said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named(root: Path) -> None:
    (root / "art/a.png").chmod(0)
    assert check_image_file(Inputs(root, ()), "art/a.png") == "art/a.png: cannot be read: Permission denied"
    (root / "art/more").chmod(0)
    try:
        assert "art/more: cannot be read: Permission denied" in problem(root, "art/**")
    finally:
        (root / "art/more").chmod(0o755)


def test_files_that_images_are_made_from_are_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_job(root)
    project = Project(root, Settings(), registry())
    (plan,) = project.plans()
    shas = {output.slug: output.request.extra["images"]["init"] for output in plan.outputs}
    assert shas["a"] == hashlib.sha256((root / "art/a.png").read_bytes()).hexdigest()
    project.hashes.save(project.temporary)
    monkeypatch.setattr("imagegen.state.hashes._read_state", None)
    monkeypatch.setattr(Inputs, "read_for_section", None)
    (again,) = Project(root, Settings(), registry()).plans()
    assert again.outputs == plan.outputs


def test_a_pointer_is_not_taken_for_the_image_to_start_from(root: Path) -> None:
    write_job(root)
    (root / "art/a.png").write_bytes(POINTER)
    (plan,) = Project(root, Settings(), registry()).plans()
    assert [problem.what for problem in plan.problems] == [
        "sd.images.init: art/a.png: it is a Git LFS pointer, whose content is not here"
    ]


def write_job(root: Path) -> None:
    """A job of images that are made from files, all of which were written long ago."""
    (root / "jobs").mkdir()
    (root / "jobs/painted.yaml").write_text(
        "backend: sd\nsd: {model: x.safetensors, images: {init: '{file}'}}\n"
        "items: {folder: art/, prompt: an oil painting}\n"
    )
    for file in (root / "art").iterdir():
        os.utime(file, (10**9, 10**9))
