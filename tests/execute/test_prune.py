"""Images that the lock file of another job records: the job was renamed, an item moved, or both write to one folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagegen.execute.prune import UnusedFiles, find_deleted_jobs, find_unused, prune, refresh_derived
from imagegen.execute.run import run
from tests.project_folder import SMALL_JOB, ProjectFolder, picture

__all__ = []


ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("A", "B", "C", "D")]


def look(folder: ProjectFolder, *, candidates: bool = False) -> UnusedFiles:
    project = folder.project()
    return find_unused(project, project.plans(), candidates=candidates)


def pruned(folder: ProjectFolder, *, candidates: bool = False, store_bytes: int | None = None) -> UnusedFiles:
    project = folder.project()
    if store_bytes is not None:
        project.settings = replace(project.settings, store_bytes=store_bytes)
    waste = find_unused(project, project.plans(), candidates=candidates)
    prune(project, waste)
    return waste


@pytest.fixture
def built(folder: ProjectFolder) -> ProjectFolder:
    folder.job(items=ITEMS)
    folder.build()
    return folder


def test_where_all_is_needed_there_is_nothing(built: ProjectFolder) -> None:
    assert not look(built)
    before = built.files()
    pruned(built)
    assert built.files() == before


def test_images_whose_items_are_gone_go_with_their_lines_and_can_be_had_back(built: ProjectFolder) -> None:
    before = built.files()
    built.job(items=ITEMS[:2])
    pruned(built)
    assert sorted(Path(path).stem for path in built.files()) == ["a", "b"]
    assert b'"output":"c"' not in built.lock()
    assert not look(built)
    built.job(items=ITEMS)
    assert set(built.build().values()) == {"restored"}
    assert built.files() == before


def test_looking_removes_nothing(built: ProjectFolder) -> None:
    built.job(items=ITEMS[:2])
    before, lock = built.files(), built.lock()
    assert len(look(built).orphans) == 2
    assert (built.files(), built.lock()) == (before, lock)


def test_what_somebody_changed_is_never_removed(built: ProjectFolder) -> None:
    mine = built.touch_up("c")
    accepted = built.touch_up("d", "blue")
    built.accept("portraits:d")
    built.job(items=ITEMS[:2])
    waste = pruned(built)
    assert not waste
    assert {orphan.why for orphan in waste.orphans} == {"changed since it was generated, by hand or by git"}
    assert (built.image("c").read_bytes(), built.image("d").read_bytes()) == (mine, accepted)
    assert b'"output":"c"' in built.lock()


def test_files_that_are_not_ours_and_those_of_a_broken_job_stay(built: ProjectFolder) -> None:
    (built.root / "assets/portraits/notes.txt").write_text("mine")
    (built.root / "assets/portraits/photo.png").write_text("mine too")
    (built.root / "jobs/portraits.yaml").write_text("items: 7")
    before = built.files()
    pruned(built)
    assert built.files() == before


def test_images_of_a_deleted_job_are_reported_until_they_are_pruned(built: ProjectFolder) -> None:
    def deleted() -> list[str]:
        project = built.project()
        return [f"{one.where}: {one.what}" for one in find_deleted_jobs(project, project.plans())]

    built.touch_up("d")
    assert deleted() == []
    (built.root / "jobs/portraits.yaml").unlink()
    said = "there is no job 'portraits' any more, but 3 of its images are still there"
    assert deleted() == [f"jobs/portraits.lock: {said}"]
    pruned(built)
    assert deleted() == []
    assert [Path(path).stem for path in built.files()] == ["d"]


def test_a_line_without_file_and_item_goes(built: ProjectFolder) -> None:
    built.image("d").unlink()
    built.job(items=ITEMS[:3])
    pruned(built)
    assert b'"output":"d"' not in built.lock()
    assert len(built.files()) == 3


def test_an_image_that_another_job_has_now_is_none_of_no_item(built: ProjectFolder) -> None:
    built.job(items=ITEMS[:2])
    built.job("moved", items=ITEMS[2:], output={"dir": "assets/portraits"})
    assert not look(built).orphans


def test_candidates_go_on_request_only_but_for_those_that_somebody_changed(folder: ProjectFolder) -> None:
    folder.job(items=ITEMS[:1], variants=3)
    folder.build()
    mine = folder.touch_up("a-v2")
    folder.pick("a", 1)
    assert not look(folder)
    waste = pruned(folder, candidates=True)
    assert waste.changed == (".imagegen/candidates/portraits/a-v2.png",)
    assert sorted(folder.files()) == [".imagegen/candidates/portraits/a-v2.png", "assets/portraits/a.png"]
    assert mine in folder.files().values()
    assert folder.states() == {"portraits:a": "fresh"}
    # the store has them all the same
    folder.pick("a", 3)
    assert folder.states() == {"portraits:a": "fresh"}
    assert len(folder.calls()) == 3


def test_what_a_killed_run_left_goes(built: ProjectFolder) -> None:
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


def test_the_store_goes_down_to_its_bound_what_was_used_longest_ago_first(built: ProjectFolder) -> None:
    blobs = sorted(path for path in (built.root / ".imagegen/store/blobs").rglob("*") if path.is_file())
    for age, path in enumerate(blobs):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    size = sum(path.stat().st_size for path in blobs)
    oldest = blobs[-1].stat().st_size
    assert pruned(built, store_bytes=size - 1).store_bytes == oldest
    assert [path.exists() for path in blobs] == [True, True, True, False]
    assert set(built.states().values()) == {"fresh"}


MALLSING, YRR = SMALL_JOB["items"]
SHARED: dict[str, Any] = {"output": {"dir": "assets/portraits"}}


def renamed(folder: ProjectFolder, *, lock: bool = False) -> str:
    """What is wrong with the job after its renaming, in a clone."""
    for suffix in ("yaml", "lock") if lock else ("yaml",):
        (folder.root / f"jobs/portraits.{suffix}").rename(folder.root / f"jobs/heroes.{suffix}")
    shutil.rmtree(folder.root / ".imagegen")
    return " ".join(str(problem) for plan in folder.project().plans() for problem in plan.problems)


def test_a_job_renamed_without_its_lock_file_names_the_command(folder: ProjectFolder) -> None:
    folder.job(**SHARED)
    folder.build()
    assert "git mv jobs/portraits.lock jobs/heroes.lock" in renamed(folder)
    (folder.root / "jobs/portraits.lock").rename(folder.root / "jobs/heroes.lock")
    assert folder.build() == {}


def test_so_does_one_whose_decisions_would_be_lost(folder: ProjectFolder) -> None:
    folder.job(generate=SMALL_JOB["generate"] | {"seed": {"mode": "random"}})
    folder.build()
    assert "git mv" in renamed(folder)


def test_with_its_lock_file_nothing_is_generated(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    before = len(folder.calls())
    assert renamed(folder, lock=True) == ""
    assert folder.build() == {"heroes:mallsing": "restored", "heroes:yrr": "restored"}
    assert len(folder.calls()) == before


def test_another_job_of_other_images_is_another_job(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    (folder.root / "jobs/portraits.yaml").unlink()
    folder.job("heroes", items=[{"name": "Okka", "prompt": "a broad figure"}])
    assert folder.build() == {"heroes:okka": "generated"}


def moved(folder: ProjectFolder, prompt: str = YRR["prompt"]) -> None:
    """An item goes from one job to another that writes to the same folder; and there is no store."""
    folder.job(**SHARED)
    folder.build()
    shutil.rmtree(folder.root / ".imagegen")
    folder.job(**SHARED, items=[MALLSING])
    folder.job("heroes", **SHARED, items=[YRR | {"prompt": prompt}])


def test_an_item_that_moved_to_another_job_takes_its_image_along(folder: ProjectFolder) -> None:
    moved(folder)
    before, calls = folder.files(), len(folder.calls())
    assert folder.build() == {"heroes:yrr": "restored"}
    assert (folder.files(), len(folder.calls()), folder.build()) == (before, calls, {})


def test_moved_and_changed_it_is_not_replaced_unasked(folder: ProjectFolder) -> None:
    moved(folder, "another figure")
    before = folder.files()
    assert folder.build() == {"heroes:yrr": "failed"}
    assert "jobs/portraits.lock records it" in folder.problems["heroes:yrr"].what
    assert folder.files() == before


def test_pruning_leaves_the_file_to_the_job_that_has_it_now(folder: ProjectFolder) -> None:
    moved(folder)
    assert not pruned(folder), "before the other lock file has it, the first one says what it is"
    folder.build()
    before = folder.files()
    (orphan,) = pruned(folder).orphans
    assert (orphan.job, orphan.owner, orphan.exists) == ("portraits", "heroes", False)
    assert (folder.files(), folder.build()) == (before, {})
    assert b"yrr" not in folder.lock()
    assert not pruned(folder)


def test_of_two_lock_files_that_know_a_file_of_no_item_both_forget_it(folder: ProjectFolder) -> None:
    moved(folder)
    folder.build()
    folder.job("heroes", **SHARED, items=[{"name": "Okka", "prompt": "a broad figure"}])
    data = folder.image("yrr").read_bytes()
    assert len(pruned(folder).orphans) == 2
    assert not folder.image("yrr").exists()
    assert folder.is_kept(data)
    assert not pruned(folder)


def build_variants(folder: ProjectFolder) -> None:
    folder.job(variants=2, derive={"thumb": {"width": 16}}, sheet={"cell": 16})
    assert set(folder.build().values()) == {"generated", "derived"}


def pick(folder: ProjectFolder, variant: int) -> dict[str, str]:
    """What became of the derived outputs."""
    found = folder.pick("mallsing", variant)
    project = folder.project()
    became: dict[str, str] = {}
    outputs = refresh_derived(project, found)
    run(project, outputs, lambda one: became.update({one.output.slug: one.state}))  # type: ignore[union-attr]
    return became


def derived(folder: ProjectFolder) -> set[str]:
    names = {path.rpartition("/")[2] for path in folder.files()}
    return {name for name in names if "thumb" in name or "sheet" in name}


def test_they_follow_the_pick_and_nothing_is_stale(folder: ProjectFolder) -> None:
    build_variants(folder)
    thumb = (folder.root / "assets/portraits/mallsing-v2-thumb.png").read_bytes()
    sheet = (folder.root / "assets/portraits/sheet.png").read_bytes()
    assert pick(folder, 2) == {"mallsing:thumb": "restored", "sheet": "derived", "sheet:index": "derived"}
    ours, others = {"mallsing-thumb.png"}, {"yrr-v1-thumb.png", "yrr-v2-thumb.png", "sheet.png", "sheet.json"}
    assert derived(folder) == ours | others
    assert (folder.root / "assets/portraits/mallsing-thumb.png").read_bytes() == thumb
    assert folder.is_kept(sheet)
    assert folder.build() == {}
    assert pick(folder, 0)["mallsing-v2:thumb"] == "restored"
    assert derived(folder) == {"mallsing-v1-thumb.png", "mallsing-v2-thumb.png", *others}
    assert folder.build() == {}
    assert len(folder.calls()) == 4


def test_a_derived_file_that_somebody_changed_stays(folder: ProjectFolder) -> None:
    build_variants(folder)
    mine = picture("blue", (16, 16))
    (folder.root / "assets/portraits/mallsing-v1-thumb.png").write_bytes(mine)
    pick(folder, 2)
    assert (folder.root / "assets/portraits/mallsing-v1-thumb.png").read_bytes() == mine


def test_what_is_made_from_an_image_that_is_not_there_waits_for_it(folder: ProjectFolder) -> None:
    build_variants(folder)
    folder.image("yrr-v1").unlink()
    assert pick(folder, 1) == {"mallsing:thumb": "restored"}


def test_items_with_a_name_that_goes_on_like_the_picked_one_are_left_alone(folder: ProjectFolder) -> None:
    items = [{"name": name, "prompt": name} for name in ("Mallsing", "Mallsing-vale", "Mallsing-v")]
    folder.job(items=items, variants=2, derive={"thumb": {"width": 16}})
    folder.build()
    folder.job(items=items[:1], variants=2, derive={"thumb": {"width": 16}})
    pick(folder, 1)
    names = {f"mallsing-{end}-v{number}-thumb.png" for end in ("v", "vale") for number in (1, 2)}
    assert names < derived(folder)


def test_a_file_whose_name_only_changed_in_case_stays_where_the_system_ignores_case(built: ProjectFolder) -> None:
    built.job(items=ITEMS, output={"case": "keep"})
    assert set(built.build().values()) == {"restored"}
    built.image("a").unlink()
    built.image("a").hardlink_to(built.image("A"))  # as such a system shows it: one file by both names
    there = {Path(orphan.path).stem: orphan.exists for orphan in pruned(built).orphans}
    assert there == {"a": False, "b": True, "c": True, "d": True}
    assert built.image("A").exists()
    assert (built.build(), bool(pruned(built))) == ({}, False)
