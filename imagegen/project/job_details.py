"""What a snapshot says of each job in detail, from the plans of a run and what came of their outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from imagegen.project.job_parts import find_files, hash_decisions, hash_lines
from imagegen.state.details import Details, JobDetails, PartResult

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project

__all__ = ["describe_jobs"]


def describe_jobs(project: Project, plans: Sequence[JobPlan], fresh: Mapping[str, str], before: Details) -> Details:
    """Return the details of all jobs.

    Args:
        project: as it was planned.
        plans: of all jobs; or of what has changed, if `before` has the rest.
        fresh: by the task of each output of the plans that is fresh, what `doit list` adds to its path.
        before: the jobs of which not all was planned: their unfinished parts are those that were.

    """
    jobs = dict(before.jobs)
    for plan in plans:
        jobs[plan.file] = _describe_job(project, plan, fresh, before.jobs.get(plan.file))
    wildcards = project.planner.wildcards
    names = [*wildcards.names(), *wildcards.unread()] if wildcards.lines else before.wildcard_names
    return Details(jobs, {**before.wildcards, **wildcards.list_files()}, names)


def _describe_job(project: Project, plan: JobPlan, fresh: Mapping[str, str], before: JobDetails | None) -> JobDetails:
    head, parts = plan.parts
    planner, lock = project.planner, project.lock(plan.name)
    if before is None:
        planned = list(range(len(parts)))
        job = JobDetails(plan.file, plan.task, head, parts, sorted(planner.sources[plan.file]))
        job.results = [PartResult()] * len(parts)
    else:
        planned = sorted(before.unfinished)
        job = replace(before, notes=dict(before.notes), origins=dict(before.origins))
        job.results = list(before.results)
    job.files = sorted({*job.files, *planner.section_files[plan.file]})
    job.decisions = hash_decisions(lock)
    job.unfinished = set()
    of_part = _outputs_of_parts(plan, dict(find_files(job.head, job.parts)), planned if head else [])
    for part in planned:
        outputs = of_part[part]
        own = {output.task for output in outputs}
        paths = {output.slug: output.path for output in outputs}
        named = dict.fromkeys(origin.task for output in outputs for origin in output.origins if origin.task)
        origins = [task for task in named if task not in own]
        job.results[part] = PartResult(paths, hash_lines(lock, paths.values()))
        job.origins.pop(part, None)
        if origins:
            job.origins[part] = origins
        if not all(task in fresh for task in own):
            job.unfinished.add(part)
        for output in outputs:
            job.notes.pop(output.slug, None)
            if note := fresh.get(output.task):
                job.notes[output.slug] = note
    return job


def _outputs_of_parts(
    plan: JobPlan, files: Mapping[str, int], planned: Sequence[int]
) -> Mapping[int, Sequence[Output]]:
    """Return the outputs of each part.

    Args:
        files: the parts of files that are items.
        planned: the parts of the plan's items, in order; none if the job is one part.
    """
    if not planned:
        return {0: plan.outputs}
    found: dict[int, list[Output]] = defaultdict(list)
    of_name: dict[str, int] = {}
    of_task: dict[str, int] = {}
    parts = iter(planned)
    for output in plan.outputs:  # the images of each item, in their order, and then what is derived from images
        if output.is_derived:
            origin = output.origins[0]
            part = of_task[origin.task] if origin.task else files[origin.path]
        elif output.request.name in of_name:
            part = of_name[output.request.name]
        else:
            part = of_name[output.request.name] = next(parts)
        of_task[output.task] = part
        found[part].append(output)
    return found
