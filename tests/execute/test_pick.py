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
from tests.project_folder import SMALL_JOB, ProjectFolder, picture

__all__ = []


MOODS = {"mood": {"calm": "serene", "angry": "shouting"}}


def build_variants(folder: ProjectFolder, **changes: Any) -> dict[str, bytes]:
    folder.job(**{"variants": 3, **changes})
    assert set(folder.build().values()) == {"generated"}
    return {Path(path).stem: data for path, data in folder.files().items()}


def test_a_pick_is_the_items_image_in_the_jobs_own_name_and_nothing_is_stale(folder: ProjectFolder) -> None:
    before = build_variants(folder)
    calls = len(folder.calls())
    found = folder.pick("mallsing", 3)
    assert [output.task for output in found.outputs] == ["portraits:mallsing"]
    assert found.candidates == ("mallsing-v1", "mallsing-v2")
    files = folder.files()
    assert files.pop("assets/portraits/mallsing.png") == before["mallsing-v3"]
    for number in (1, 2):
        path = f".imagegen/candidates/portraits/mallsing-v{number}.png"
        assert files.pop(path) == before[f"mallsing-v{number}"]
    assert sorted(files) == [f"assets/portraits/yrr-v{number}.png" for number in (1, 2, 3)]
    assert set(folder.states().values()) == {"fresh"}
    assert folder.build() == {}
    assert len(folder.calls()) == calls


def test_another_pick_later_and_none_any_more(folder: ProjectFolder) -> None:
    before = build_variants(folder)
    for number in (3, 1, 2, 2):
        folder.pick("mallsing", number)
        assert folder.image("mallsing").read_bytes() == before[f"mallsing-v{number}"]
        assert set(folder.states().values()) == {"fresh"}
        assert len(folder.files()) == 6
    folder.pick("mallsing", 0)
    assert {Path(path).stem: data for path, data in folder.files().items()} == before
    assert set(folder.states().values()) == {"fresh"}
    assert b"mallsing.png" not in folder.lock()
    assert len(folder.calls()) == 6


def test_cells_of_a_matrix_are_picked_each_by_itself(folder: ProjectFolder) -> None:
    items = [{"name": "Mallsing", "prompt": "a {mood} figure"}]
    before = build_variants(folder, matrix=MOODS, items=items)
    folder.pick("mallsing-angry", 2)
    assert folder.image("mallsing-angry").read_bytes() == before["mallsing-angry-v2"]
    assert [task for task in folder.states() if "calm" in task] == [f"portraits:mallsing-calm-v{n}" for n in (1, 2, 3)]
    assert set(folder.states().values()) == {"fresh"}


@pytest.mark.parametrize("mode", ["random", "sequence", "by-name"])
def test_what_was_picked_keeps_its_seed(folder: ProjectFolder, mode: str) -> None:
    build_variants(folder, generate={"width": 32, "height": 32, "seed": {"mode": mode, "base": 7}})
    seeds = {task: output.request.seed for task, output in folder.outputs().items()}
    folder.pick("yrr", 2)
    after = {task: output.request.seed for task, output in folder.outputs().items()}
    assert after.pop("portraits:yrr") == seeds["portraits:yrr-v2"]
    assert after == {task: seed for task, seed in seeds.items() if "yrr" not in task}


def test_a_job_without_variants_any_more_keeps_its_picks(folder: ProjectFolder) -> None:
    build_variants(folder)
    for base in ("mallsing", "yrr"):
        folder.pick(base, 3)
    folder.job(variants=1)
    assert folder.states() == {"portraits:mallsing": "fresh", "portraits:yrr": "fresh"}


def test_a_clone_with_the_lock_file_agrees(folder: ProjectFolder, tmp_path: Path) -> None:
    build_variants(folder)
    folder.pick("mallsing", 3)
    shutil.copytree(folder.root, tmp_path / "clone", ignore=shutil.ignore_patterns(".imagegen"))
    clone = ProjectFolder(tmp_path / "clone", SMALL_JOB)
    assert set(clone.states().values()) == {"fresh"}
    with pytest.raises(ImagegenError, match="this checkout does not have its image"):
        clone.pick("mallsing", 1)
    assert set(clone.states().values()) == {"fresh"}
    clone.pick("mallsing", 0)
    assert clone.states()["portraits:mallsing-v3"] == "fresh"


def test_without_the_candidates_folder_a_pick_is_restored_from_the_store(folder: ProjectFolder) -> None:
    before = build_variants(folder)
    folder.pick("mallsing", 3)
    shutil.rmtree(folder.root / ".imagegen/candidates")
    folder.pick("mallsing", 1)
    assert folder.image("mallsing").read_bytes() == before["mallsing-v1"]
    assert set(folder.states().values()) == {"fresh"}
    assert len(folder.calls()) == 6


