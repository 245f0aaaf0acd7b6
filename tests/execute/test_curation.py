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
from tests.images.pictures import read
from tests.project_folder import SMALL_JOB, ProjectFolder, picture
from tests.scripted import Script, ScriptedBackend

__all__ = []


YRR = "portraits:yrr"


def write_and_build(folder: ProjectFolder, **changes: Any) -> None:
    folder.job(**changes)
    folder.build()


def prompts(yrr: str) -> list[dict[str, Any]]:
    return [SMALL_JOB["items"][0], SMALL_JOB["items"][1] | {"prompt": yrr}]


def test_a_hand_edited_file_is_the_image_until_its_request_changes(folder: ProjectFolder) -> None:
    write_and_build(folder)
    mine = folder.touch_up("yrr")
    assert folder.states()[YRR] == "kept"
    assert folder.accept(YRR).note == "accepted: changed since it was generated, by hand or by git"
    assert (folder.states()[YRR], folder.note(YRR)) == (
        "fresh",
        "accepted: changed since it was generated, by hand or by git",
    )
    assert folder.build() == {}
    assert folder.image("yrr").read_bytes() == mine
    assert read(mine) is None
    folder.job(items=prompts("another figure"))
    assert folder.build() == {YRR: "generated"}
    assert folder.is_kept(mine)
    folder.job()
    assert folder.build() == {YRR: "restored"}
    assert folder.image("yrr").read_bytes() == mine


def test_a_file_that_was_there_before_is_the_image(folder: ProjectFolder) -> None:
    mine = folder.touch_up("yrr")
    write_and_build(folder)
    assert folder.accept(YRR).note == "accepted: it was there before"
    assert folder.build() == {}
    assert folder.image("yrr").read_bytes() == mine
    assert len(folder.calls()) == 1


