from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagegen.errors import ImagegenError
from imagegen.execute.verifying import verify_outputs
from imagegen.images import provenance
from imagegen.images.image_file import verify
from tests.execute.workshop import JOB, Workshop, picture

YRR = "portraits:yrr"


def made(workshop: Workshop, **changes: Any) -> None:
    workshop.job(**changes)
    workshop.build()


def prompts(yrr: str) -> list[dict[str, Any]]:
    return [JOB["items"][0], JOB["items"][1] | {"prompt": yrr}]


def test_a_hand_edited_file_is_the_image_until_its_request_changes(workshop: Workshop) -> None:
    made(workshop)
    mine = workshop.touch_up("yrr")
    assert workshop.states()[YRR] == "kept"
    assert workshop.accept(YRR).note == "accepted: changed by hand since it was made"
    assert (workshop.states()[YRR], workshop.note(YRR)) == ("fresh", "accepted: changed by hand since it was made")
    assert workshop.build() == {}
    assert workshop.path("yrr").read_bytes() == mine
    assert provenance.read(mine) is None
    workshop.job(items=prompts("another figure"))
    assert workshop.build() == {YRR: "generated"}
    assert workshop.is_kept(mine)
    workshop.job()
    assert workshop.build() == {YRR: "restored"}
    assert workshop.path("yrr").read_bytes() == mine


def test_a_file_that_was_there_before_is_the_image(workshop: Workshop) -> None:
    mine = workshop.touch_up("yrr")
    made(workshop)
    assert workshop.accept(YRR).note == "accepted: it was there before"
    assert workshop.build() == {}
    assert workshop.path("yrr").read_bytes() == mine
    assert workshop.calls() == 1


def test_it_is_one_line_of_the_lock_file_that_a_clone_reads(workshop: Workshop, tmp_path: Path) -> None:
    made(workshop)
    workshop.touch_up("yrr")
    workshop.accept(YRR)
    (line,) = [json.loads(line) for line in workshop.lock().splitlines() if b'"decision"' in line]
    assert (line["decision"], line["output"], sorted(line["value"])) == ("accept", "yrr", ["fingerprint", "sha256"])
    shutil.copytree(workshop.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    clone = Workshop(tmp_path / "clone")
    assert set(clone.states().values()) == {"fresh"}
    clone.job(items=prompts("another figure"))
    mine = clone.path("yrr").read_bytes()
    assert clone.build() == {YRR: "generated"}
    assert clone.is_kept(mine)


def test_images_stay_after_a_cosmetic_change_of_the_prompt(workshop: Workshop) -> None:
    made(workshop)
    before = workshop.files()
    workshop.job(prompt={"suffix": "fine art"})
    assert set(workshop.states().values()) == {"stale"}
    for task in workshop.outputs():
        workshop.accept(task)
    assert workshop.build() == {}
    assert workshop.files() == before
    assert workshop.note(YRR) == "accepted as it is: prompt changed"
    assert workshop.calls() == 2


def test_an_accepted_file_that_was_deleted_is_brought_back(workshop: Workshop) -> None:
    made(workshop)
    mine = workshop.touch_up("yrr")
    workshop.accept(YRR)
    workshop.path("yrr").unlink()
    assert workshop.build() == {YRR: "restored"}
    assert workshop.path("yrr").read_bytes() == mine


def test_in_another_folder_or_format_it_is_the_accepted_one_again(workshop: Workshop) -> None:
    made(workshop)
    mine = workshop.touch_up("yrr")
    workshop.accept(YRR)
    workshop.job(output={"dir": "assets/other"})
    workshop.build()
    assert (workshop.root / "assets/other/yrr.png").read_bytes() == mine
    workshop.job(output={"dir": "assets/other", "format": "webp", "quality": 100})
    assert set(workshop.build().values()) == {"restored"}
    data = (workshop.root / "assets/other/yrr.webp").read_bytes()
    assert (verify(data).format, provenance.read(data)) == ("webp", None)
    assert set(workshop.states().values()) == {"fresh"}
    assert workshop.calls() == 2


def test_asked_for_anew_it_is_made_anew_and_can_be_gone_back_to(workshop: Workshop) -> None:
    made(workshop)
    mine = workshop.touch_up("yrr")
    workshop.accept(YRR)
    assert workshop.build(YRR, forced=True) == {YRR: "generated"}
    generated = workshop.path("yrr").read_bytes()
    assert generated != mine
    workshop.path("yrr").unlink()
    assert workshop.build() == {YRR: "restored"}
    assert workshop.path("yrr").read_bytes() == generated
    hands = [past for past in workshop.history(YRR) if past.by_hand]
    assert len(hands) == 1
    workshop.go_back(YRR, workshop.history(YRR).index(hands[0]) + 1)
    assert workshop.path("yrr").read_bytes() == mine
    assert workshop.build() == {}


def test_edited_once_more_it_is_kept_and_can_be_accepted_again(workshop: Workshop) -> None:
    made(workshop)
    workshop.touch_up("yrr")
    workshop.accept(YRR)
    workshop.touch_up("yrr", "blue")
    assert workshop.states()[YRR] == "kept"
    workshop.accept(YRR)
    assert workshop.states()[YRR] == "fresh"


def test_what_is_fresh_or_missing_needs_no_decision(workshop: Workshop) -> None:
    made(workshop)
    lock = workshop.lock()
    assert workshop.accept(YRR).state == "fresh"
    workshop.path("yrr").unlink()
    assert workshop.accept(YRR).state == "missing"
    assert workshop.lock() == lock


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no picture", "cannot be used"),
        (picture()[:-9], "cannot be used"),
        (picture(kind="webp"), "is a file in webp, by its name and the job it is png"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n", "a Git LFS pointer"),
    ],
)
def test_what_is_no_image_is_refused(workshop: Workshop, data: bytes, said: str) -> None:
    made(workshop)
    workshop.path("yrr").write_bytes(data)
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match=said):
        workshop.accept(YRR)
    assert workshop.lock() == lock