def test_a_variant_that_was_changed_by_hand_goes_where_it_is_picked_to(folder: ProjectFolder) -> None:
    build_variants(folder)
    mine, other = folder.touch_up("mallsing-v3"), folder.touch_up("mallsing-v1", "blue")
    folder.pick("mallsing", 3)
    assert folder.image("mallsing").read_bytes() == mine
    assert folder.states()["portraits:mallsing"] == "kept"
    folder.pick("mallsing", 1)
    assert folder.image("mallsing").read_bytes() == other
    assert folder.states()["portraits:mallsing"] == "kept"
    folder.pick("mallsing", 0)
    assert folder.image("mallsing-v3").read_bytes() == mine
    assert folder.image("mallsing-v1").read_bytes() == other
    assert [folder.states()[f"portraits:mallsing-v{number}"] for number in (1, 2, 3)] == ["kept", "fresh", "kept"]


def test_an_accepted_variant_stays_accepted(folder: ProjectFolder) -> None:
    build_variants(folder)
    folder.touch_up("mallsing-v3")
    folder.accept("portraits:mallsing-v3")
    folder.pick("mallsing", 3)
    assert folder.states()["portraits:mallsing"] == "fresh"
    assert folder.note("portraits:mallsing").startswith("accepted")


def test_somebody_elses_file_in_the_items_place_is_left_and_nothing_changes(folder: ProjectFolder) -> None:
    build_variants(folder)
    theirs = folder.touch_up("mallsing", "green")
    before, lock = folder.files(), folder.lock()
    with pytest.raises(ImagegenError, match="imagegen did not write this file"):
        folder.pick("mallsing", 2)
    assert (folder.files(), folder.lock()) == (before, lock)
    assert folder.image("mallsing").read_bytes() == theirs


@pytest.mark.parametrize(
    ("base", "variant", "message"),
    [
        ("mallsing", 9, "there is no variant 9"),
        ("malsing", 1, "did you mean 'mallsing'"),
        ("mallsing-v1", 1, "no such image"),
    ],
)
def test_what_cannot_be_picked(folder: ProjectFolder, base: str, variant: int, message: str) -> None:
    build_variants(folder)
    lock = folder.lock()
    with pytest.raises(ImagegenError, match=message):
        folder.pick(base, variant)
    assert folder.lock() == lock


def test_an_item_without_variants_is_refused_with_what_makes_some(folder: ProjectFolder) -> None:
    folder.job()
    folder.build()
    with pytest.raises(ImagegenError, match="variants: 4 in the job"):
        folder.pick("yrr", 1)


def test_a_pick_whose_name_another_output_has_is_refused(folder: ProjectFolder) -> None:
    items = [{"name": name, "prompt": "a figure"} for name in ("A", "A v1")]
    build_variants(folder, items=items)
    with pytest.raises(ImagegenError, match="two outputs of this job have the name 'a-v1'"):
        folder.pick("a-v1", 2)


def test_git_lfs_pointers_are_not_put_out_of_gits_sight(folder: ProjectFolder) -> None:
    build_variants(folder)
    for line in list(folder.project().lock("portraits").lines.values()):
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{line[0].sha256}\nsize {line[0].size}\n"
        (folder.root / line[0].path).write_text(text)
    shutil.rmtree(folder.root / ".imagegen")
    before = folder.files(), folder.lock()
    with pytest.raises(
        ImagegenError, match=r"mallsing-v1\.png is a Git LFS pointer, whose content is not here\n +git lfs pull"
    ):
        folder.pick("mallsing", 3)
    assert (folder.files(), folder.lock()) == before


def test_of_two_merged_branches_the_later_pick_counts(folder: ProjectFolder) -> None:
    build_variants(folder)
    base = folder.lock()
    folder.pick("mallsing", 3)
    earlier, image = folder.lock(), folder.image("mallsing").read_bytes()
    folder.pick("mallsing", 1)
    later = folder.lock()
    folder.pick("mallsing", 0)
    for merged in (earlier + later, later + earlier):
        (folder.root / "jobs/portraits.lock").write_bytes(base + merged)
        assert folder.outputs()["portraits:mallsing"].variant == 1
    # of the images, git took the other side's: it is made right from the store, and none is generated
    folder.image("mallsing").write_bytes(image)
    assert folder.build("portraits:mallsing") == {"portraits:mallsing": "restored"}
    assert len(folder.calls()) == 6
    assert set(folder.states().values()) == {"fresh"}