def test_it_is_one_line_of_the_lock_file_that_a_clone_reads(folder: ProjectFolder, tmp_path: Path) -> None:
    write_and_build(folder)
    folder.touch_up("yrr")
    folder.accept(YRR)
    (line,) = [json.loads(line) for line in folder.lock().splitlines() if b'"decision"' in line]
    assert (line["decision"], line["output"], sorted(line["value"])) == ("accept", "yrr", ["fingerprint", "sha256"])
    shutil.copytree(folder.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    clone = ProjectFolder(tmp_path / "clone", SMALL_JOB)
    assert set(clone.states().values()) == {"fresh"}
    clone.job(items=prompts("another figure"))
    mine = clone.image("yrr").read_bytes()
    assert clone.build() == {YRR: "generated"}
    assert clone.is_kept(mine)


def test_images_stay_after_a_cosmetic_change_of_the_prompt(folder: ProjectFolder) -> None:
    write_and_build(folder)
    before = folder.files()
    folder.job(prompt={"suffix": "fine art"})
    assert set(folder.states().values()) == {"stale"}
    for task in folder.outputs():
        folder.accept(task)
    assert folder.build() == {}
    assert folder.files() == before
    assert folder.note(YRR) == "accepted as it is: prompt changed"
    assert len(folder.calls()) == 2


def test_an_accepted_file_that_was_deleted_is_brought_back(folder: ProjectFolder) -> None:
    write_and_build(folder)
    mine = folder.touch_up("yrr")
    folder.accept(YRR)
    folder.image("yrr").unlink()
    assert folder.build() == {YRR: "restored"}
    assert folder.image("yrr").read_bytes() == mine


def test_in_another_folder_or_format_it_is_the_accepted_one_again(folder: ProjectFolder) -> None:
    write_and_build(folder)
    mine = folder.touch_up("yrr")
    folder.accept(YRR)
    folder.job(output={"dir": "assets/other"})
    folder.build()
    assert (folder.root / "assets/other/yrr.png").read_bytes() == mine
    folder.job(output={"dir": "assets/other", "format": "webp", "quality": 100})
    assert set(folder.build().values()) == {"restored"}
    data = (folder.root / "assets/other/yrr.webp").read_bytes()
    assert (verify(data).format, read(data)) == ("webp", None)
    assert set(folder.states().values()) == {"fresh"}
    assert len(folder.calls()) == 2


@pytest.mark.parametrize("was_there_before", [False, True])
def test_taken_back_an_edited_file_counts_as_it_did_and_nothing_replaces_it(
    folder: ProjectFolder, was_there_before: bool
) -> None:
    if was_there_before:
        mine = folder.touch_up("yrr")
        write_and_build(folder)
    else:
        write_and_build(folder)
        mine = folder.touch_up("yrr")
    before = folder.states(), folder.note(YRR)
    folder.accept(YRR)
    assert folder.take_back_accept(YRR).state == "unaccepted"
    assert (folder.states(), folder.note(YRR)) == before
    for prompt in ("a small figure", "another figure"):
        folder.job(items=prompts(prompt))
        folder.build()
        assert folder.image("yrr").read_bytes() == mine
    assert folder.take_back_accept(YRR).state == "fresh"


def test_taken_back_a_stale_image_is_stale_and_can_be_accepted_again(folder: ProjectFolder) -> None:
    write_and_build(folder)
    files = folder.files()
    folder.job(items=prompts("another figure"))
    folder.accept(YRR)
    assert folder.take_back_accept(YRR).note == "stale: prompt changed; the next doit generates it again"
    assert folder.states()[YRR] == "stale"
    folder.accept(YRR)
    assert folder.build() == {}
    assert folder.files() == files


def test_what_is_not_the_accepted_file_is_not_taken_back(folder: ProjectFolder) -> None:
    write_and_build(folder)
    folder.touch_up("yrr")
    folder.accept(YRR)
    lock = folder.lock()
    folder.touch_up("yrr", "blue")
    with pytest.raises(ImagegenError, match="not the file that was accepted"):
        folder.take_back_accept(YRR)
    folder.image("yrr").unlink()
    with pytest.raises(ImagegenError, match="is missing"):
        folder.take_back_accept(YRR)
    assert folder.lock() == lock


def test_asked_for_anew_it_is_made_anew_and_can_be_gone_back_to(folder: ProjectFolder) -> None:
    write_and_build(folder)
    mine = folder.touch_up("yrr")
    folder.accept(YRR)
    assert folder.build(YRR, forced=True) == {YRR: "generated"}
    generated = folder.image("yrr").read_bytes()
    assert generated != mine
    folder.image("yrr").unlink()
    assert folder.build() == {YRR: "restored"}
    assert folder.image("yrr").read_bytes() == generated
    hands = [past for past in folder.list_versions(YRR) if past.by_hand]
    assert len(hands) == 1
    folder.restore(YRR, folder.list_versions(YRR).index(hands[0]) + 1)
    assert folder.image("yrr").read_bytes() == mine
    assert folder.build() == {}


def test_edited_once_more_it_is_kept_and_can_be_accepted_again(folder: ProjectFolder) -> None:
    write_and_build(folder)
    folder.touch_up("yrr")
    folder.accept(YRR)
    folder.touch_up("yrr", "blue")
    assert folder.states()[YRR] == "kept"
    folder.accept(YRR)
    assert folder.states()[YRR] == "fresh"


def test_what_is_fresh_or_missing_needs_no_decision(folder: ProjectFolder) -> None:
    write_and_build(folder)
    lock = folder.lock()
    assert folder.accept(YRR).state == "fresh"
    folder.image("yrr").unlink()
    assert folder.accept(YRR).state == "missing"
    assert folder.lock() == lock


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no picture", "cannot be used"),
        (picture()[:-9], "cannot be used"),
        (picture(kind="webp"), "is a webp file, but its name and the job say png"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n", "a Git LFS pointer"),
    ],
)
def test_what_is_no_image_is_refused(folder: ProjectFolder, data: bytes, message: str) -> None:
    write_and_build(folder)
    folder.image("yrr").write_bytes(data)
    lock = folder.lock()
    with pytest.raises(ImagegenError, match=message):
        folder.accept(YRR)
    assert folder.lock() == lock


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
        ("AVIF", "RGBA", b"frames"),
        ("AVIF", "RGB", b"\n"),
    ],
)
def test_a_photo_is_accepted_whole_and_what_is_derived_of_it_shows_its_first_picture(
    folder: ProjectFolder, kind: str, mode: str, more: bytes
) -> None:
    suffix = {"MPO": "jpg", "JPEG": "jpg"}.get(kind, kind.lower())
    write_and_build(
        folder,
        output={"format": {"jpg": "jpeg"}.get(suffix, suffix)},
        derive={"thumb": {"width": 16}},
        sheet={"cell": 16},
    )
    (path,) = folder.root.glob("assets/portraits/yrr.*")
    path.write_bytes(data := photo(kind, mode, more))
    assert folder.accept(YRR).state == "accepted"
    assert set(folder.build().values()) == {"derived"}
    assert path.read_bytes() == data
    project = folder.project()
    assert {one.state for one in verify_outputs(project, list(folder.outputs(project).values()))} == {
        "intact",
        "accepted",
    }
    path.unlink()
    assert folder.build() == {YRR: "restored"}
    assert path.read_bytes() == data


