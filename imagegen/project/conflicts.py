"""Jobs that stand in each other's way: two that would write one file, read what the other writes, or were renamed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegen.config.job_files import find_original
from imagegen.errors import ImagegenError, Problem
from imagegen.plan.file_names import find_clashes, find_nested_paths
from imagegen.plan.output import ONE_OFF, Output
from imagegen.project.job_plan import JobPlan, add_problems
from imagegen.project.written_inputs import WrittenInputs

if TYPE_CHECKING:
    from imagegen.project.project import Project

__all__ = ["Conflicts", "copy_problem"]


class Conflicts:
    """Finds what is wrong between jobs, each of which was planned by itself.

    section_files: by job file, the files that its sections for backends name, and those of its steps.
    """

    def __init__(self, project: Project, section_files: Mapping[str, set[str]]) -> None:
        self._project, self._root = project, project.root
        self._section_files = section_files

    def refuse(self, plans: list[JobPlan]) -> list[JobPlan]:
        """Return the plans of all jobs, in which those that must not be built have their problems."""
        return self._without_renamed(self._without_written_inputs(self._without_clashes(plans)))

    def _without_clashes(self, plans: list[JobPlan]) -> list[JobPlan]:
        everything = [output for plan in plans if not plan.problems for output in plan.outputs]
        files = {plan.name: plan.file for plan in plans}
        wrong: dict[str, list[Problem]] = defaultdict(list)
        folders = {output.path.rpartition("/")[0] for output in everything}
        real = {folder: os.path.realpath(self._root / folder) for folder in folders}
        while pairs := find_clashes([output for output in everything if output.job not in wrong], real):
            self._record_clashes(pairs, files, real, wrong)
        for one, other in find_nested_paths(everything, real):
            what = f"'{other.task}' would be written to {other.path}, but {one.path} is the file of '{one.task}'"
            wrong[other.job].append(Problem(files[other.job], what))
        for plan in plans:
            if plan.problems:
                wrong.pop(plan.name, None)
        return [add_problems(plan, *wrong[plan.name]) if plan.name in wrong else plan for plan in plans]

    def _without_written_inputs(self, plans: list[JobPlan]) -> list[JobPlan]:
        """Refuse files to read that a job writes, whether they are there or not. Of reference images, add a note."""
        written = WrittenInputs(self._root, plans)
        found = []
        for plan in plans:
            if problems := [*written.find_problems(plan)]:
                places = {problem.where for problem in problems}
                others = tuple(one for one in plan.problems if one.where not in places)
                plan = add_problems(replace(plan, problems=others), *problems)
            references = self._section_files.get(plan.file, set()).difference(path for path, _ in plan.step_files)
            if notes := [*written.find_notes(references)]:
                plan = replace(plan, notes=(*plan.notes, *notes))
            found.append(plan)
        return found

    def _without_renamed(self, plans: list[JobPlan]) -> list[JobPlan]:
        """Refuse a job that was renamed: it has no lock file, but that of a job that is gone records its images."""
        locks = {file.stem for file in (self._root / "jobs").glob("*.lock")}
        gone = locks - {plan.name for plan in plans} - {ONE_OFF}
        found = []
        for plan in plans:
            is_new = not plan.problems and plan.name not in locks
            before = next((job for job in sorted(gone) if self._records(job, plan)), None) if is_new else None
            if before:
                what = f"its images are recorded in jobs/{before}.lock, whose job is gone"
                renamed = f"git mv jobs/{before}.lock jobs/{plan.name}.lock"
                if (self._root / f"jobs/{before}.review").exists():
                    renamed += f" && git mv jobs/{before}.review jobs/{plan.name}.review"
                hint = f"if the job was renamed: {renamed}; if not: rm jobs/{before}.lock"
                plan = add_problems(plan, Problem(plan.file, what, hint))
            found.append(plan)
        return found

    def _records(self, job: str, plan: JobPlan) -> bool:
        """Whether the job's lock file records a file, a request or a decision of any of the plan's outputs."""
        try:
            lock = self._project.lock(job)
        except ImagegenError:  # it cannot be read, and says nothing
            return False
        names = {name for output in plan.outputs for name in (output.full_slug, output.base)}
        made = {fingerprint for fingerprint, _ in lock.peek("fingerprint")}
        is_recorded = any(output.path in lock.lines or output.fingerprint in made for output in plan.outputs)
        return is_recorded or any(name in names for _, name in lock.decisions)

    def _record_clashes(
        self,
        pairs: Sequence[tuple[Output, Output]],
        files: Mapping[str, str],
        real: Mapping[str, str],
        wrong: dict[str, list[Problem]],
    ) -> None:
        """Note which job of each pair is not built, as both would write one file. real: as for `find_clashes`."""
        copies: dict[str, str] = {}
        for one, other in pairs:
            if self._is_copy(one.job, other.job):
                one, other = other, one
            if one.job != other.job and find_original(other.job, [one.job]):
                copies[other.job] = one.job
            what = f"'{one.task}' and '{other.task}' would both be written to {other.path}"
            if one.path != other.path and real[one.path.rpartition("/")[0]] != real[other.path.rpartition("/")[0]]:
                what += f" ({one.path} differs from it in case or Unicode normalisation only)"
            fix = (
                "" if one.job == other.job else f"give one of the jobs another output.dir, or delete {files[other.job]}"
            )
            wrong[other.job].append(Problem(files[other.job], what, fix))
        for job, original in copies.items():
            wrong[job] = [copy_problem(files[job], files[original])]

    def _is_copy(self, job: str, other: str) -> bool:
        """Whether this one of two jobs that write the same files is the copy: by its name, or because it built none."""
        if job == other or find_original(other, [job]):
            return False
        locks = self._root / "jobs"
        is_new = not (locks / f"{job}.lock").exists() and (locks / f"{other}.lock").exists()
        return bool(find_original(job, [other])) or is_new


def copy_problem(file: str, original: str) -> Problem:
    """Say that a job is a copy. file, original: as shown to the user."""
    what = f"looks like a copy of {original} that a sync tool or a file manager made"
    fix = "compare the two, then delete one; to keep both, give this one a name and an output.dir of its own"
    return Problem(file, what, fix)
