from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagegen.execute.pruning import Waste, find_waste, prune
from tests.execute.workshop import Workshop

ITEMS = [{"name": name, "prompt": f"a {name}"} for name in ("A", "B", "C", "D")]


def look(workshop: Workshop, *, candidates: bool = False) -> Waste:
    project = workshop.project()
    return find_waste(project, project.plans(), candidates=candidates)


def pruned(workshop: Workshop, *, candidates: bool = False, store_bytes: int | None = None) -> Waste:
    project = workshop.project()
    if store_bytes is not None:
        project.settings = replace(project.settings, store_bytes=store_bytes)
    waste = find_waste(project, project.plans(), candidates=candidates)
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
    assert {orphan.why for orphan in waste.orphans} == {"changed by hand since it was made"}
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
