"""Accepting, rerolling and restoring an image."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imagegen.errors import ImagegenError
from imagegen.execute.verify import verify_outputs
from imagegen.images.image_file import verify
from tests.execute.workshop import JOB, Workshop, picture
from tests.images.pictures import read
from tests.scripted import Script, ScriptedBackend

__all__ = []


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
    assert workshop.accept(YRR).note == "accepted: changed since it was generated, by hand or by git"
    assert (workshop.states()[YRR], workshop.note(YRR)) == (
        "fresh",
        "accepted: changed since it was generated, by hand or by git",
    )
    assert workshop.build() == {}
    assert workshop.path("yrr").read_bytes() == mine
    assert read(mine) is None
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
    assert (verify(data).format, read(data)) == ("webp", None)
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
    hands = [past for past in workshop.list_versions(YRR) if past.by_hand]
    assert len(hands) == 1
    workshop.restore(YRR, workshop.list_versions(YRR).index(hands[0]) + 1)
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
        (picture(kind="webp"), "is a webp file, but its name and the job say png"),
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
    with pytest.raises(ImagegenError, match=r"assets/portraits/yrr\.png is missing, which it is made from"):
        workshop.accept("portraits:sheet:index")


def all_made(workshop: Workshop, **changes: Any) -> None:
    workshop.job(**changes)
    assert set(workshop.build().values()) == {"generated"}


@pytest.mark.parametrize("rule", [1, {"mode": "random"}, {"mode": "sequence", "base": 4}, {"mode": "fixed", "base": 4}])
def test_a_reroll_is_stronger_than_the_jobs_rule_and_stays(workshop: Workshop, rule: Any) -> None:
    all_made(workshop, generate={"width": 32, "height": 32, "seed": rule})
    before = workshop.path("yrr").read_bytes()
    seed = workshop.reroll("portraits:yrr")
    assert 1 <= seed < 2**32
    assert workshop.states() == {"portraits:mallsing": "fresh", "portraits:yrr": "stale"}
    assert workshop.build() == {"portraits:yrr": "generated"}
    assert workshop.outputs()["portraits:yrr"].request.seed == seed
    assert workshop.path("yrr").read_bytes() != before
    assert workshop.build() == {}
    assert workshop.is_kept(before)


def test_a_variant_is_rerolled_by_its_own_name_also_while_it_is_picked(workshop: Workshop) -> None:
    all_made(workshop, variants=2)
    workshop.pick("yrr", 2)
    seed = workshop.reroll("portraits:yrr")
    assert workshop.build() == {"portraits:yrr": "generated"}
    workshop.pick("yrr", 0)
    assert workshop.outputs()["portraits:yrr-v2"].request.seed == seed
    assert set(workshop.states().values()) == {"fresh"}


def test_an_item_with_a_seed_of_its_own_is_refused_and_nothing_is_decided(workshop: Workshop) -> None:
    all_made(workshop, items=[*JOB["items"], {"name": "Okka", "prompt": "a broad figure", "seed": 5}])
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="take its 'seed' out of the job file"):
        workshop.reroll("portraits:okka")
    assert workshop.lock() == lock


def test_an_edited_image_is_not_rerolled(workshop: Workshop) -> None:
    all_made(workshop)
    workshop.touch_up("yrr")
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="changed since it was generated, by hand or by git"):
        workshop.reroll("portraits:yrr")
    assert workshop.lock() == lock


def test_where_its_image_cannot_be_made_the_earlier_one_stays_and_the_next_build_makes_it(workshop: Workshop) -> None:
    all_made(workshop)
    before = workshop.path("yrr").read_bytes()
    workshop.reroll("portraits:yrr")
    workshop.backend = ScriptedBackend(Script(acts={"Yrr": [{"error": "out of memory"}, {}]}))
    assert workshop.build() == {"portraits:yrr": "failed"}
    assert workshop.path("yrr").read_bytes() == before
    assert workshop.build() == {"portraits:yrr": "generated"}


def test_an_own_seed_in_the_job_goes_before_a_reroll(workshop: Workshop) -> None:
    all_made(workshop)
    workshop.reroll("portraits:yrr")
    workshop.job(items=[JOB["items"][0], JOB["items"][1] | {"seed": 5}])
    assert workshop.outputs()["portraits:yrr"].request.seed == 5


def test_a_clone_has_the_seed_too(workshop: Workshop, tmp_path: Path) -> None:
    all_made(workshop)
    workshop.reroll("portraits:yrr")
    workshop.build()
    shutil.copytree(workshop.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    assert set(Workshop(tmp_path / "clone").states().values()) == {"fresh"}


def test_what_is_derived_has_no_seed(workshop: Workshop) -> None:
    workshop.job(derive={"thumb": {"width": 16}})
    with pytest.raises(ImagegenError, match="it is derived from portraits:yrr, and has no seed"):
        workshop.reroll("portraits:yrr:thumb")


def job(workshop: Workshop, prompt: str = "a small figure", **changes: Any) -> None:
    workshop.job(items=[JOB["items"][0], {"name": "Yrr", "prompt": prompt}], **changes)


def made_yrr(workshop: Workshop, prompt: str = "a small figure", **changes: Any) -> bytes:
    job(workshop, prompt, **changes)
    workshop.build()
    return workshop.path("yrr").read_bytes()


def test_a_reroll_is_gone_back_on_with_its_seed_and_leaves_the_rule_in_force(workshop: Workshop) -> None:
    before = made_yrr(workshop)
    seed = workshop.outputs()[YRR].request.seed
    workshop.reroll(YRR)
    workshop.build()
    assert workshop.restore(YRR) == f"with its seed {seed}"
    assert workshop.path("yrr").read_bytes() == before
    assert workshop.build() == {}
    job(workshop, generate={"width": 32, "height": 32, "seed": 2})
    assert workshop.outputs()[YRR].request.seed != seed


def test_of_two_rerolls_the_earlier_ones_seed_is_decided(workshop: Workshop) -> None:
    made_yrr(workshop)
    first = workshop.reroll(YRR)
    workshop.build()
    image = workshop.path("yrr").read_bytes()
    workshop.reroll(YRR)
    workshop.build()
    workshop.restore(YRR)
    assert workshop.path("yrr").read_bytes() == image
    assert workshop.outputs()[YRR].request.seed == first
    assert workshop.build() == {}


def test_an_image_of_another_prompt_stays_until_its_request_changes(workshop: Workshop) -> None:
    before = made_yrr(workshop)
    made_yrr(workshop, "another figure")
    assert workshop.restore(YRR) == "accepted until its request changes"
    assert workshop.path("yrr").read_bytes() == before
    record = read(before)
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert (workshop.build(), workshop.note(YRR)) == ({}, "accepted as it is: prompt changed")
    job(workshop, "a third figure")
    assert workshop.build() == {YRR: "generated"}
    job(workshop, "another figure")
    assert workshop.build() == {YRR: "restored"}
    assert workshop.path("yrr").read_bytes() == before


def test_another_take_of_the_same_request(workshop: Workshop) -> None:
    workshop.backend = ScriptedBackend(Script(acts={"Yrr": [{"format": "png"}, {"format": "webp"}]}))
    first = made_yrr(workshop)
    workshop.build(YRR, forced=True)
    assert workshop.path("yrr").read_bytes() != first
    assert workshop.restore(YRR) == ""
    for _ in range(2):
        assert workshop.path("yrr").read_bytes() == first
        assert workshop.states()[YRR] == "fresh"
        # deleted, it is that one which comes back
        workshop.path("yrr").unlink()
        assert workshop.build() == {YRR: "restored"}
    assert workshop.calls() == 3


def test_the_list_has_all_numbered_by_age_with_what_differs(workshop: Workshop) -> None:
    made_yrr(workshop)
    made_yrr(workshop, "another figure")
    workshop.reroll(YRR)
    workshop.build()
    pasts = workshop.list_versions(YRR)
    assert [past.is_now for past in pasts] == [True, False, False]
    said = [sorted(str(reason).split()[0] for reason in past.reasons) for past in pasts]
    assert said == [[], ["seed"], ["prompt", "seed"]]
    workshop.restore(YRR, 3)
    assert [past.time for past in workshop.list_versions(YRR)] == [past.time for past in pasts]
    assert [past.is_now for past in workshop.list_versions(YRR)] == [False, False, True]


def test_an_image_goes_by_its_variant_before_and_after_a_pick(workshop: Workshop) -> None:
    job(workshop, variants=2)
    workshop.build()
    first = workshop.path("yrr-v2").read_bytes()
    workshop.pick("yrr", 2)
    workshop.reroll(YRR)
    workshop.build()
    workshop.restore(YRR)
    assert workshop.path("yrr").read_bytes() == first
    workshop.pick("yrr", 0)
    assert workshop.path("yrr-v2").read_bytes() == first
    assert set(workshop.states().values()) == {"fresh"}


def test_an_edit_that_was_not_accepted_is_not_replaced(workshop: Workshop) -> None:
    made_yrr(workshop)
    made_yrr(workshop, "another figure")
    mine = workshop.touch_up("yrr")
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match="to keep it, so that it can be restored later: doit accept"):
        workshop.restore(YRR)
    assert (workshop.path("yrr").read_bytes(), workshop.lock()) == (mine, lock)


def test_in_a_clone_there_is_only_what_is_there(workshop: Workshop) -> None:
    made_yrr(workshop)
    shutil.rmtree(workshop.root / ".imagegen")
    (past,) = workshop.list_versions(YRR)
    assert past.is_now
    made_yrr(workshop, "another figure")
    assert len(workshop.list_versions(YRR)) == 2


def test_in_another_format_it_is_encoded_again_with_its_own_provenance(workshop: Workshop) -> None:
    made_yrr(workshop)
    made_yrr(workshop, "another figure")
    job(workshop, "another figure", output={"format": "webp"})
    workshop.build()
    workshop.restore(YRR, 2)
    record = read((workshop.root / "assets/portraits/yrr.webp").read_bytes())
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert workshop.build() == {}


def test_what_the_store_has_no_more_is_not_offered(workshop: Workshop) -> None:
    made_yrr(workshop)
    made_yrr(workshop, "another figure")
    shutil.rmtree(workshop.root / ".imagegen/store/blobs")
    assert [past.is_now for past in workshop.list_versions(YRR)] == [True]


STEPS = st.lists(st.sampled_from(["prompt", "reroll", "accept", "back"]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5, deadline=None)
@given(STEPS)
def test_whatever_was_done_every_image_can_be_gone_back_to_and_stays(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("back"))
    seen = [made_yrr(workshop, "figure 0")]
    for number, step in enumerate(steps, start=1):
        if step == "prompt":
            job(workshop, f"figure {number}")
        elif step == "reroll":
            workshop.reroll(YRR)
        elif step == "accept":
            workshop.touch_up("yrr", f"#{number:06x}")
            workshop.accept(YRR)
        elif len(workshop.list_versions(YRR)) > 1:
            workshop.restore(YRR, len(workshop.list_versions(YRR)))
        workshop.build()
        seen.append(workshop.path("yrr").read_bytes())
    calls = workshop.calls()
    shown = set()
    for number in range(1, len(workshop.list_versions(YRR)) + 1):
        if not workshop.list_versions(YRR)[number - 1].is_now:
            workshop.restore(YRR, number)
        assert workshop.build() == {}
        shown.add(workshop.path("yrr").read_bytes())
    assert set(seen) <= shown
    assert workshop.calls() == calls


def test_a_reroll_that_was_not_made_is_taken_back(workshop: Workshop) -> None:
    before = made_yrr(workshop)
    workshop.reroll(YRR)
    assert workshop.states()[YRR] == "stale"
    workshop.restore(YRR)
    assert workshop.build() == {}
    assert workshop.path("yrr").read_bytes() == before
