"""Names as engines want them: with blanks, capital letters and folders; nothing is lost when the pattern changes."""

from __future__ import annotations

from typing import Any

from tests.project_folder import ProjectFolder

JOB: dict[str, Any] = {
    "items": [{"name": "Old Tom", "prompt": "an old man, {mood}"}],
    "matrix": {"mood": {"Calm": "serene", "Very Angry": "shouting"}},
    "derive": {"thumb": {"width": 16}, "sprite": {"width": 16, "dir": "game/gui", "name": "{mood}/{item} {name}"}},
}


def names(project: ProjectFolder) -> set[str]:
    return {path.relative_to(project.root / "game").as_posix() for path in (project.root / "game").rglob("*.png")}


def test_a_name_can_change_and_everything_stays_with_its_image(project: ProjectFolder) -> None:
    output = {"dir": "game/images", "name": "{item} {mood}", "separator": "_"}
    project.build_job(**JOB, output=output)
    first = names(project)
    assert first == {
        "images/old_tom calm.png", "images/old_tom calm_thumb.png", "gui/calm/old_tom sprite.png",
        "images/old_tom very_angry.png", "images/old_tom very_angry_thumb.png", "gui/very_angry/old_tom sprite.png",
    }  # fmt: skip
    assert "6 fresh, nothing to do" in project.doit().closing
    run = project.build_job(**JOB, output=output | {"case": "keep", "name": "{mood}/{item}"})
    assert (run.tasks("generated"), len(run.tasks("restored"))) == ([], 6)
    assert "6 earlier images no longer belong to any item" in run.out
    project.doit("prune", "--yes")
    assert names(project) == {
        "images/Calm/Old_Tom.png", "images/Calm/Old_Tom_thumb.png", "gui/Calm/Old_Tom sprite.png",
        "images/Very_Angry/Old_Tom.png", "images/Very_Angry/Old_Tom_thumb.png", "gui/Very_Angry/Old_Tom sprite.png",
    }  # fmt: skip
    assert "6 fresh, nothing to do" in project.doit().closing
    run = project.build_job(**JOB, output=output)
    assert (len(run.tasks("restored")), names(project) >= first) == (6, True)


def test_two_images_with_one_name_are_refused_where_the_pattern_is(project: ProjectFolder) -> None:
    project.job(**JOB, output={"name": "{item}"})
    run = project.doit()
    assert run.code != 0
    assert "jobs/portraits.yaml:" in run.err + run.out
    assert (
        "output.name: 'portraits:old-tom-calm' and 'portraits:old-tom-very-angry' would both be written"
        in run.err + run.out
    )
    assert "put {mood} into it" in run.err + run.out