def test_a_decision_is_later_than_the_one_it_replaces_whatever_the_clocks_say(folder: ProjectFolder) -> None:
    build_variants(folder)
    folder.pick("mallsing", 3)
    lock = folder.root / "jobs/portraits.lock"
    year = folder.project().lock("portraits").decisions["pick", "mallsing"].time[:4]
    lock.write_text(lock.read_text().replace(f'"time":"{year}', '"time":"2999', 1))
    folder.pick("mallsing", 1)
    assert folder.outputs()["portraits:mallsing"].variant == 1


STEPS = st.lists(st.tuples(st.sampled_from(["pick", "edit", "build"]), st.integers(0, 3)), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
@given(STEPS)
def test_whatever_is_picked_and_edited_none_picked_is_as_before_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    folder = ProjectFolder(tmp_path_factory.mktemp("picks"), SMALL_JOB)
    images = build_variants(folder, items=[{"name": "A", "prompt": "a figure"}])
    current = dict(images)
    picked = 0
    for number, (step, variant) in enumerate(steps):
        if step == "pick":
            folder.pick("a", variant)
            picked = variant
        elif step == "edit":
            edited = picked or max(1, variant)
            current[f"a-v{edited}"] = picture(f"#{number + 1:06x}")
            (folder.image("a") if picked else folder.image(f"a-v{edited}")).write_bytes(current[f"a-v{edited}"])
        else:
            assert set(folder.build().values()) <= {"kept"}
        shown = {Path(path).stem: data for path, data in folder.files().items()}
        if picked:
            shown[f"a-v{picked}"] = shown.pop("a")
        assert shown == current
    folder.pick("a", 0)
    assert {Path(path).stem: data for path, data in folder.files().items()} == current
    assert len(folder.calls()) == 3


ONE: dict[str, Any] = {"items": [{"name": "Mallsing", "prompt": "a tall figure"}]}


def child(folder: ProjectFolder, named: str, job: str = "children", **keys: Any) -> None:
    item = {"name": "Child", "prompt": "with her eyes", "scripted": {"images": {"face": named}}}
    folder.job(job, items=[item], **keys)


def test_an_edit_stays_protected_after_the_pick(folder: ProjectFolder) -> None:
    folder.job(variants=2, **ONE)
    folder.build()
    mine = folder.touch_up("mallsing-v1")
    folder.pick("mallsing", 1)
    assert folder.states() == {"portraits:mallsing": "kept"}
    folder.job(variants=2, items=[{"name": "Mallsing", "prompt": "another"}])
    assert folder.build() == {"portraits:mallsing": "failed"}
    with pytest.raises(ImagegenError, match="changed since it was generated, by hand or by git"):
        folder.reroll("portraits:mallsing")
    assert folder.image("mallsing").read_bytes() == mine


def test_no_file_of_another_job_is_taken(folder: ProjectFolder) -> None:
    folder.job(variants=2, **ONE)
    folder.job("others", output={"dir": "assets/portraits"}, **ONE)
    folder.build()
    before = folder.files(), folder.lock()
    with pytest.raises(
        ImagegenError, match=r"portraits:mallsing: cannot be variant 2: that would break(.|\n)*both be written"
    ):
        folder.pick("mallsing", 2)
    assert (folder.files(), folder.lock()) == before


@pytest.mark.parametrize("job", ["portraits", "children"])
def test_a_reference_to_the_picked_variant_by_its_own_name_goes_on(folder: ProjectFolder, job: str) -> None:
    named = "portraits:mallsing-v2"
    item = {"name": "Child", "prompt": "with her eyes", "scripted": {"images": {"face": named}}}
    if job == "portraits":
        folder.job(variants=2, items=[*ONE["items"], item])
    else:
        folder.job(variants=2, derive={"thumb": {"width": 16}}, **ONE)
        child(folder, f"{named}:thumb")
    folder.build()
    folder.pick("mallsing", 2)
    assert not [task for task, state in folder.build().items() if "child" in task], "none of it is stale"
    folder.pick("mallsing", 0)
    assert folder.outputs()


def test_a_pick_that_would_break_a_reference_is_refused_with_its_place(folder: ProjectFolder) -> None:
    folder.job(variants=2, **ONE)
    child(folder, "portraits:mallsing-v1")
    folder.build()
    with pytest.raises(ImagegenError, match=r"jobs/children\.yaml:.*there is no output 'mallsing-v1'"):
        folder.pick("mallsing", 2)
    assert folder.outputs()


def test_without_variants_in_the_job_they_do_not_all_come_back(folder: ProjectFolder) -> None:
    folder.job(variants=3, **ONE)
    folder.build()
    folder.pick("mallsing", 2)
    folder.job(**ONE)
    with pytest.raises(ImagegenError, match=r"the job no longer has variants(.|\n)*put variants: 2 back"):
        folder.pick("mallsing", 0)
    assert folder.states() == {"portraits:mallsing": "fresh"}


def test_an_edited_candidate_of_another_format_is_told_and_stays(folder: ProjectFolder) -> None:
    folder.job(variants=2, **ONE)
    folder.build()
    mine = folder.touch_up("mallsing-v1")
    folder.pick("mallsing", 2)
    folder.job(variants=2, output={"format": "webp"}, **ONE)
    folder.build()
    with pytest.raises(ImagegenError, match=r"mallsing-v1\.png was changed by hand, and the job's images are webp now"):
        folder.pick("mallsing", 1)
    assert mine in folder.files().values()


def test_a_cut_candidate_is_told(folder: ProjectFolder) -> None:
    folder.job(variants=2, **ONE)
    folder.build()
    folder.pick("mallsing", 2)
    path = folder.root / ".imagegen/candidates/portraits/mallsing-v1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImagegenError, match=r"mallsing-v1\.png cannot be used: (.|\n)*delete the file"):
        folder.pick("mallsing", 1)
    path.unlink()
    folder.pick("mallsing", 1)
    assert set(folder.states().values()) == {"fresh"}


def test_an_accepted_image_that_is_nowhere_is_not_drawn_over_unasked(folder: ProjectFolder) -> None:
    folder.job(**ONE)
    folder.build()
    mine = folder.touch_up("mallsing")
    folder.accept("portraits:mallsing")
    folder.image("mallsing").unlink()
    project = folder.project()
    outputs = folder.outputs(project)
    standing = [(output, project.verdict(output)) for output in outputs.values()]
    assert [one.act for one in forecast(project, standing, ()).images] == ["restore"]
    for blob in (folder.root / ".imagegen/store/blobs").glob("??/*"):
        if blob.read_bytes() == mine:
            blob.unlink()
    assert folder.states() == {"portraits:mallsing": "blocked"}
    assert folder.build() == {"portraits:mallsing": "failed"}
    folder.image("mallsing").write_bytes(mine)
    assert folder.build() == {}
    folder.image("mallsing").unlink()
    assert folder.build(forced=True) == {"portraits:mallsing": "generated"}


def test_going_back_to_what_was_made_from_something_else_waits_for_that(folder: ProjectFolder) -> None:
    folder.job(**ONE)
    child(folder, "portraits:mallsing")
    folder.build()
    child(folder, "portraits:mallsing", generate={"width": 32, "height": 32, "steps": 3})
    folder.build()
    folder.image("mallsing").unlink()
    before = folder.lock("children")
    with pytest.raises(ImagegenError, match=r"assets/portraits/mallsing\.png is missing, which it is made from"):
        folder.restore("children:child", 2)
    assert folder.lock("children") == before


def test_what_is_made_from_an_ignored_image_is_ignored(folder: ProjectFolder) -> None:
    folder.job(derive={"thumb": {"width": 16}}, **ONE)
    project = folder.project()
    standing = [(output, project.verdict(output)) for output in folder.outputs(project).values()]
    found = forecast(project, standing, {"portraits:mallsing"}).images
    assert [(one.act, one.origin) for one in found] == [("ignore", "portraits:mallsing")] * 2


def test_all_circles_are_told_at_once(folder: ProjectFolder) -> None:
    child(folder, "b:child", "a")
    child(folder, "a:child", "b")
    child(folder, "c:child", "c")
    reported = [str(problem) for plan in folder.project().plans() for problem in plan.problems]
    assert len(reported) == 3
    assert sum("made in a circle" in one for one in reported) == 2
    assert sum("c:child is made from itself" in one for one in reported) == 1


def test_what_is_no_picture_of_many_is_named(folder: ProjectFolder) -> None:
    folder.job(sheet={"cell": 16}, output={"overwrite": "never"})
    folder.build("portraits:mallsing", "portraits:yrr")
    folder.image("yrr").write_bytes(picture()[:-20])
    project = folder.project()
    from imagegen.execute.events import Event, Outcome
    from imagegen.execute.run import run

    reported: list[Event] = []
    run(project, [folder.outputs(project)["portraits:sheet"]], reported.append)
    (outcome,) = [one for one in reported if isinstance(one, Outcome)]
    assert outcome.problem is not None
    assert "cannot be derived from assets/portraits/yrr.png" in outcome.problem.what
