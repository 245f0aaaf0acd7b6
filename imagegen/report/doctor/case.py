"""What a doctor is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.errors import Problem
from imagegen.plan.freshness import Verdict
from imagegen.plan.output import Output
from imagegen.project import JobPlan, Project

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A project as planned. problems: with its settings or backends. verdicts: on each output of a sound job."""

    project: Project
    plans: Sequence[JobPlan]
    problems: Sequence[Problem]
    verdicts: Sequence[tuple[Output, Verdict]]
