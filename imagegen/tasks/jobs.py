"""Each job file as a group of doit tasks, one per output; and what `doit clean` does to them."""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from doit.action import PythonAction
from doit.exceptions import TaskFailed
from doit.task import Task, dict_to_task

from imagegen.commands.build import Build, PlannedImage, TaskResult, current_build
from imagegen.commands.command import OURS
from imagegen.commands.command_line import is_ignored
from imagegen.errors import BAD_INPUT, ImagegenError, Problem, not_written
from imagegen.library.needed import list_needed, list_parts
from imagegen.process import fail_at_end, note_exit_code

if TYPE_CHECKING:
    from imagegen.commands.command_line import Invocation
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan
    from imagegen.state.snapshot import FreshJob

__all__ = ["add_failed", "find_task_problems", "leave_out_stale", "task_jobs"]

_leaves_out_stale = False


def leave_out_stale(flag: bool) -> None:
    """Say whether stale images get a task only if they fail: our reporter has them built before doit's first task."""
    global _leaves_out_stale
    _leaves_out_stale = flag


def task_jobs() -> Iterator[dict[str, Any]] | None:
    """Return the images of each job in jobs/."""
    build = current_build()
    if build.invocation.command == "forget":
        sys.stderr.write(
            "this only takes doit ignore back: imagegen goes by the lock files in jobs/. "
            "To generate a fresh image again: doit -a JOB:IMAGE\n"
        )
    return _tasks(build) if build.plans or build.fresh_jobs else None


def _tasks(build: Build) -> Iterator[dict[str, Any]]:
    planned_jobs = {plan.task for plan in build.plans}
    # what is made from an ignored image is ignored too, which doit finds out by the tasks
    stale = (task for task, one in build.planned.items() if one.verdict.state != "fresh")
    build.leaves_out_stale = _leaves_out_stale and not any(map(is_ignored, (*planned_jobs, *stale)))
    for job in build.fresh_jobs:
        fresh = {"basename": job.task, "uptodate": [True], "meta": {OURS: {}}}
        if job.task not in planned_jobs:
            yield {**fresh, "name": None, "doc": job.description}
        for slug in _needed_slugs(job, build.invocation):
            yield {**fresh, "name": slug, "actions": None, "doc": job.outputs[slug]}
    for plan in build.plans:
        if plan.problems:
            yield from _broken(plan, build.invocation)
            continue
        planned = [build.planned[output.task] for output in plan.outputs]
        yield {
            "basename": plan.task,
            "name": None,
            "doc": plan.doc,
            "uptodate": [all(_is_up_to_date(one) for one in planned)],
            "meta": {OURS: {"job": plan.file}},
        }
        for one in filter(build.needs_task, planned):
            yield _image(build, one)


def add_failed(build: Build, tasks: dict[str, Task]) -> None:
    """Add, for each job, the task of the first image that failed without one, so that doit fails with it."""
    jobs = set()
    for outcome in build.outcomes:
        name, job = outcome.output.task, outcome.output.job
        if outcome.state in ("failed", "cancelled") and name not in tasks and job not in jobs:
            jobs.add(job)
            fields = _image(build, build.planned[name])
            del fields["basename"]
            # planned as fresh, it may still have failed: doit must not skip it
            tasks[name] = dict_to_task({**fields, "name": name, "task_dep": [], "uptodate": [False]})
            tasks[name].subtask_of = job
            tasks[job].task_dep.append(name)


def find_task_problems(tasks: Iterable[Task]) -> list[Problem]:
    """Return what is wrong with the settings, and with the jobs that these tasks are or belong to."""
    build = current_build()
    jobs = {task.name.partition(":")[0] for task in tasks if task.meta and OURS in task.meta}
    broken = (problem for plan in build.plans if plan.task in jobs for problem in plan.problems)
    return list(dict.fromkeys([*build.problems, *broken]))


def _needed_slugs(job: FreshJob, invocation: Invocation) -> Iterable[str]:
    """Return the outputs that doit needs a task for: all if they are listed, else those that are named."""
    if invocation.lists_all:
        return job.outputs
    named = (word.partition(":") for word in dict.fromkeys(invocation.words))
    return [slug for task, _, slug in named if task == job.task and slug in job.outputs]


def _image(build: Build, planned: PlannedImage) -> dict[str, Any]:
    output, verdict = planned.output, planned.verdict
    meta: dict[str, Any] = {
        "state": verdict.state,
        "why": [*map(str, verdict.reasons), *filter(None, [verdict.note])],
        "request": output.fields,
        "fingerprint": output.fingerprint,
    }
    task: dict[str, Any] = {
        "basename": output.job,
        "name": output.slug,
        "actions": [(_wait_for, [planned.result])],
        # doit captures output by swapping sys.stdout, which its threads (-n 4 -P thread) do to each other
        "io": {"capture": False},
        "verbosity": 0,
        "targets": [output.path],
        "uptodate": [_is_up_to_date(planned)],
        "doc": planned.doc,
        "meta": {OURS: meta},
    }
    if build.invocation.command == "info" and not output.is_derived:
        lines = build.project.backends[output.request.backend].explain(output.request)
        meta |= {"workflow": lines} if lines else {}
    if output.origins:
        task["task_dep"] = [
            name
            for name in list_needed(build, output)
            if name in build.planned and build.needs_task(build.planned[name])
        ]
        if not output.has_known_origins:  # doit asks when those are done
            task["uptodate"] = [(_came_out_fresh, [planned.result])]
    if build.invocation.command == "clean":
        cleaned = [output.task, *_list_unnamed_parts(build, output)]
        task["clean"] = [_CleanAction(one, is_dry_run=build.invocation.is_dry_run) for one in cleaned]
    return task