def test_another_size_than_the_jobs_is_accepted_and_told(folder: ProjectFolder) -> None:
    write_and_build(folder)
    folder.image("yrr").write_bytes(picture(size=(40, 30)))
    assert "it is 40×30, the job asks for 32×32" in folder.accept(YRR).note


def test_a_random_seed_is_drawn_for_it(folder: ProjectFolder) -> None:
    folder.touch_up("yrr")
    folder.job(generate={"width": 32, "height": 32, "seed": {"mode": "random"}})
    folder.accept(YRR)
    assert folder.states()[YRR] == "fresh"


def test_of_two_merged_branches_the_later_decision_counts(folder: ProjectFolder) -> None:
    write_and_build(folder)
    base = folder.lock()
    folder.touch_up("yrr", "red")
    folder.accept(YRR)
    one = folder.lock()
    second = folder.touch_up("yrr", "blue")
    folder.accept(YRR)
    other = folder.lock()
    for merged in (one + other, other + one):
        (folder.root / "jobs/portraits.lock").write_bytes(base + merged)
        folder.image("yrr").write_bytes(second)
        assert folder.states()[YRR] == "fresh"
        first = folder.touch_up("yrr", "red")
        assert folder.states()[YRR] == "kept"
        assert folder.build() == {YRR: "kept"}
        assert folder.image("yrr").read_bytes() == first


def test_an_index_that_somebody_changed_can_be_accepted_too(folder: ProjectFolder) -> None:
    folder.job(sheet={"cell": 16})
    folder.build()
    index = folder.root / "assets/portraits/sheet.json"
    made = index.read_text()
    index.write_text("{}")
    with pytest.raises(ImagegenError, match=r"sheet\.json:1:1: 'meta' is missing"):
        folder.accept("portraits:sheet:index")
    changed = made.replace('"frame":', '"pivot": {"x": 0, "y": 1}, "frame":')
    index.write_text(changed)
    assert folder.accept("portraits:sheet:index").state == "accepted"
    assert folder.build() == {}
    assert index.read_text() == changed
    folder.image("yrr").unlink()
    with pytest.raises(ImagegenError, match=r"assets/portraits/yrr\.png is missing, which it is made from"):
        folder.accept("portraits:sheet:index")


def all_made(folder: ProjectFolder, **changes: Any) -> None:
    folder.job(**changes)
    assert set(folder.build().values()) == {"generated"}


