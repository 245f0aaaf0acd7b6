"""One project: what it is planned from, and how each output stands."""

from __future__ import annotations

from imagegen.project.job_plan import JobPlan
from imagegen.project.project import Project

__all__ = ["JobPlan", "Project"]
