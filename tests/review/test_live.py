"""What the page shows follows the project: after each change it is what a gallery that reads everything shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError, Problem
from imagegen.execute.decisions import record_decision
from imagegen.plan.record import ACCEPT
from imagegen.project import JobPlan, Project
from imagegen.review.live import LiveGallery
from imagegen.state.attempts import Failure, update_failures
from tests.project.test_random_changes import BY_PATH, Walk
from tests.report.gallery.studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "project")


def follow(root: Path) -> LiveGallery:
    def open_project() -> tuple[Project, list[JobPlan]]:
        project = Project(root, Settings(), registry())
        return project, project.plans()

    return LiveGallery(open_project)


def compare(live: LiveGallery, trail: list[str]) -> None:
    live.refresh()
    fresh = follow(live._project.root)
    said = f"{live._project.root}: {'; '.join(trail)}"
    assert live.outline == fresh.outline, said
    for task, picture in fresh.pictures.items():
        assert live.pictures[task] == picture, said


class Steps(Walk):
    """More steps: what the store has, what failed, what this checkout wrote."""

    def change_store(self) -> str:
        """As `doit prune` does, or `doit store:pull`."""
        blobs = sorted(self.root.glob(".imagegen/store/blobs/*/*"))
        blob = self.random.choice(blobs)
        away = self.root / "away" / blob.name
        away.parent.mkdir(exist_ok=True)
        gone = sorted(away.parent.iterdir())
        if gone and self.random.random() < 0.5:
            back = self.random.choice(gone)
            back.rename(self.root / f".imagegen/store/blobs/{back.name[:2]}/{back.name}")
            return f"back {back.name}"
        blob.rename(away)
        return f"away {blob.name}"

    def change_failures(self) -> str:
        project = Project(self.root, Settings(), registry())
        output = self.random.choice([output for plan in project.plans() for output in plan.outputs])
        failed = {output.task: Failure(output.fingerprint, f"failed at {self.tick}")}
        update_failures(project.failures, project.temporary, *self.random.choice([(failed, []), ({}, list(failed))]))
        return output.task

    def change_written(self) -> str:
        """As in a checkout that forgot which files it wrote."""
        file = self.root / ".imagegen/placed.txt"
        lines = file.read_text().splitlines(keepends=True)
        del lines[: self.random.randrange(len(lines))]
        file.write_text("".join(lines))
        return ""

    def change_acceptance(self) -> str:
        project = Project(self.root, Settings(), registry())
        there = [
            o for plan in project.plans() for o in plan.outputs if (self.root / o.path).is_file() and not o.origins
        ]
        if not there:
            return "none"
        output = project.with_decisions(self.random.choice(there))
        sha256 = hashlib.sha256((self.root / output.path).read_bytes()).hexdigest()
        value = self.random.choice([{"fingerprint": output.fingerprint, "sha256": sha256}, None])
        record_decision(project, output.job, ACCEPT, output.full_slug, value)
        return f"{output.task} {value}"


def take_walk(root: Path, seed: int, steps: int) -> int:
    """Go so many steps, comparing after most. Return how often nothing had to be planned though something changed."""
    walk = Steps(root, seed)
    walk.build(0)
    walk.write("jobs/paths.json", BY_PATH)
    walk.build(0)
    live, partly = follow(root), 0
    trail: list[str] = []
    for _ in range(steps):
        trail.append(walk.step())
        if walk.random.random() < 0.3:
            trail.append("build")
            walk.build()
        if walk.random.random() < 0.7:
            project, version = live._project, live.version
            compare(live, trail)
            partly += live._project is project and live.version > version
        if any(group["problems"] for group in live.outline) and walk.random.random() < 0.5:
            trail.append("undo")
            walk.undo()
    return partly


def test_after_whatever_change_it_shows_what_is_there(tmp_path: Path) -> None:
    assert take_walk(tmp_path, 1, 12)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
def test_after_many_changes_it_shows_what_is_there(tmp_path: Path, seed: int) -> None:
    assert take_walk(tmp_path, seed, 60)


def test_an_image_that_cannot_be_decoded_says_why_and_is_shown_once_it_can(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    live = LiveGallery(studio.opened)
    good = studio.image("yrr").read_bytes()
    studio.image("yrr").write_bytes(good[:-20])  # its header is whole: only decoding it shows what is wrong
    live.refresh()
    picture = live.pictures["portraits:yrr"]
    assert picture["thumb"]
    assert live.thumbnail(picture["sha256"]) is None
    assert live.has_changed()
    changes = live.refresh()
    assert changes is not None
    assert [one["task"] for one in changes.pictures] == ["portraits:yrr"]
    assert live.pictures["portraits:yrr"]["thumb"] == ""
    assert "cannot be shown" in live.pictures["portraits:yrr"]["why"][-1]
    studio.image("yrr").write_bytes(good)
    live.refresh()
    assert live.pictures["portraits:yrr"]["state"] == "fresh"
    assert live.thumbnail(live.pictures["portraits:yrr"]["sha256"])


def test_true_sizes_of_sheets_and_of_files_that_were_touched_up(studio: Studio) -> None:
    studio.items("Yrr", "Okka", sheet={"cell": 8})
    studio.build()
    Image.new("RGB", (30, 10)).save(studio.image("yrr"))
    live = LiveGallery(studio.opened)
    sizes = {task: (one["width"], one["height"]) for task, one in live.pictures.items()}
    assert sizes == {"portraits:yrr": (30, 10), "portraits:okka": (48, 64), "portraits:sheet": (16, 8)}


def test_while_the_project_cannot_be_read_the_last_state_stays(studio: Studio) -> None:
    studio.items("Yrr")
    is_broken = False

    def open_project() -> tuple[Project, list[JobPlan]]:
        if is_broken:
            raise ImagegenError(Problem("pyproject.toml:3:1", "is not valid TOML"))
        return studio.opened()

    live = LiveGallery(open_project)
    is_broken = True
    studio.items("Yrr", "Okka")
    (studio.root / "pyproject.toml").write_text("[", "utf-8")
    with pytest.raises(ImagegenError):
        live.refresh()
    assert list(live.pictures) == ["portraits:yrr"]
    assert live.has_changed()  # it is tried again until it succeeds
    is_broken = False
    changes = live.refresh()
    assert changes is not None
    assert [group["pictures"] for group in changes.groups or ()] == [["portraits:yrr", "portraits:okka"]]


def test_nothing_is_looked_at_twice_if_nothing_changes(studio: Studio) -> None:
    studio.items("Yrr", "Okka")
    studio.build()
    live = LiveGallery(studio.opened)
    before = live.pictures
    assert live.refresh() is None
    assert all(live.pictures[task] is picture for task, picture in before.items())


def test_a_page_that_is_behind_gets_what_it_asks_for_from_the_store(studio: Studio) -> None:
    studio.items("gate", backend="placeholder")
    studio.build()
    live = follow(studio.root)
    before = studio.image("gate").read_bytes()
    studio.items("gate", backend="placeholder", generate={"width": 48, "height": 48})
    studio.build()
    live.refresh()
    sha256 = hashlib.sha256(before).hexdigest()
    assert live.pictures["portraits:gate"]["sha256"] != sha256
    assert live.original(sha256) == before
    assert live.thumbnail(sha256)
