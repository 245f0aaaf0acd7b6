"""Images that the lock file of another job records: the job was renamed, an item moved, or both write to one folder."""

from __future__ import annotations

import shutil
from typing import Any

from imagegen.execute.pruning import Waste, find_waste, prune
from tests.execute.workshop import JOB, Workshop

MALLSING, YRR = JOB["items"]
SHARED: dict[str, Any] = {"output": {"dir": "assets/portraits"}}


def renamed(workshop: Workshop, *, lock: bool = False) -> str:
    """What is wrong with the job after its renaming, in a clone."""
    for suffix in ("yaml", "lock") if lock else ("yaml",):
        (workshop.root / f"jobs/portraits.{suffix}").rename(workshop.root / f"jobs/heroes.{suffix}")
    shutil.rmtree(workshop.root / ".imagegen")
    return " ".join(str(problem) for plan in workshop.project().plans() for problem in plan.problems)


def pruned(workshop: Workshop) -> Waste:
    project = workshop.project()
    waste = find_waste(project, project.plans(), candidates=False)
    prune(project, waste)
    return waste


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
