"""What the page shows follows the project: after each change it is what a gallery that reads everything shows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from imagegen.backends.registry import registry
from imagegen.config.settings import Settings
from imagegen.execute.decisions import record_decision
from imagegen.plan.record import ACCEPT
from imagegen.project import JobPlan, Project
from imagegen.review.live import LiveGallery
from imagegen.state.attempts import Failure, update_failures
from tests.project.test_random_changes import BY_PATH, Walk


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