@pytest.mark.parametrize("rule", [1, {"mode": "random"}, {"mode": "sequence", "base": 4}, {"mode": "fixed", "base": 4}])
def test_a_reroll_is_stronger_than_the_jobs_rule_and_stays(folder: ProjectFolder, rule: Any) -> None:
    all_made(folder, generate={"width": 32, "height": 32, "seed": rule})
    before = folder.image("yrr").read_bytes()
    seed = folder.reroll("portraits:yrr")
    assert 1 <= seed < 2**32
    assert folder.states() == {"portraits:mallsing": "fresh", "portraits:yrr": "stale"}
    assert folder.build() == {"portraits:yrr": "generated"}
    assert folder.outputs()["portraits:yrr"].request.seed == seed
    assert folder.image("yrr").read_bytes() != before
    assert folder.build() == {}
    assert folder.is_kept(before)


def test_a_variant_is_rerolled_by_its_own_name_also_while_it_is_picked(folder: ProjectFolder) -> None:
    all_made(folder, variants=2)
    folder.pick("yrr", 2)
    seed = folder.reroll("portraits:yrr")
    assert folder.build() == {"portraits:yrr": "generated"}
    folder.pick("yrr", 0)
    assert folder.outputs()["portraits:yrr-v2"].request.seed == seed
    assert set(folder.states().values()) == {"fresh"}


def test_an_item_with_a_seed_of_its_own_is_refused_and_nothing_is_decided(folder: ProjectFolder) -> None:
    all_made(folder, items=[*SMALL_JOB["items"], {"name": "Okka", "prompt": "a broad figure", "seed": 5}])
    lock = folder.lock()
    with pytest.raises(ImagegenError, match="take its 'seed' out of the job file"):
        folder.reroll("portraits:okka")
    assert folder.lock() == lock


def test_an_edited_image_is_not_rerolled(folder: ProjectFolder) -> None:
    all_made(folder)
    folder.touch_up("yrr")
    lock = folder.lock()
    with pytest.raises(ImagegenError, match="changed since it was generated, by hand or by git"):
        folder.reroll("portraits:yrr")
    assert folder.lock() == lock


def test_where_its_image_cannot_be_made_the_earlier_one_stays_and_the_next_build_makes_it(
    folder: ProjectFolder,
) -> None:
    all_made(folder)
    before = folder.image("yrr").read_bytes()
    folder.reroll("portraits:yrr")
    folder.backend = ScriptedBackend(Script(acts={"Yrr": [{"error": "out of memory"}, {}]}))
    assert folder.build() == {"portraits:yrr": "failed"}
    assert folder.image("yrr").read_bytes() == before
    assert folder.build() == {"portraits:yrr": "generated"}


def test_an_own_seed_in_the_job_goes_before_a_reroll(folder: ProjectFolder) -> None:
    all_made(folder)
    folder.reroll("portraits:yrr")
    folder.job(items=[SMALL_JOB["items"][0], SMALL_JOB["items"][1] | {"seed": 5}])
    assert folder.outputs()["portraits:yrr"].request.seed == 5


