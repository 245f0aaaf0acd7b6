from __future__ import annotations

import hashlib
import json
import os
import time

from PIL import Image

from imagegen.report.gallery.earlier import MOST_EARLIER
from imagegen.report.gallery.picture import FieldChange
from imagegen.state.attempts import Failure, update_failures
from tests.report.gallery.studio import Studio


def test_a_fresh_picture_tells_how_it_was_made(studio: Studio) -> None:
    studio.job(
        generate={"width": 48, "height": 64, "steps": 7, "negative": "hands", "seed": 3},
        items=[{"name": "Mallsing", "prompt": "a tall figure", "seed": 5}],
        scripted={"model": "m1"},
    )
    studio.build()
    (picture,) = studio.pictures().values()
    provenance, data = picture.provenance, studio.image("mallsing").read_bytes()
    assert (picture.task, picture.name, picture.state, picture.why) == ("portraits:mallsing", "Mallsing", "fresh", ())
    assert (provenance.prompt, provenance.negative, provenance.seed) == ("a tall figure", "hands", "5")
    assert (provenance.backend, provenance.version, provenance.model) == ("scripted", "1", "m1")
    assert dict(provenance.parameters) == {
        "width": "48", "height": "64", "steps": "7", "cfg": "7.0", "sampler": "euler", "scheduler": "normal",
    }  # fmt: skip
    assert provenance.seconds is not None
    assert provenance.time.startswith("20")
    assert (picture.sha256, picture.size) == (hashlib.sha256(data).hexdigest(), len(data))


def test_cells_and_variants_of_one_item_are_told_apart(studio: Studio) -> None:
    studio.items(
        "The Raven", variants=2, matrix={"mood": {"calm": "calm", "very-angry": "angry"}}, prompt={"suffix": "{mood}"}
    )
    parts = [(picture.name, picture.part) for picture in studio.pictures().values()]
    assert parts == [("The Raven", part) for part in ("calm-v1", "calm-v2", "very-angry-v1", "very-angry-v2")]


def test_it_tells_which_images_can_be_rerolled_or_picked(studio: Studio) -> None:
    studio.items("one", variants=2)
    studio.job("seeded", items=[{"name": "two", "prompt": "b", "seed": 5}])
    assert {task: (one.rerolls, one.item, one.variant) for task, one in studio.pictures().items()} == {
        "portraits:one-v1": (True, "portraits:one", 1),
        "portraits:one-v2": (True, "portraits:one", 2),
        "seeded:two": (False, "", 0),
    }


def test_what_is_not_there_yet_is_missing_with_what_will_make_it(studio: Studio) -> None:
    studio.items("Yrr")
    (picture,) = studio.pictures().values()
    assert (picture.state, picture.why, picture.sha256) == ("missing", (), "")
    assert (picture.provenance.prompt, picture.provenance.seconds, picture.provenance.time) == (
        "a Yrr figure",
        None,
        "",
    )