def _list_unnamed_parts(build: Build, output: Output) -> list[str]:
    """Return the parts of a sheet that are cleaned with it, because the command line names only the sheet."""
    parts = list(list_parts(build, output))
    named = build.find(build.invocation.words) if parts else ()
    return [part for part in parts if part not in named] if named else []  # no words name everything


def _came_out_fresh(result: TaskResult) -> bool:
    return result.outcome is not None and result.outcome.state in ("fresh", "kept")


def _is_up_to_date(planned: PlannedImage) -> bool:
    return planned.verdict.state in ("fresh", "kept")


def _broken(plan: JobPlan, invocation: Invocation) -> Iterator[dict[str, Any]]:
    """Yield the task of a job that cannot be built: it is listed, and fails if it or any image of it is selected."""
    from imagegen.report.console import plural

    task: dict[str, Any] = {
        "actions": [(_refuse, [list(plan.problems)])],
        "meta": {OURS: {"problems": [str(problem) for problem in plan.problems]}},
    }
    if invocation.command == "clean":
        task["clean"] = [_CleanBrokenAction(plan)]
    doc = f"BROKEN: {plural(len(plan.problems), 'problem')} in {plan.file} (see doit doctor)"
    # a pattern too: as a name it matches itself
    named = [word for word in invocation.words if word.startswith(f"{plan.task}:")]
    if named:
        yield {"basename": plan.task, "name": None, "doc": doc, "meta": task["meta"]}
        for word in dict.fromkeys(named):
            yield {"basename": plan.task, "name": word.partition(":")[2], "doc": doc, **task}
    else:
        yield {"basename": plan.task, "doc": doc, **task}


def _wait_for(result: TaskResult) -> TaskFailed | None:
    """Wait for the image's outcome, and pass it to doit: the executors have done the work, or do it now."""
    outcome = result.outcome or (None if result.is_left else current_build().run_for(result.task))
    if outcome is None:  # the limit of this run leaves it
        return None
    if outcome.problem is not None:
        return TaskFailed(str(outcome.problem), report=False)
    if outcome.state == "cancelled":
        return TaskFailed("not built: stopped by Ctrl-C", report=False)
    return None


def _refuse(problems: Sequence[Problem]) -> TaskFailed:
    note_exit_code(BAD_INPUT)  # also where another reporter says what failed
    return TaskFailed("\n".join(map(str, problems)), report=False)


class _CleanAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Cleans one image. doit prints each clean action as text before it runs it: that says what it will do."""

    def __init__(self, task: str, *, is_dry_run: bool) -> None:
        super().__init__(_clean, [task])
        self.cleans = task
        self._is_dry_run = is_dry_run

    def __str__(self) -> str:
        from imagegen.execute.prune import preview_clean

        build = current_build()
        try:
            removal = preview_clean(build.project, build.planned[self.cleans].output)
        except OSError as error:
            return f"cannot be cleaned: {error.strerror}: {error.filename}"
        return f"would {removal.said}" if removal.removes and self._is_dry_run else removal.said


class _CleanBrokenAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Says that a broken job is not cleaned: which images it has is not known."""

    def __init__(self, plan: JobPlan) -> None:
        super().__init__(_fail_broken, [plan])
        self._file = plan.file

    def __str__(self) -> str:
        return f"keep every image of {self._file}: the job is broken"


def _fail_broken(plan: JobPlan) -> None:
    for problem in plan.problems:
        fail_at_end(str(problem), BAD_INPUT)
    fail_at_end(f"{plan.file} is broken, and none of its images was removed: fix it, then clean again", BAD_INPUT)


class _Cleaning:
    """One `doit clean`. doit does not say when it is over, so what is done once at the end waits for the exit."""

    def __init__(self) -> None:
        self._lock = contextlib.ExitStack()
        self._removed: dict[str, list[str]] = defaultdict(list)
        self._has_begun = False

    def clean(self, task: str) -> None:
        from imagegen.execute.prune import clean

        build = current_build()
        if not self._has_begun:
            self._lock.enter_context(build.lock())
            atexit.register(self._end)
            self._has_begun = True
        if task not in build.planned:  # another one was picked while this waited
            return
        output = build.planned[task].output
        if clean(build.project, output).forgets:
            self._removed[output.job].append(output.path)

    def _end(self) -> None:
        project = current_build().project
        try:
            for job, paths in self._removed.items():
                project.lock(job).forget(paths, project.temporary)
        except OSError as error:  # harmless: lines without files mean that these are restored
            sys.stderr.write(f"the lines of what was removed stay: {error.strerror}: {error.filename}\n")
        self._lock.close()


_cleaning = _Cleaning()


def _clean(task: str) -> None:
    try:
        _cleaning.clean(task)
    except ImagegenError as error:
        _stop(error)
    except OSError as error:
        _stop(ImagegenError(not_written(error, task)))


def _stop(error: ImagegenError) -> NoReturn:
    """End doit, which would go on with the next file."""
    sys.stderr.write(f"{error}\n")
    stop: Any = SystemExit(error.exit_code)
    stop.problems = error.problems  # as data, for --json
    raise stop