def test_a_clone_has_the_seed_too(folder: ProjectFolder, tmp_path: Path) -> None:
    all_made(folder)
    folder.reroll("portraits:yrr")
    folder.build()
    shutil.copytree(folder.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    assert set(ProjectFolder(tmp_path / "clone", SMALL_JOB).states().values()) == {"fresh"}


def test_what_is_derived_has_no_seed(folder: ProjectFolder) -> None:
    folder.job(derive={"thumb": {"width": 16}})
    with pytest.raises(ImagegenError, match="it is derived from portraits:yrr, and has no seed"):
        folder.reroll("portraits:yrr:thumb")


def job(folder: ProjectFolder, prompt: str = "a small figure", **changes: Any) -> None:
    folder.job(items=[SMALL_JOB["items"][0], {"name": "Yrr", "prompt": prompt}], **changes)


def made_yrr(folder: ProjectFolder, prompt: str = "a small figure", **changes: Any) -> bytes:
    job(folder, prompt, **changes)
    folder.build()
    return folder.image("yrr").read_bytes()


def test_a_reroll_is_gone_back_on_with_its_seed_and_leaves_the_rule_in_force(folder: ProjectFolder) -> None:
    before = made_yrr(folder)
    seed = folder.outputs()[YRR].request.seed
    folder.reroll(YRR)
    folder.build()
    assert folder.restore(YRR) == f"with its seed {seed}"
    assert folder.image("yrr").read_bytes() == before
    assert folder.build() == {}
    job(folder, generate={"width": 32, "height": 32, "seed": 2})
    assert folder.outputs()[YRR].request.seed != seed


def test_of_two_rerolls_the_earlier_ones_seed_is_decided(folder: ProjectFolder) -> None:
    made_yrr(folder)
    first = folder.reroll(YRR)
    folder.build()
    image = folder.image("yrr").read_bytes()
    folder.reroll(YRR)
    folder.build()
    folder.restore(YRR)
    assert folder.image("yrr").read_bytes() == image
    assert folder.outputs()[YRR].request.seed == first
    assert folder.build() == {}


def test_an_image_of_another_prompt_stays_until_its_request_changes(folder: ProjectFolder) -> None:
    before = made_yrr(folder)
    made_yrr(folder, "another figure")
    assert folder.restore(YRR) == "accepted until its request changes"
    assert folder.image("yrr").read_bytes() == before
    record = read(before)
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert (folder.build(), folder.note(YRR)) == ({}, "accepted as it is: prompt changed")
    job(folder, "a third figure")
    assert folder.build() == {YRR: "generated"}
    job(folder, "another figure")
    assert folder.build() == {YRR: "restored"}
    assert folder.image("yrr").read_bytes() == before


def test_another_take_of_the_same_request(folder: ProjectFolder) -> None:
    folder.backend = ScriptedBackend(Script(acts={"Yrr": [{"format": "png"}, {"format": "webp"}]}))
    first = made_yrr(folder)
    folder.build(YRR, forced=True)
    assert folder.image("yrr").read_bytes() != first
    assert folder.restore(YRR) == ""
    for _ in range(2):
        assert folder.image("yrr").read_bytes() == first
        assert folder.states()[YRR] == "fresh"
        # deleted, it is that one which comes back
        folder.image("yrr").unlink()
        assert folder.build() == {YRR: "restored"}
    assert len(folder.calls()) == 3


def test_the_list_has_all_numbered_by_age_with_what_differs(folder: ProjectFolder) -> None:
    made_yrr(folder)
    made_yrr(folder, "another figure")
    folder.reroll(YRR)
    folder.build()
    pasts = folder.list_versions(YRR)
    assert [past.is_now for past in pasts] == [True, False, False]
    message = [sorted(str(reason).split()[0] for reason in past.reasons) for past in pasts]
    assert message == [[], ["seed"], ["prompt", "seed"]]
    folder.restore(YRR, 3)
    assert [past.time for past in folder.list_versions(YRR)] == [past.time for past in pasts]
    assert [past.is_now for past in folder.list_versions(YRR)] == [False, False, True]


def test_an_image_goes_by_its_variant_before_and_after_a_pick(folder: ProjectFolder) -> None:
    job(folder, variants=2)
    folder.build()
    first = folder.image("yrr-v2").read_bytes()
    folder.pick("yrr", 2)
    folder.reroll(YRR)
    folder.build()
    folder.restore(YRR)
    assert folder.image("yrr").read_bytes() == first
    folder.pick("yrr", 0)
    assert folder.image("yrr-v2").read_bytes() == first
    assert set(folder.states().values()) == {"fresh"}


def test_an_edit_that_was_not_accepted_is_not_replaced(folder: ProjectFolder) -> None:
    made_yrr(folder)
    made_yrr(folder, "another figure")
    mine = folder.touch_up("yrr")
    lock = folder.lock()
    with pytest.raises(ImagegenError, match=r"doit accept .* keeps it as a version; then doit restore"):
        folder.restore(YRR)
    assert (folder.image("yrr").read_bytes(), folder.lock()) == (mine, lock)


def test_in_a_clone_there_is_only_what_is_there(folder: ProjectFolder) -> None:
    made_yrr(folder)
    shutil.rmtree(folder.root / ".imagegen")
    (past,) = folder.list_versions(YRR)
    assert past.is_now
    made_yrr(folder, "another figure")
    assert len(folder.list_versions(YRR)) == 2


def test_in_another_format_it_is_encoded_again_with_its_own_provenance(folder: ProjectFolder) -> None:
    made_yrr(folder)
    made_yrr(folder, "another figure")
    job(folder, "another figure", output={"format": "webp"})
    folder.build()
    folder.restore(YRR, 2)
    record = read((folder.root / "assets/portraits/yrr.webp").read_bytes())
    assert record is not None
    assert record["request"]["prompt"] == "a small figure"
    assert folder.build() == {}


def test_what_the_store_has_no_more_is_not_offered(folder: ProjectFolder) -> None:
    made_yrr(folder)
    made_yrr(folder, "another figure")
    shutil.rmtree(folder.root / ".imagegen/store/blobs")
    assert [past.is_now for past in folder.list_versions(YRR)] == [True]


STEPS = st.lists(st.sampled_from(["prompt", "reroll", "accept", "back"]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5, deadline=None)
@given(STEPS)
def test_whatever_was_done_every_image_can_be_gone_back_to_and_stays(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = ProjectFolder(tmp_path_factory.mktemp("back"), SMALL_JOB)
    seen = [made_yrr(folder, "figure 0")]
    for number, step in enumerate(steps, start=1):
        if step == "prompt":
            job(folder, f"figure {number}")
        elif step == "reroll":
            folder.reroll(YRR)
        elif step == "accept":
            folder.touch_up("yrr", f"#{number:06x}")
            folder.accept(YRR)
        elif len(folder.list_versions(YRR)) > 1:
            folder.restore(YRR, len(folder.list_versions(YRR)))
        folder.build()
        seen.append(folder.image("yrr").read_bytes())
    calls = len(folder.calls())
    shown = set()
    for number in range(1, len(folder.list_versions(YRR)) + 1):
        if not folder.list_versions(YRR)[number - 1].is_now:
            folder.restore(YRR, number)
        assert folder.build() == {}
        shown.add(folder.image("yrr").read_bytes())
    assert set(seen) <= shown
    assert len(folder.calls()) == calls


def test_a_reroll_that_was_not_made_is_taken_back(folder: ProjectFolder) -> None:
    before = made_yrr(folder)
    folder.reroll(YRR)
    assert folder.states()[YRR] == "stale"
    folder.restore(YRR)
    assert folder.build() == {}
    assert folder.image("yrr").read_bytes() == before


@pytest.mark.parametrize("sheet", [{"cell": 16}, {"layout": "packed"}], ids=["grid", "packed"])
def test_an_earlier_page_or_index_of_a_sheet_is_refused_since_the_others_would_not_fit(
    folder: ProjectFolder, sheet: dict[str, Any]
) -> None:
    tasks = ["portraits:sheet", "portraits:sheet:index", "portraits:sheet:css"]
    write_and_build(folder, sheet={**sheet, "index": "css"})
    write_and_build(folder, items=prompts("an otter")[:1], sheet={**sheet, "index": "css"})
    now = [folder.root / folder.outputs()[task].path for task in tasks]
    before = [path.read_bytes() for path in now]
    for task in tasks:
        with pytest.raises(ImagegenError, match="from an earlier sheet"):
            folder.restore(task)
    assert [path.read_bytes() for path in now] == before
    # touched up for this sheet, it fits, and so does the one before
    now[1].write_bytes(before[1] + b"\n")
    folder.accept(tasks[1])
    folder.restore(tasks[1])
    assert now[1].read_bytes() == before[1]
