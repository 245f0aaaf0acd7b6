from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from imagegen.errors import ImagegenError
from imagegen.report.gallery.folder import Written
from tests.report.gallery.studio import FOLDER, Studio, embedded


def named(studio: Studio) -> set[str]:
    """All files that the page names, and the page."""
    found = {"index.html"}
    for picture in embedded(studio.page.read_text("utf-8")):
        found |= {picture["thumb"], *(version["image"] for version in picture["earlier"])} - {""}
        found |= {picture["href"]} if picture["href"].startswith("originals/") else set()
    return found


def test_it_is_written_once_and_then_left_as_it_is(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    assert studio.write() == Written("written", 2, 2)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (studio.root / FOLDER).rglob("*")}
    assert studio.write() == Written("fresh", 2, 0)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in before} == before
    assert studio.files() == named(studio)


def test_only_what_changed_is_made_small_anew_and_what_nobody_shows_is_removed(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    studio.write()
    before = studio.files()
    studio.items("Yrr", "Okka", generate={"width": 48, "height": 64, "seed": {"mode": "by-name", "base": 9}})
    studio.build()
    assert studio.write() == Written("written", 2, 4), "two images, and two earlier versions"
    assert not studio.files() & before - {"index.html"}
    assert studio.files() == named(studio)
    studio.items("Yrr")
    assert studio.write() == Written("written", 1, 0)
    assert studio.files() == named(studio)


def test_a_thumbnail_that_went_is_made_again_without_the_page(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    studio.write()
    (thumb,) = (studio.root / FOLDER / "thumbs").iterdir()
    thumb.unlink()
    assert studio.write() == Written("fresh", 1, 1)
    assert thumb.exists()


def test_a_page_of_somebody_elses_is_not_replaced(studio: Studio) -> None:
    studio.items("Yrr")
    studio.page.parent.mkdir(parents=True)
    studio.page.write_text("<title>my own</title>")
    with pytest.raises(ImagegenError, match="was not written by doit gallery"):
        studio.write()
    assert studio.files() == {"index.html"}


def test_files_of_somebody_elses_stay(studio: Studio) -> None:
    studio.items("Yrr")
    studio.write()
    own = studio.root / FOLDER / "thumbs/my own.webp"
    own.parent.mkdir(exist_ok=True)
    own.touch()
    studio.items("Okka")
    studio.write()
    assert own.exists()


def test_an_image_outside_of_the_project_is_copied_into_it(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "project", allow_outside=("../art",))
    studio.items("Yrr", output={"dir": "../art"})
    studio.build()
    studio.write()
    (picture,) = embedded(studio.page.read_text("utf-8"))
    assert picture["href"].startswith("originals/")
    assert (studio.page.parent / picture["href"]).read_bytes() == (tmp_path / "art/yrr.png").read_bytes()
    assert studio.files() == named(studio)
    assert studio.write().state == "fresh"


def test_an_image_that_cannot_be_decoded_is_told_and_the_others_are_shown(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    studio.image("yrr").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    written = studio.write()
    (problem,) = written.problems
    assert (problem.where, written.thumbnails) == ("assets/portraits/yrr.png", 1)
    assert "is shown without its image" in problem.what
    assert [bool(picture["thumb"]) for picture in embedded(studio.page.read_text("utf-8"))] == [False, True]
    assert studio.write().state == "fresh"


def test_it_can_be_written_while_a_build_is_at_work(studio: Studio) -> None:
    from imagegen.state.mutex import hold

    studio.items("Yrr")
    studio.build()
    with hold(studio.root / ".imagegen", 0):
        assert studio.write().state == "written"


def test_it_reads_what_was_built_and_writes_nothing_outside_of_its_folder(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    lock = (studio.root / "jobs/portraits.lock").read_bytes()
    Image.new("RGB", (48, 64), "red").save(studio.image("yrr"))
    edited = studio.image("yrr").read_bytes()
    studio.write()
    assert (studio.root / "jobs/portraits.lock").read_bytes() == lock
    assert studio.image("yrr").read_bytes() == edited
    assert json.loads(lock.splitlines()[0])["output"] == "yrr"
    assert sorted(path.name for path in studio.root.iterdir()) == [".imagegen", "assets", "jobs"]
