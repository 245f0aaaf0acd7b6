"""Marks and notes in the gallery: whose they are, whether they are about what is there, and that nothing hides them."""

from __future__ import annotations

import hashlib

from PIL import Image

from tests.report.gallery.studio import Studio, embedded


def shown(studio: Studio) -> dict[str, tuple[str, bool]]:
    """The mark of each picture that has one, and whether it is about the file that is there."""
    return {task: (one.mark.value, one.mark.is_current) for task, one in studio.pictures().items() if one.mark}


def test_a_mark_is_about_the_file_that_was_there(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    studio.remark("portraits", "yrr", mark="keep", note="lighter")
    studio.remark("portraits", "okka", mark="reject")
    Image.new("RGB", (48, 64), "red").save(studio.image("okka"))
    assert shown(studio) == {"portraits:yrr": ("keep", True), "portraits:okka": ("reject", False)}
    studio.write()
    pages = {one["task"]: (one["marked"], one["said"]) for one in embedded(studio.page.read_text("utf-8"))}
    assert pages == {
        "portraits:yrr": ("keep", "marked keep, has a note"),
        "portraits:okka": ("unmarked", "marked reject in another version"),
    }


def test_a_pointer_stands_for_its_picture_and_a_note_needs_none(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    studio.remark("portraits", "yrr", mark="keep")
    data = studio.image("yrr").read_bytes()
    oid = hashlib.sha256(data).hexdigest()
    studio.image("yrr").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n")
    studio.image("okka").unlink()
    studio.remark("portraits", "okka", note="taller")
    assert shown(studio) == {"portraits:yrr": ("keep", True)}
    note = studio.pictures()["portraits:okka"].note
    assert note
    assert (note.value, note.is_current) == ("taller", True)


def test_sheets_and_the_pictures_of_broken_jobs_have_marks_and_given_files_none(studio: Studio) -> None:
    studio.items("Yrr", sheet={"columns": 1})
    studio.build()
    (sheet,) = (task for task in studio.pictures() if task != "portraits:yrr")
    studio.remark("portraits", sheet.partition(":")[2], mark="later")
    studio.remark("portraits", "yrr", mark="keep")
    assert shown(studio) == {"portraits:yrr": ("keep", True), sheet: ("later", True)}
    studio.job("photos", items={"folder": "assets/portraits/y*.png"}, derive={"small": {"width": 24}})
    assert set(shown(studio)) == {"portraits:yrr", sheet}
    studio.items("Yrr", itemz=[])
    assert shown(studio)["portraits:yrr"] == ("keep", True)


def test_a_file_that_cannot_be_read_is_said_and_hides_no_picture(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    (studio.root / "jobs/portraits.review").write_text("{}\n")
    written = studio.write()
    assert [str(problem) for problem in written.problems] == [
        "jobs/portraits.review:1: not a line of a review file: it has no version 'v'\n"
        "    restore the file from git, or delete this line"
    ]
    assert written.pictures == 1
    assert "jobs/portraits.review:1: not a line" in studio.page.read_text("utf-8")


def test_the_page_is_written_again_if_a_mark_changes_and_not_otherwise(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    studio.remark("portraits", "yrr", mark="keep")
    assert [studio.write().state, studio.write().state] == ["written", "fresh"]
    studio.remark("portraits", "yrr", mark="keep")
    assert studio.write().state == "fresh"
    studio.remark("portraits", "yrr", mark="later")
    assert studio.write().state == "written"
