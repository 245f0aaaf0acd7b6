"""Each job file as a group of doit tasks, one an output."""

from __future__ import annotations

import atexit
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from doit.action import PythonAction
from doit.exceptions import TaskFailed

from imagegen.commands.build import Build, Planned, Ticket, current_build
from imagegen.commands.command import OURS
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.state.mutex import hold
from imagegen.tasks.process import fail_at_end

if TYPE_CHECKING:
    from imagegen.commands.command_line import Invocation
    from imagegen.commands.up_to_date import FreshJob
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan

__all__ = [
    "CleanAction",
    "CleanBrokenAction",
    "task_jobs",
]


def task_jobs() -> Iterator[dict[str, Any]] | None:
    """The images of each job in jobs/."""
    build = current_build()
    if build.invocation.command == "forget":
        sys.stderr.write(
            "doit's own database decides nothing here, the lock files in jobs/ do. "
            "To generate a fresh image again: doit -a portraits:mallsing\n"
        )
    return _tasks(build) if build.plans or build.fresh_jobs else None


def _tasks(build: Build) -> Iterator[dict[str, Any]]:
    planned_jobs = {plan.task for plan in build.plans}
    for job in build.fresh_jobs:
        fresh = {"basename": job.task, "uptodate": [True], "meta": {OURS: {}}}
        if job.task not in planned_jobs:
            yield {**fresh, "name": None, "doc": job.description}
        for slug in _named(job, build.invocation):
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
        cleans = build.invocation.command == "clean"
        for one in filter(build.is_task, planned):
            yield _image(build, one, cleans)


def _named(job: FreshJob, invocation: Invocation) -> Iterable[str]:
    """The slugs of those that doit is to know: all where they are listed, else those that are named."""
    if invocation.lists_all:
        return job.outputs
    named = (word.partition(":") for word in dict.fromkeys(invocation.words))
    return [slug for task, _, slug in named if task == job.task and slug in job.outputs]


def _image(build: Build, planned: Planned, cleans: bool) -> dict[str, Any]:
    output, verdict = planned.output, planned.verdict
    task: dict[str, Any] = {
        "basename": output.job,
        "name": output.slug,
        "actions": [(_outcome, [planned.ticket])],
        # doit captures output by swapping sys.stdout, which its threads (-n 4 -P thread) do to each other
        "io": {"capture": False},
        "verbosity": 0,
        "targets": [output.path],
        "uptodate": [_is_up_to_date(planned)],
        "doc": planned.doc,
        "meta": {
            OURS: {
                "state": verdict.state,
                "why": [*map(str, verdict.reasons), *filter(None, [verdict.note])],
                "request": output.fields,
                "fingerprint": output.fingerprint,
            }
        },
    }
    if build.invocation.command == "info" and (lines := _explained(build, output)):
        task["meta"][OURS]["workflow"] = lines
    if output.origins:
        from imagegen.plan.origins import INDEX, SHEET

        needs = [origin.task for origin in output.origins]
        needs += [f"{output.task}:{INDEX}"] if output.fields.get("kind") == SHEET else []
        task["task_dep"] = [name for name in needs if name in build.planned and build.is_task(build.planned[name])]
        if not output.has_known_origins:  # doit asks when those are done
            task["uptodate"] = [(_came_out_fresh, [planned.ticket])]
    if cleans:
        task["clean"] = [CleanAction(output.task)]
    return task


def _explained(build: Build, output: Output) -> Sequence[str]:
    """Where the image's fields go, as its backend says."""
    if output.is_derived:
        return ()
    return build.project.backends[output.request.backend].explain(output.request)


def _came_out_fresh(ticket: Ticket) -> bool:
    return ticket.outcome is not None and ticket.outcome.state in ("fresh", "kept")


def _is_up_to_date(planned: Planned) -> bool:
    return planned.verdict.state in ("fresh", "kept")


