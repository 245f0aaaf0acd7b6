"""A job file, read and planned: its outputs, or everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from imagegen.config.job import Step
from imagegen.errors import Problem, printable
from imagegen.plan.output import Output
from imagegen.project.job_parts import NO_PARTS, JobParts

__all__ = ["MAX_PROBLEMS", "JobPlan", "add_problems"]

MAX_PROBLEMS = 100
"""Problems of one job that are reported: more of them have a common cause, and a terminal keeps no more lines."""


@dataclass(frozen=True)
class JobPlan:
    """One job file, read and planned."""

    name: str
    file: str
    """As shown to the user."""
    task: str
    """What doit calls it: the job's name, if possible."""
    description: str = ""
    outputs: tuple[Output, ...] = ()
    """None if there are problems: a broken job generates nothing."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """Reported once in a run."""
    backend: str = ""
    """The one that the file names; empty if it names none."""
    folder: str = ""
    """The pattern of the files that are its items; empty if it names no folder."""
    folder_where: str = ""
    """`file:line:column` of that pattern."""
    step_files: tuple[tuple[str, Step], ...] = ()
    """The files that steps name, each with its step."""
    parts: JobParts = NO_PARTS
    """What was planned, in parts; none if there are problems."""

    @property
    def doc(self) -> str:
        """Its line in `doit list`."""
        return printable(" ".join((self.description.strip() or f"the images of {self.file}").split()))


def add_problems(plan: JobPlan, *problems: Problem) -> JobPlan:
    """Return the plan with these problems too, in the order of their places, and so without outputs."""
    found = (*plan.problems, *sorted(problems, key=_position))
    if len(found) > MAX_PROBLEMS:
        more = Problem(plan.file, f"has {len(found) - MAX_PROBLEMS} more problems")
        found = (*found[:MAX_PROBLEMS], more)
    return replace(plan, outputs=(), problems=found)


def _position(problem: Problem) -> tuple[str, tuple[int, ...]]:
    file, *numbers = problem.where.split(":")
    return file, tuple(int(number) for number in numbers if number.isdigit())
