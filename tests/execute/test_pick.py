"""Picks: which file is where after them, and that nothing is stale, generated or lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagegen.errors import ImagegenError
from imagegen.execute.forecast import forecast
from tests.execute.workshop import Workshop, picture

__all__ = []


MOODS = {"mood": {"calm": "serene", "angry": "shouting"}}


def made(workshop: Workshop, **changes: Any) -> dict[str, bytes]:
    workshop.job(**{"variants": 3, **changes})
    assert set(workshop.build().values()) == {"generated"}
    return {Path(path).stem: data for path, data in workshop.files().items()}


def test_a_pick_is_the_items_image_in_the_jobs_own_name_and_nothing_is_stale(workshop: Workshop) -> None:
    before = made(workshop)
    calls = workshop.calls()
    found = workshop.pick("mallsing", 3)
    assert [output.task for output in found.outputs] == ["portraits:mallsing"]
    assert found.candidates == ("mallsing-v1", "mallsing-v2")
    files = workshop.files()
    assert files.pop("assets/portraits/mallsing.png") == before["mallsing-v3"]
    for number in (1, 2):
        path = f".imagegen/candidates/portraits/mallsing-v{number}.png"
        assert files.pop(path) == before[f"mallsing-v{number}"]
    assert sorted(files) == [f"assets/portraits/yrr-v{number}.png" for number in (1, 2, 3)]
    assert set(workshop.states().values()) == {"fresh"}
    assert workshop.build() == {}
    assert workshop.calls() == calls


def test_another_pick_later_and_none_any_more(workshop: Workshop) -> None:
    before = made(workshop)
    for number in (3, 1, 2, 2):
        workshop.pick("mallsing", number)
        assert workshop.path("mallsing").read_bytes() == before[f"mallsing-v{number}"]
        assert set(workshop.states().values()) == {"fresh"}
        assert len(workshop.files()) == 6
    workshop.pick("mallsing", 0)
    assert {Path(path).stem: data for path, data in workshop.files().items()} == before
    assert set(workshop.states().values()) == {"fresh"}
    assert b"mallsing.png" not in workshop.lock()
    assert workshop.calls() == 6


def test_cells_of_a_matrix_are_picked_each_by_itself(workshop: Workshop) -> None:
    items = [{"name": "Mallsing", "prompt": "a {mood} figure"}]
    before = made(workshop, matrix=MOODS, items=items)
    workshop.pick("mallsing-angry", 2)
    assert workshop.path("mallsing-angry").read_bytes() == before["mallsing-angry-v2"]
    assert [task for task in workshop.states() if "calm" in task] == [
        f"portraits:mallsing-calm-v{n}" for n in (1, 2, 3)
    ]
    assert set(workshop.states().values()) == {"fresh"}


@pytest.mark.parametrize("mode", ["random", "sequence", "by-name"])
def test_what_was_picked_keeps_its_seed(workshop: Workshop, mode: str) -> None:
    made(workshop, generate={"width": 32, "height": 32, "seed": {"mode": mode, "base": 7}})
    seeds = {task: output.request.seed for task, output in workshop.outputs().items()}
    workshop.pick("yrr", 2)
    after = {task: output.request.seed for task, output in workshop.outputs().items()}
    assert after.pop("portraits:yrr") == seeds["portraits:yrr-v2"]
    assert after == {task: seed for task, seed in seeds.items() if "yrr" not in task}


def test_a_job_without_variants_any_more_keeps_its_picks(workshop: Workshop) -> None:
    made(workshop)
    for base in ("mallsing", "yrr"):
        workshop.pick(base, 3)
    workshop.job(variants=1)
    assert workshop.states() == {"portraits:mallsing": "fresh", "portraits:yrr": "fresh"}


def test_a_clone_with_the_lock_file_agrees(workshop: Workshop, tmp_path: Path) -> None:
    made(workshop)
    workshop.pick("mallsing", 3)
    shutil.copytree(workshop.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    clone = Workshop(tmp_path / "clone")
    assert set(clone.states().values()) == {"fresh"}
    with pytest.raises(ImagegenError, match="cannot be picked unseen"):
        clone.pick("mallsing", 1)
    assert set(clone.states().values()) == {"fresh"}
    clone.pick("mallsing", 0)
    assert clone.states()["portraits:mallsing-v3"] == "fresh"


def test_without_the_candidates_folder_a_pick_is_restored_from_the_store(workshop: Workshop) -> None:
    before = made(workshop)
    workshop.pick("mallsing", 3)
    shutil.rmtree(workshop.root / ".imagegen/candidates")
    workshop.pick("mallsing", 1)
    assert workshop.path("mallsing").read_bytes() == before["mallsing-v1"]
    assert set(workshop.states().values()) == {"fresh"}
    assert workshop.calls() == 6


def test_a_variant_that_was_changed_by_hand_goes_where_it_is_picked_to(workshop: Workshop) -> None:
    made(workshop)
    mine, other = workshop.touch_up("mallsing-v3"), workshop.touch_up("mallsing-v1", "blue")
    workshop.pick("mallsing", 3)
    assert workshop.path("mallsing").read_bytes() == mine
    assert workshop.states()["portraits:mallsing"] == "kept"
    workshop.pick("mallsing", 1)
    assert workshop.path("mallsing").read_bytes() == other
    assert workshop.states()["portraits:mallsing"] == "kept"
    workshop.pick("mallsing", 0)
    assert workshop.path("mallsing-v3").read_bytes() == mine
    assert workshop.path("mallsing-v1").read_bytes() == other
    assert [workshop.states()[f"portraits:mallsing-v{number}"] for number in (1, 2, 3)] == ["kept", "fresh", "kept"]


def test_an_accepted_variant_stays_accepted(workshop: Workshop) -> None:
    made(workshop)
    workshop.touch_up("mallsing-v3")
    workshop.accept("portraits:mallsing-v3")
    workshop.pick("mallsing", 3)
    assert workshop.states()["portraits:mallsing"] == "fresh"
    assert workshop.note("portraits:mallsing").startswith("accepted")


def test_somebody_elses_file_in_the_items_place_is_left_and_nothing_changes(workshop: Workshop) -> None:
    made(workshop)
    theirs = workshop.touch_up("mallsing", "green")
    before, lock = workshop.files(), workshop.lock()
    with pytest.raises(ImagegenError, match="it was there before"):
        workshop.pick("mallsing", 2)
    assert (workshop.files(), workshop.lock()) == (before, lock)
    assert workshop.path("mallsing").read_bytes() == theirs


@pytest.mark.parametrize(
    ("base", "variant", "said"),
    [
        ("mallsing", 9, "there is no variant 9"),
        ("malsing", 1, "did you mean 'mallsing'"),
        ("mallsing-v1", 1, "no such image"),
    ],
)
def test_what_cannot_be_picked(workshop: Workshop, base: str, variant: int, said: str) -> None:
    made(workshop)
    lock = workshop.lock()
    with pytest.raises(ImagegenError, match=said):
        workshop.pick(base, variant)
    assert workshop.lock() == lock


def test_an_item_without_variants_is_refused_with_what_makes_some(workshop: Workshop) -> None:
    workshop.job()
    workshop.build()
    with pytest.raises(ImagegenError, match="variants: 4 in the job"):
        workshop.pick("yrr", 1)


def test_a_pick_whose_name_another_output_has_is_refused(workshop: Workshop) -> None:
    items = [{"name": name, "prompt": "a figure"} for name in ("A", "A v1")]
    made(workshop, items=items)
    with pytest.raises(ImagegenError, match="two outputs of this job have the name 'a-v1'"):
        workshop.pick("a-v1", 2)


def test_git_lfs_pointers_are_not_put_out_of_gits_sight(workshop: Workshop) -> None:
    made(workshop)
    for line in list(workshop.project().lock("portraits").lines.values()):
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line[0].sha256}\nsize {line[0].size}\n"
        (workshop.root / line[0].path).write_text(text)
    shutil.rmtree(workshop.root / ".imagegen")
    before = workshop.files(), workshop.lock()
    with pytest.raises(
        ImagegenError, match=r"mallsing-v1\.png is a Git LFS pointer, whose content is not here\n +git lfs pull"
    ):
        workshop.pick("mallsing", 3)
    assert (workshop.files(), workshop.lock()) == before


def test_of_two_merged_branches_the_later_pick_counts(workshop: Workshop) -> None:
    made(workshop)
    base = workshop.lock()
    workshop.pick("mallsing", 3)
    earlier, image = workshop.lock(), workshop.path("mallsing").read_bytes()
    workshop.pick("mallsing", 1)
    later = workshop.lock()
    workshop.pick("mallsing", 0)
    for merged in (earlier + later, later + earlier):
        (workshop.root / "jobs/portraits.lock").write_bytes(base + merged)
        assert workshop.outputs()["portraits:mallsing"].variant == 1
    # of the images, git took the other side's: it is made right from the store, and none is generated
    workshop.path("mallsing").write_bytes(image)
    assert workshop.build("portraits:mallsing") == {"portraits:mallsing": "restored"}
    assert workshop.calls() == 6
    assert set(workshop.states().values()) == {"fresh"}


def test_a_decision_is_later_than_the_one_it_replaces_whatever_the_clocks_say(workshop: Workshop) -> None:
    made(workshop)
    workshop.pick("mallsing", 3)
    lock = workshop.root / "jobs/portraits.lock"
    year = workshop.project().lock("portraits").decisions["pick", "mallsing"].time[:4]
    lock.write_text(lock.read_text().replace(f'"time":"{year}', '"time":"2999', 1))
    workshop.pick("mallsing", 1)
    assert workshop.outputs()["portraits:mallsing"].variant == 1


STEPS = st.lists(st.tuples(st.sampled_from(["pick", "edit", "build"]), st.integers(0, 3)), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
@given(STEPS)
def test_whatever_is_picked_and_edited_none_picked_is_as_before_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("picks"))
    images = made(workshop, items=[{"name": "A", "prompt": "a figure"}])
    current = dict(images)
    picked = 0
    for number, (step, variant) in enumerate(steps):
        if step == "pick":
            workshop.pick("a", variant)
            picked = variant
        elif step == "edit":
            edited = picked or max(1, variant)
            current[f"a-v{edited}"] = picture(f"#{number + 1:06x}")
            (workshop.path("a") if picked else workshop.path(f"a-v{edited}")).write_bytes(current[f"a-v{edited}"])
        else:
            assert set(workshop.build().values()) <= {"kept"}
        shown = {Path(path).stem: data for path, data in workshop.files().items()}
        if picked:
            shown[f"a-v{picked}"] = shown.pop("a")
        assert shown == current
    workshop.pick("a", 0)
    assert {Path(path).stem: data for path, data in workshop.files().items()} == current
    assert workshop.calls() == 3


ONE: dict[str, Any] = {"items": [{"name": "Mallsing", "prompt": "a tall figure"}]}


def child(workshop: Workshop, named: str, job: str = "children", **keys: Any) -> None:
    item = {"name": "Child", "prompt": "with her eyes", "scripted": {"images": {"face": named}}}
    workshop.job(job, items=[item], **keys)


def test_an_edit_stays_protected_after_the_pick(workshop: Workshop) -> None:
    workshop.job(variants=2, **ONE)
    workshop.build()
    mine = workshop.touch_up("mallsing-v1")
    workshop.pick("mallsing", 1)
    assert workshop.states() == {"portraits:mallsing": "kept"}
    workshop.job(variants=2, items=[{"name": "Mallsing", "prompt": "another"}])
    assert workshop.build() == {"portraits:mallsing": "failed"}
    with pytest.raises(ImagegenError, match="changed since it was generated, by hand or by git"):
        workshop.reroll("portraits:mallsing")
    assert workshop.path("mallsing").read_bytes() == mine


def test_no_file_of_another_job_is_taken(workshop: Workshop) -> None:
    workshop.job(variants=2, **ONE)
    workshop.job("others", output={"dir": "assets/portraits"}, **ONE)
    workshop.build()
    before = workshop.files(), workshop.lock()
    with pytest.raises(
        ImagegenError, match=r"portraits:mallsing: cannot be variant 2: that would break(.|\n)*both be written"
    ):
        workshop.pick("mallsing", 2)
    assert (workshop.files(), workshop.lock()) == before


@pytest.mark.parametrize("job", ["portraits", "children"])
def test_a_reference_to_the_picked_variant_by_its_own_name_goes_on(workshop: Workshop, job: str) -> None:
    named = "portraits:mallsing-v2"
    item = {"name": "Child", "prompt": "with her eyes", "scripted": {"images": {"face": named}}}
    if job == "portraits":
        workshop.job(variants=2, items=[*ONE["items"], item])
    else:
        workshop.job(variants=2, derive={"thumb": {"width": 16}}, **ONE)
        child(workshop, f"{named}:thumb")
    workshop.build()
    workshop.pick("mallsing", 2)
    assert not [task for task, state in workshop.build().items() if "child" in task], "none of it is stale"
    workshop.pick("mallsing", 0)
    assert workshop.outputs()


def test_a_pick_that_would_break_a_reference_is_refused_with_its_place(workshop: Workshop) -> None:
    workshop.job(variants=2, **ONE)
    child(workshop, "portraits:mallsing-v1")
    workshop.build()
    with pytest.raises(ImagegenError, match=r"jobs/children\.yaml:.*there is no output 'mallsing-v1'"):
        workshop.pick("mallsing", 2)
    assert workshop.outputs()


def test_without_variants_in_the_job_they_do_not_all_come_back(workshop: Workshop) -> None:
    workshop.job(variants=3, **ONE)
    workshop.build()
    workshop.pick("mallsing", 2)
    workshop.job(**ONE)
    with pytest.raises(ImagegenError, match=r"the job no longer has variants(.|\n)*put variants: 2 back"):
        workshop.pick("mallsing", 0)
    assert workshop.states() == {"portraits:mallsing": "fresh"}


def test_an_edited_candidate_of_another_format_is_told_and_stays(workshop: Workshop) -> None:
    workshop.job(variants=2, **ONE)
    workshop.build()
    mine = workshop.touch_up("mallsing-v1")
    workshop.pick("mallsing", 2)
    workshop.job(variants=2, output={"format": "webp"}, **ONE)
    workshop.build()
    with pytest.raises(ImagegenError, match=r"mallsing-v1\.png was changed by hand, and the job's images are webp now"):
        workshop.pick("mallsing", 1)
    assert mine in workshop.files().values()


def test_a_cut_candidate_is_told(workshop: Workshop) -> None:
    workshop.job(variants=2, **ONE)
    workshop.build()
    workshop.pick("mallsing", 2)
    path = workshop.root / ".imagegen/candidates/portraits/mallsing-v1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImagegenError, match=r"mallsing-v1\.png cannot be used: (.|\n)*delete the file"):
        workshop.pick("mallsing", 1)
    path.unlink()
    workshop.pick("mallsing", 1)
    assert set(workshop.states().values()) == {"fresh"}


def test_an_accepted_image_that_is_nowhere_is_not_drawn_over_unasked(workshop: Workshop) -> None:
    workshop.job(**ONE)
    workshop.build()
    mine = workshop.touch_up("mallsing")
    workshop.accept("portraits:mallsing")
    workshop.path("mallsing").unlink()
    project = workshop.project()
    outputs = workshop.outputs(project)
    standing = [(output, project.verdict(output)) for output in outputs.values()]
    assert [one.act for one in forecast(project, standing, ()).images] == ["restore"]
    for blob in (workshop.root / ".imagegen/store/blobs").glob("??/*"):
        if blob.read_bytes() == mine:
            blob.unlink()
    assert workshop.states() == {"portraits:mallsing": "blocked"}
    assert workshop.build() == {"portraits:mallsing": "failed"}
    workshop.path("mallsing").write_bytes(mine)
    assert workshop.build() == {}
    workshop.path("mallsing").unlink()
    assert workshop.build(forced=True) == {"portraits:mallsing": "generated"}


def test_going_back_to_what_was_made_from_something_else_waits_for_that(workshop: Workshop) -> None:
    workshop.job(**ONE)
    child(workshop, "portraits:mallsing")
    workshop.build()
    child(workshop, "portraits:mallsing", generate={"width": 32, "height": 32, "steps": 3})
    workshop.build()
    workshop.path("mallsing").unlink()
    before = workshop.lock("children")
    with pytest.raises(ImagegenError, match=r"assets/portraits/mallsing\.png is missing, which it is made from"):
        workshop.restore("children:child", 2)
    assert workshop.lock("children") == before


def test_what_is_made_from_an_ignored_image_is_ignored(workshop: Workshop) -> None:
    workshop.job(derive={"thumb": {"width": 16}}, **ONE)
    project = workshop.project()
    standing = [(output, project.verdict(output)) for output in workshop.outputs(project).values()]
    found = forecast(project, standing, {"portraits:mallsing"}).images
    assert [(one.act, one.origin) for one in found] == [("ignore", "portraits:mallsing")] * 2


def test_all_circles_are_told_at_once(workshop: Workshop) -> None:
    child(workshop, "b:child", "a")
    child(workshop, "a:child", "b")
    child(workshop, "c:child", "c")
    told = [str(problem) for plan in workshop.project().plans() for problem in plan.problems]
    assert len(told) == 3
    assert sum("made in a circle" in one for one in told) == 2
    assert sum("c:child is made from itself" in one for one in told) == 1


def test_what_is_no_picture_of_many_is_named(workshop: Workshop) -> None:
    workshop.job(sheet={"cell": 16}, output={"overwrite": "never"})
    workshop.build("portraits:mallsing", "portraits:yrr")
    workshop.path("yrr").write_bytes(picture()[:-20])
    project = workshop.project()
    from imagegen.execute.events import Event, Outcome
    from imagegen.execute.run import run

    told: list[Event] = []
    run(project, [workshop.outputs(project)["portraits:sheet"]], told.append)
    (outcome,) = [one for one in told if isinstance(one, Outcome)]
    assert outcome.problem is not None
    assert "cannot be derived from assets/portraits/yrr.png" in outcome.problem.what
