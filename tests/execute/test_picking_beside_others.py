"""Picks and what others make of it: other jobs stay buildable, what somebody changed stays theirs."""

from __future__ import annotations

from typing import Any

import pytest

from imagegen.errors import ImagegenError
from imagegen.execute.forecast import forecast
from tests.execute.workshop import Workshop, picture

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
    with pytest.raises(ImagegenError, match="changed by hand since it was made"):
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
    with pytest.raises(ImagegenError, match=r"the job has no variants any more(.|\n)*put variants: 2 back"):
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
    with pytest.raises(ImagegenError, match=r"assets/portraits/mallsing\.png is not there, which it is made from"):
        workshop.go_back("children:child", 2)
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
    from imagegen.execute.outcome import Event, Outcome
    from imagegen.execute.run import Wanted, run

    told: list[Event] = []
    run(project, [Wanted(workshop.outputs(project)["portraits:sheet"])], told.append)
    (outcome,) = [one for one in told if isinstance(one, Outcome)]
    assert outcome.problem is not None
    assert "cannot be made from assets/portraits/yrr.png" in outcome.problem.what