def photo(kind: str, mode: str, more: bytes) -> bytes:
    """As phones and scanners write them: with more behind the end, in CMYK, with 16 bits a channel, of several frames."""
    image, buffer = Image.effect_mandelbrot((32, 32), (-3, -2.5, 2, 2.5), 100).convert(mode), io.BytesIO()
    others = [image.transpose(Image.Transpose.ROTATE_90)] if kind == "MPO" or more == b"frames" else []
    image.save(buffer, kind, **({"save_all": True, "append_images": others} if others else {}))
    return buffer.getvalue() + (b"" if more == b"frames" else more)


@pytest.mark.parametrize(
    ("kind", "mode", "more"),
    [
        ("MPO", "RGB", b""),
        ("JPEG", "RGB", b"\0\0ftypmp42 a motion photo"),
        ("JPEG", "CMYK", b""),
        ("PNG", "RGBA", b"\n"),
        ("PNG", "I;16", b""),
        ("PNG", "RGB", b"frames"),
        ("WEBP", "RGB", b"frames"),
        ("WEBP", "RGB", b"\0"),
    ],
)
def test_a_photo_is_accepted_whole_and_what_is_derived_of_it_shows_its_first_picture(
    workshop: Workshop, kind: str, mode: str, more: bytes
) -> None:
    suffix = {"MPO": "jpg", "JPEG": "jpg"}.get(kind, kind.lower())
    made(
        workshop,
        output={"format": {"jpg": "jpeg"}.get(suffix, suffix)},
        derive={"thumb": {"width": 16}},
        sheet={"cell": 16},
    )
    (path,) = workshop.root.glob("assets/portraits/yrr.*")
    path.write_bytes(data := photo(kind, mode, more))
    assert workshop.accept(YRR).state == "accepted"
    assert set(workshop.build().values()) == {"derived"}
    assert path.read_bytes() == data
    project = workshop.project()
    assert {one.state for one in verify_outputs(project, list(workshop.outputs(project).values()))} == {
        "intact",
        "accepted",
    }
    path.unlink()
    assert workshop.build() == {YRR: "restored"}
    assert path.read_bytes() == data


def test_another_size_than_the_jobs_is_accepted_and_told(workshop: Workshop) -> None:
    made(workshop)
    workshop.path("yrr").write_bytes(picture(size=(40, 30)))
    assert "it is 40×30, the job asks for 32×32" in workshop.accept(YRR).note


def test_a_random_seed_is_drawn_for_it(workshop: Workshop) -> None:
    workshop.touch_up("yrr")
    workshop.job(generate={"width": 32, "height": 32, "seed": {"mode": "random"}})
    workshop.accept(YRR)
    assert workshop.states()[YRR] == "fresh"


def test_of_two_merged_branches_the_later_decision_counts(workshop: Workshop) -> None:
    made(workshop)
    base = workshop.lock()
    workshop.touch_up("yrr", "red")
    workshop.accept(YRR)
    one = workshop.lock()
    second = workshop.touch_up("yrr", "blue")
    workshop.accept(YRR)
    other = workshop.lock()
    for merged in (one + other, other + one):
        (workshop.root / "jobs/portraits.lock").write_bytes(base + merged)
        workshop.path("yrr").write_bytes(second)
        assert workshop.states()[YRR] == "fresh"
        first = workshop.touch_up("yrr", "red")
        assert workshop.states()[YRR] == "kept"
        assert workshop.build() == {YRR: "kept"}
        assert workshop.path("yrr").read_bytes() == first


def test_an_index_that_somebody_changed_can_be_accepted_too(workshop: Workshop) -> None:
    workshop.job(sheet={"cell": 16})
    workshop.build()
    index = workshop.root / "assets/portraits/sheet.json"
    index.write_text("{}")
    assert workshop.accept("portraits:sheet:index").state == "accepted"
    assert workshop.build() == {}
    assert index.read_text() == "{}"
    workshop.path("yrr").unlink()
    with pytest.raises(ImagegenError, match=r"assets/portraits/yrr\.png is not there, which it is made from"):
        workshop.accept("portraits:sheet:index")