def test_a_stale_one_tells_what_the_job_asks_for_instead(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    studio.job(items=[{"name": "Yrr", "prompt": "a small figure"}], generate={"width": 48, "height": 64, "steps": 30})
    (picture,) = studio.pictures().values()
    assert picture.state == "stale"
    assert set(picture.why) == {"prompt changed", "steps 20 → 30"}
    assert set(picture.wanted) == {
        FieldChange("prompt", "a Yrr figure", "a small figure"),
        FieldChange("steps", "20", "30"),
    }
    assert picture.provenance.prompt == "a Yrr figure", "the picture's own, and not what will be"


def test_a_touched_up_file_is_edited(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    Image.new("RGB", (48, 64), "red").save(studio.image("yrr"))
    (picture,) = studio.pictures().values()
    assert (picture.state, picture.why) == ("edited", ("changed since it was generated, by hand or by git",))


def test_a_file_that_was_there_before_is_edited_and_nothing_is_claimed_of_its_making(studio: Studio) -> None:
    studio.items("Yrr")
    studio.image("yrr").parent.mkdir(parents=True)
    Image.new("RGB", (48, 64), "red").save(studio.image("yrr"))
    (picture,) = studio.pictures().values()
    assert (picture.state, picture.provenance.time, picture.provenance.seconds) == ("edited", "", None)


def test_what_the_last_run_failed_to_make_is_failed_until_something_else_is_asked_for(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    project, (plan,) = studio.opened()
    failure = Failure(plan.outputs[0].fingerprint, "out of memory", "buy more")
    update_failures(project.failures, project.temporary, {"portraits:yrr": failure}, ())
    pictures = studio.pictures()
    assert (pictures["portraits:yrr"].state, pictures["portraits:okka"].state) == ("failed", "missing")
    assert pictures["portraits:yrr"].failure == ("out of memory", "buy more")
    studio.items("Yrr", "Okka", prompt={"suffix": "smaller"})
    assert studio.pictures()["portraits:yrr"].state == "missing"


def test_of_a_broken_job_there_is_what_was_made_for_it_and_what_is_wrong(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    studio.image("okka").unlink()
    (studio.root / "jobs/portraits.yaml").write_text("items:\n  - {name: Yrr, promt: x}\n")
    (group,) = studio.groups()
    assert {picture.task: picture.state for picture in group.pictures} == {
        "portraits:yrr": "stale",
        "portraits:okka": "failed",
    }
    assert "is broken" in group.pictures[0].why[0]
    assert any("did you mean 'prompt'?" in problem for problem in group.problems)


def test_a_git_lfs_pointer_is_told_and_not_shown(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    sha256 = hashlib.sha256(studio.image("yrr").read_bytes()).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 300\n"
    studio.image("yrr").write_text(pointer)
    (picture,) = studio.pictures().values()
    assert (picture.state, picture.sha256) == ("fresh", "")
    assert picture.why == ("only its Git LFS pointer is here: git lfs pull",)


def test_earlier_versions_come_newest_first_each_once_and_without_the_present_one(studio: Studio) -> None:
    for steps in (20, 30, 40, 30):
        studio.items("Yrr", "Okka", generate={"width": 48, "height": 64, "steps": steps})
        studio.build()
    picture = studio.pictures()["portraits:yrr"]
    assert dict(picture.provenance.parameters)["steps"] == "30"
    assert [dict(version.provenance.parameters)["steps"] for version in picture.earlier] == ["40", "20"]
    assert all(version.provenance.prompt == "a Yrr figure" for version in picture.earlier)
    assert all(studio.opened()[0].store.has(version.sha256) for version in picture.earlier)


def test_versions_are_shown_whose_folder_can_still_change_unnoticed(studio: Studio) -> None:
    for steps in (20, 30):
        studio.items("Yrr", generate={"width": 48, "height": 64, "steps": steps})
        studio.build()
    for folder in studio.root.glob(".imagegen/store/blobs/*"):
        now_ns = time.time_ns() // 10**9 * 10**9  # as on a file system that keeps whole seconds
        os.utime(folder, ns=(now_ns, now_ns))
    assert len(studio.pictures()["portraits:yrr"].earlier) == 1


def test_what_doit_a_made_of_the_same_pixels_is_no_earlier_version(studio: Studio) -> None:
    studio.items("Yrr")
    studio.build()
    studio.build(forced=True)
    assert studio.pictures()["portraits:yrr"].earlier == ()


def test_earlier_versions_that_left_the_store_are_not_shown_and_there_is_a_bound(studio: Studio) -> None:
    for steps in range(1, MOST_EARLIER + 4):
        studio.items("Yrr", generate={"width": 48, "height": 64, "steps": steps})
        studio.build()
    (picture,) = studio.pictures().values()
    assert len(picture.earlier) == MOST_EARLIER
    studio.opened()[0].store.prune(0, ())
    assert studio.pictures()["portraits:yrr"].earlier == ()


def test_derived_files_are_shown_with_their_image(studio: Studio) -> None:
    steps = [{"resize": {"width": 8}}, {"mask": "circle"}]
    derive = {"thumb": {"width": 16, "format": "webp"}, "face": {"steps": steps}, "gone": {}, "large": {"width": 99}}
    studio.items("mallsing", derive=derive)
    assert [one.state for one in studio.pictures()["portraits:mallsing"].derived] == ["missing"] * 4
    studio.build()
    project, (plan,) = studio.opened()
    large = project.with_origins(next(output for output in plan.outputs if output.slug == "mallsing:large"))
    update_failures(project.failures, project.temporary, {large.task: Failure(large.fingerprint, "too small", "")}, ())
    studio.image("mallsing-gone").unlink()
    Image.new("RGB", (8, 8), "red").save(studio.image("mallsing-face"))
    (picture,) = studio.pictures().values()
    assert picture.state == "fresh"
    assert [(one.name, one.path, one.state, one.steps) for one in picture.derived] == [
        ("thumb", "assets/portraits/mallsing-thumb.webp", "fresh", ""),
        ("face", "assets/portraits/mallsing-face.png", "edited", "resize, mask"),
        ("gone", "assets/portraits/mallsing-gone.png", "missing", ""),
        ("large", "assets/portraits/mallsing-large.png", "failed", ""),
    ]
    assert picture.derived[3].why == ("too small",)
    assert picture.derived[1].sha256 == hashlib.sha256(studio.image("mallsing-face").read_bytes()).hexdigest()


def test_a_sheet_is_a_picture_with_its_frames(studio: Studio) -> None:
    studio.items("mallsing", "yrr", sheet={"cell": 16, "columns": 2})
    assert studio.pictures()["portraits:sheet"].state == "missing"
    studio.build()
    sheet = studio.pictures()["portraits:sheet"]
    assert (sheet.state, sheet.path, sheet.why) == ("fresh", "assets/portraits/sheet.png", ())
    assert dict(sheet.provenance.parameters) == {"cell": "16", "columns": "2"}
    assert [(frame.name, frame.task) for frame in sheet.frames] == [
        ("mallsing", "portraits:mallsing"),
        ("yrr", "portraits:yrr"),
    ]
    assert sheet.frames[1].box == (18 / 32, 0, 12 / 32, 1)  # 48×64 pixels in the middle of 16×16
    for text in ("{}", '{"frames": [], "meta": {"image": "sheet.png", "size": {"w": 9, "h": 9}}}'):
        studio.root.joinpath("assets/portraits/sheet.json").write_text(text)
        assert studio.pictures()["portraits:sheet"].frames == ()


def test_files_that_were_there_already_are_shown_with_what_is_made_from_them(studio: Studio) -> None:
    scans = studio.root / "art"
    scans.mkdir()
    Image.new("RGB", (8, 8), "red").save(scans / "Old Tom.png")
    job = {"items": {"folder": "art/*.png"}, "derive": {"small": {"width": 4}}, "sheet": {"cell": 8}}
    (studio.root / "jobs/scans.yaml").write_text(json.dumps(job))
    studio.build()
    found = studio.pictures()
    picture = found["scans:old-tom"]
    assert (picture.path, picture.state, picture.is_given) == ("art/Old Tom.png", "fresh", True)
    assert [one.path for one in picture.derived] == ["assets/scans/old-tom-small.png"]
    assert [frame.task for frame in found["scans:sheet"].frames] == ["scans:old-tom"]


def test_each_page_of_a_packed_sheet_has_its_own_frames(studio: Studio) -> None:
    sheet = {"layout": "packed", "max_size": 64, "pages": 2}
    studio.items("mallsing", "yrr", sheet=sheet)
    studio.build()
    pages = [picture for task, picture in studio.pictures().items() if task.startswith("portraits:sheet")]
    assert [(page.name, page.part) for page in pages] == [("sheet", ""), ("sheet", "page 2")]
    assert [[frame.name for frame in page.frames] for page in pages] == [["mallsing"], ["yrr"]]
