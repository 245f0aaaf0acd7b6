"""Images that the lock file of another job records: the job was renamed, an item moved, or both write to one folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.execute.prune import UnusedFiles, find_unused, prune, refresh_derived
from imagegen.execute.run import run
from tests.execute.workshop import JOB, Workshop, picture

__all__ = []


ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("A", "B", "C", "D")]


def look(workshop: Workshop, *, candidates: bool = False) -> UnusedFiles:
    project = workshop.project()
    return find_unused(project, project.plans(), candidates=candidates)


def pruned(workshop: Workshop, *, candidates: bool = False, store_bytes: int | None = None) -> UnusedFiles:
    project = workshop.project()
    if store_bytes is not None:
        project.settings = replace(project.settings, store_bytes=store_bytes)
    waste = find_unused(project, project.plans(), candidates=candidates)
    prune(project, waste)
    return waste


@pytest.fixture
def built(workshop: Workshop) -> Workshop:
    workshop.job(items=ITEMS)
    workshop.build()
    return workshop


def test_where_all_is_needed_there_is_nothing(built: Workshop) -> None:
    assert not look(built)
    before = built.files()
    pruned(built)
    assert built.files() == before


def test_images_whose_items_are_gone_go_with_their_lines_and_can_be_had_back(built: Workshop) -> None:
    before = built.files()
    built.job(items=ITEMS[:2])
    pruned(built)
    assert sorted(Path(path).stem for path in built.files()) == ["a", "b"]
    assert b'"output":"c"' not in built.lock()
    assert not look(built)
    built.job(items=ITEMS)
    assert set(built.build().values()) == {"restored"}
    assert built.files() == before


def test_looking_removes_nothing(built: Workshop) -> None:
    built.job(items=ITEMS[:2])
    before, lock = built.files(), built.lock()
    assert len(look(built).orphans) == 2
    assert (built.files(), built.lock()) == (before, lock)


def test_what_somebody_changed_is_never_removed(built: Workshop) -> None:
    mine = built.touch_up("c")
    accepted = built.touch_up("d", "blue")
    built.accept("portraits:d")
    built.job(items=ITEMS[:2])
    waste = pruned(built)
    assert not waste
    assert {orphan.why for orphan in waste.orphans} == {"changed since it was generated, by hand or by git"}
    assert (built.path("c").read_bytes(), built.path("d").read_bytes()) == (mine, accepted)
    assert b'"output":"c"' in built.lock()


def test_files_that_are_not_ours_and_those_of_a_broken_job_stay(built: Workshop) -> None:
    (built.root / "assets/portraits/notes.txt").write_text("mine")
    (built.root / "assets/portraits/photo.png").write_text("mine too")
    (built.root / "jobs/portraits.yaml").write_text("items: 7")
    before = built.files()
    pruned(built)
    assert built.files() == before


def test_a_line_without_file_and_item_goes(built: Workshop) -> None:
    built.path("d").unlink()
    built.job(items=ITEMS[:3])
    pruned(built)
    assert b'"output":"d"' not in built.lock()
    assert len(built.files()) == 3


def test_an_image_that_another_job_has_now_is_none_of_no_item(built: Workshop) -> None:
    built.job(items=ITEMS[:2])
    built.job("moved", items=ITEMS[2:], output={"dir": "assets/portraits"})
    assert not look(built).orphans


def test_candidates_go_on_request_only_but_for_those_that_somebody_changed(workshop: Workshop) -> None:
    workshop.job(items=ITEMS[:1], variants=3)
    workshop.build()
    mine = workshop.touch_up("a-v2")
    workshop.pick("a", 1)
    assert not look(workshop)
    waste = pruned(workshop, candidates=True)
    assert waste.changed == (".imagegen/candidates/portraits/a-v2.png",)
    assert sorted(workshop.files()) == [".imagegen/candidates/portraits/a-v2.png", "assets/portraits/a.png"]
    assert mine in workshop.files().values()
    assert workshop.states() == {"portraits:a": "fresh"}
    # the store has them all the same
    workshop.pick("a", 3)
    assert workshop.states() == {"portraits:a": "fresh"}
    assert workshop.calls() == 3


def test_what_a_killed_run_left_goes(built: Workshop) -> None:
    left = [built.root / f".imagegen/{name}" for name in ("tmp/.1.tmp", f"cache/.{'a' * 32}.tmp", "cache/hashes.tmp")]
    left.append(built.root / f"assets/portraits/.{'b' * 32}.tmp")
    theirs = [built.root / "assets/portraits/.mine.tmp", built.root / "assets/portraits/x.tmp"]
    for path in (*left, *theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert set(look(built).leftovers) == set(left)
    pruned(built)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in theirs)


def test_the_store_goes_down_to_its_bound_what_was_used_longest_ago_first(built: Workshop) -> None:
    blobs = sorted(path for path in (built.root / ".imagegen/store/blobs").rglob("*") if path.is_file())
    for age, path in enumerate(blobs):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    size = sum(path.stat().st_size for path in blobs)
    oldest = blobs[-1].stat().st_size
    assert pruned(built, store_bytes=size - 1).store_bytes == oldest
    assert [path.exists() for path in blobs] == [True, True, True, False]
    assert set(built.states().values()) == {"fresh"}


MALLSING, YRR = JOB["items"]
SHARED: dict[str, Any] = {"output": {"dir": "assets/portraits"}}


def renamed(workshop: Workshop, *, lock: bool = False) -> str:
    """What is wrong with the job after its renaming, in a clone."""
    for suffix in ("yaml", "lock") if lock else ("yaml",):
        (workshop.root / f"jobs/portraits.{suffix}").rename(workshop.root / f"jobs/heroes.{suffix}")
    shutil.rmtree(workshop.root / ".imagegen")
    return " ".join(str(problem) for plan in workshop.project().plans() for problem in plan.problems)


def test_a_job_renamed_without_its_lock_file_names_the_command(workshop: Workshop) -> None:
    workshop.job(**SHARED)
    workshop.build()
    assert "git mv jobs/portraits.lock jobs/heroes.lock" in renamed(workshop)
    (workshop.root / "jobs/portraits.lock").rename(workshop.root / "jobs/heroes.lock")
    assert workshop.build() == {}


def test_so_does_one_whose_decisions_would_be_lost(workshop: Workshop) -> None:
    workshop.job(generate=JOB["generate"] | {"seed": {"mode": "random"}})
    workshop.build()
    assert "git mv" in renamed(workshop)


def test_with_its_lock_file_nothing_is_generated(workshop: Workshop) -> None:
    workshop.job()
    workshop.build()
    before = workshop.calls()
    assert renamed(workshop, lock=True) == ""
    assert workshop.build() == {"heroes:mallsing": "restored", "heroes:yrr": "restored"}
    assert workshop.calls() == before


def test_another_job_of_other_images_is_another_job(workshop: Workshop) -> None:
    workshop.job()
    workshop.build()
    (workshop.root / "jobs/portraits.yaml").unlink()
    workshop.job("heroes", items=[{"name": "Okka", "prompt": "a broad figure"}])
    assert workshop.build() == {"heroes:okka": "generated"}


def moved(workshop: Workshop, prompt: str = YRR["prompt"]) -> None:
    """An item goes from one job to another that writes to the same folder; and there is no store."""
    workshop.job(**SHARED)
    workshop.build()
    shutil.rmtree(workshop.root / ".imagegen")
    workshop.job(**SHARED, items=[MALLSING])
    workshop.job("heroes", **SHARED, items=[YRR | {"prompt": prompt}])


def test_an_item_that_moved_to_another_job_takes_its_image_along(workshop: Workshop) -> None:
    moved(workshop)
    before, calls = workshop.files(), workshop.calls()
    assert workshop.build() == {"heroes:yrr": "restored"}
    assert (workshop.files(), workshop.calls(), workshop.build()) == (before, calls, {})


def test_moved_and_changed_it_is_not_replaced_unasked(workshop: Workshop) -> None:
    moved(workshop, "another figure")
    before = workshop.files()
    assert workshop.build() == {"heroes:yrr": "failed"}
    assert "jobs/portraits.lock records it" in workshop.problems["heroes:yrr"].what
    assert workshop.files() == before


def test_pruning_leaves_the_file_to_the_job_that_has_it_now(workshop: Workshop) -> None:
    moved(workshop)
    assert not pruned(workshop), "before the other lock file has it, the first one says what it is"
    workshop.build()
    before = workshop.files()
    (orphan,) = pruned(workshop).orphans
    assert (orphan.job, orphan.owner, orphan.exists) == ("portraits", "heroes", False)
    assert (workshop.files(), workshop.build()) == (before, {})
    assert b"yrr" not in workshop.lock()
    assert not pruned(workshop)


def test_of_two_lock_files_that_know_a_file_of_no_item_both_forget_it(workshop: Workshop) -> None:
    moved(workshop)
    workshop.build()
    workshop.job("heroes", **SHARED, items=[{"name": "Okka", "prompt": "a broad figure"}])
    data = workshop.path("yrr").read_bytes()
    assert len(pruned(workshop).orphans) == 2
    assert not workshop.path("yrr").exists()
    assert workshop.is_kept(data)
    assert not pruned(workshop)


def made(workshop: Workshop) -> None:
    workshop.job(variants=2, derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    assert set(workshop.build().values()) == {"generated", "derived"}


def pick(workshop: Workshop, variant: int) -> dict[str, str]:
    """What became of the derived outputs."""
    found = workshop.pick("mallsing", variant)
    project = workshop.project()
    became: dict[str, str] = {}
    outputs = refresh_derived(project, found)
    run(project, outputs, lambda one: became.update({one.output.slug: one.state}))  # type: ignore[union-attr]
    return became


def derived(workshop: Workshop) -> set[str]:
    names = {path.rpartition("/")[2] for path in workshop.files()}
    return {name for name in names if "thumb" in name or "sheet" in name}


def test_they_follow_the_pick_and_nothing_is_stale(workshop: Workshop) -> None:
    made(workshop)
    thumb = (workshop.root / "assets/portraits/mallsing-v2-thumb.png").read_bytes()
    sheet = (workshop.root / "assets/portraits/sheet.png").read_bytes()
    assert pick(workshop, 2) == {"mallsing:thumb": "restored", "sheet": "derived", "sheet:index": "derived"}
    ours, others = {"mallsing-thumb.png"}, {"yrr-v1-thumb.png", "yrr-v2-thumb.png", "sheet.png", "sheet.json"}
    assert derived(workshop) == ours | others
    assert (workshop.root / "assets/portraits/mallsing-thumb.png").read_bytes() == thumb
    assert workshop.is_kept(sheet)
    assert workshop.build() == {}
    assert pick(workshop, 0)["mallsing-v2:thumb"] == "restored"
    assert derived(workshop) == {"mallsing-v1-thumb.png", "mallsing-v2-thumb.png", *others}
    assert workshop.build() == {}
    assert workshop.calls() == 4


def test_a_derived_file_that_somebody_changed_stays(workshop: Workshop) -> None:
    made(workshop)
    mine = picture("blue", (16, 16))
    (workshop.root / "assets/portraits/mallsing-v1-thumb.png").write_bytes(mine)
    pick(workshop, 2)
    assert (workshop.root / "assets/portraits/mallsing-v1-thumb.png").read_bytes() == mine


def test_what_is_made_from_an_image_that_is_not_there_waits_for_it(workshop: Workshop) -> None:
    made(workshop)
    workshop.path("yrr-v1").unlink()
    assert pick(workshop, 1) == {"mallsing:thumb": "restored"}


def test_items_with_a_name_that_goes_on_like_the_picked_one_are_left_alone(workshop: Workshop) -> None:
    items = [{"name": name, "prompt": name} for name in ("Mallsing", "Mallsing-vale", "Mallsing-v")]
    workshop.job(items=items, variants=2, derive={"thumb": {"width": 16}})
    workshop.build()
    workshop.job(items=items[:1], variants=2, derive={"thumb": {"width": 16}})
    pick(workshop, 1)
    names = {f"mallsing-{end}-v{number}-thumb.png" for end in ("v", "vale") for number in (1, 2)}
    assert names < derived(workshop)
