"""What a build did, for a program of one's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from imagegen.errors import BAD_INPUT, DONE, FAILED, STOPPED, ImagegenError, InputError, Problem
from imagegen.execute.run import RunResult
from imagegen.library.planned_project import PlannedProject
from imagegen.library.selection import Selection
from imagegen.report.run_summary import (
    ImageOutcome,
    RunSummary,
    count_all,
    image_problems,
    summarise_cost,
    summarise_images,
)

__all__ = ["BuildResult", "summarise_build"]


@dataclass(frozen=True)
class BuildResult(RunSummary):
    """What a build did.

    Attributes:
        counts: of images, by state; those that were fresh are only counted.
        seconds: that it took.
        images: that were not fresh.
        cost: of those that a service charges for.
        notes: what there is to say besides, a line each.
        stopped: whether it was cancelled.
        left: images that its limit left stale.
        problems: of jobs that are broken, and of what comes after the images.
        has_broken_jobs: whether any of what was asked for is of a broken job.
    """

    problems: tuple[Problem, ...] = ()
    has_broken_jobs: bool = False

    @property
    def failed(self) -> tuple[ImageOutcome, ...]:
        """The images that were not built, with their problems; also those that were left because it was cancelled."""
        return tuple(one for one in self.images if one.state in ("failed", "cancelled"))

    @property
    def exit_code(self) -> int:
        """What `doit` would end with: 0 if everything is built."""
        if self.stopped:
            return STOPPED
        return BAD_INPUT if self.has_broken_jobs else FAILED if self.failed else DONE

    def raise_for_failures(self) -> None:
        """Do nothing if everything is built.

        Raises:
            InputError: jobs are broken.
            ImagegenError: images failed, or were left. It has the problem of each.
        """
        if self.exit_code == DONE:
            return
        problems = [*self.problems, *(problem for one in self.failed for problem in one.problems)]
        if self.stopped:
            from imagegen.report.console import plural

            left = sum(one.state == "cancelled" for one in self.images)
            what = f"the build was cancelled; {plural(left, 'image')} left"
            problems.append(Problem("", what, "the next build goes on from there"))
        raise (InputError if self.has_broken_jobs else ImagegenError)(*dict.fromkeys(problems))


def summarise_build(project: PlannedProject, chosen: Selection, ending: RunResult, seconds: float) -> BuildResult:
    """Return what a run did.

    Args:
        project: after the run.
        chosen: what was asked for.
        ending: of the run.
        seconds: that it took.
    """
    images = summarise_images(project.outcomes, project.find_place)
    broken = [problem for plan in chosen.plans for problem in plan.problems]
    return BuildResult(
        counts=count_all(Counter(outcome.state for outcome in project.outcomes)),
        seconds=seconds,
        images=images,
        cost=summarise_cost(ending.costs),
        notes=tuple(_collect_notes(project, chosen)),
        stopped=ending.stopped,
        left=len(project.limited.left) if project.limited else 0,
        problems=tuple(dict.fromkeys([*broken, *ending.problems, *image_problems(images)])),
        has_broken_jobs=bool(broken),
    )


def _collect_notes(project: PlannedProject, chosen: Selection) -> list[str]:
    from imagegen.report.console import orphan_lines, same_seed_lines

    notes = [f"{plan.name}: {note}" for plan in chosen.plans for note in plan.notes]
    if any(outcome.state in ("generated", "derived", "restored") for outcome in project.outcomes):
        notes += orphan_lines(project.orphans([plan.task for plan in chosen.plans]))
        notes += same_seed_lines(project.outcomes)
    return notes