def _broken(plan: JobPlan, invocation: Invocation) -> Iterator[dict[str, Any]]:
    """A job that cannot be built: it is listed; it fails where it, or any image of it, is selected."""
    task: dict[str, Any] = {
        "actions": [(_refuse, [list(plan.problems)])],
        "meta": {OURS: {"problems": [str(problem) for problem in plan.problems]}},
    }
    if invocation.command == "clean":
        task["clean"] = [CleanBrokenAction(plan)]
    count = len(plan.problems)
    doc = f"BROKEN: {count} problem{'' if count == 1 else 's'} in {plan.file} (see doit doctor)"
    # a pattern too: as a name it matches itself
    named = [word for word in invocation.words if word.startswith(f"{plan.task}:")]
    if named:
        yield {"basename": plan.task, "name": None, "doc": doc, "meta": task["meta"]}
        for word in dict.fromkeys(named):
            yield {"basename": plan.task, "name": word.partition(":")[2], "doc": doc, **task}
    else:
        yield {"basename": plan.task, "doc": doc, **task}


def _outcome(ticket: Ticket) -> TaskFailed | None:
    """A task only waits for what became of its image: the executors have done the work, or do it now."""
    outcome = ticket.outcome or current_build().outcome(ticket.task)
    if outcome.problem is not None:
        return TaskFailed(str(outcome.problem), report=False)
    if outcome.state == "cancelled":
        return TaskFailed("not made: stopped by Ctrl-C", report=False)
    return None


def _refuse(problems: Sequence[Problem]) -> TaskFailed:
    return TaskFailed("\n".join(map(str, problems)), report=False)


class CleanAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Cleans one image. doit prints each clean action as text before it runs it: that says what will be done."""

    def __init__(self, task: str) -> None:
        super().__init__(_clean, [task])
        self._name = task

    def __str__(self) -> str:
        from imagegen.execute.prune import preview_clean

        build = current_build()
        try:
            return preview_clean(build.project, build.planned[self._name].output).said
        except OSError as error:
            return f"cannot be cleaned: {error.strerror}: {error.filename}"


class CleanBrokenAction(PythonAction):  # type: ignore[misc]  # doit ships no types
    """Says that a broken job is not cleaned: which images it has is not known."""

    def __init__(self, plan: JobPlan) -> None:
        super().__init__(_fail_broken, [plan])
        self._file = plan.file

    def __str__(self) -> str:
        return f"keep every image of {self._file}: the job is broken"


def _fail_broken(plan: JobPlan) -> None:
    for problem in plan.problems:
        fail_at_end(str(problem))
    fail_at_end(f"{plan.file} is broken, and none of its images was removed: fix it, then clean again")


class _Cleaning:
    """One `doit clean`. doit does not say when it is over, so what is done once at the end waits for the exit."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._gone: dict[str, list[str]] = defaultdict(list)
        self._begun = False

    def one(self, task: str) -> None:
        from imagegen.execute.prune import clean

        build = current_build()
        if not self._begun:
            self._held.enter_context(hold(build.project.state, build.project.settings.wait_s))
            build.know_others()
            atexit.register(self._end)
            self._begun = True
        if task not in build.planned:  # another one was picked while this waited
            return
        output = build.planned[task].output
        if clean(build.project, output).forgets:
            self._gone[output.job].append(output.path)

    def _end(self) -> None:
        project = current_build().project
        try:
            for job, paths in self._gone.items():
                project.lock(job).forget(paths, project.temporary)
        except OSError as error:  # harmless: lines without files mean that these are restored
            sys.stderr.write(f"the lines of what was removed stay: {error.strerror}: {error.filename}\n")
        self._held.close()


_cleaning = _Cleaning()


def _clean(task: str) -> None:
    try:
        _cleaning.one(task)
    except ImagegenError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except OSError as error:
        sys.stderr.write(f"{not_written(error, task)}\n")
        raise SystemExit(1) from None
