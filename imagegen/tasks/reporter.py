"""doit's reporter: it learns the selection, has the images built, and says what became of them."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from doit.exceptions import BaseFail
from doit.reporter import ConsoleReporter
from doit.task import Task

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import COMMANDS, OURS
from imagegen.commands.command_line import is_ignored
from imagegen.commands.up_to_date import default_tasks
from imagegen.dodo_faults import explain_dodo_fault, explain_failure
from imagegen.errors import BAD_INPUT, DONE, FAILED, STOPPED, ImagegenError, InputError, Problem, not_written, printable
from imagegen.library.needed import list_parts
from imagegen.process import note_exit_code, stopped_exit_code, worst_exit_code
from imagegen.report.console import closing_line, cost_text, failures, orphan_lines, same_seed_lines
from imagegen.report.json_output import json_output
from imagegen.tasks.commands import run_and_report
from imagegen.tasks.jobs import add_failed

if TYPE_CHECKING:
    from imagegen.execute.budget import Costs
    from imagegen.plan.record import Estimate
    from imagegen.project import JobPlan
    from imagegen.report.json_output import JsonOutput
    from imagegen.report.live import LiveReport
    from imagegen.report.progress import PlainReport
    from imagegen.report.run_events import EventLines

__all__ = ["ImagegenReporter"]


class ImagegenReporter(ConsoleReporter):  # type: ignore[misc]  # doit ships no types
    """One line an image that is not fresh, failures by their cause, one closing line."""

    desc = "what became of each image"

    def __init__(self, outstream: TextIO, options: Mapping[str, Any]) -> None:
        super().__init__(outstream, options)
        self._build: Build | None = None
        self._reached: Mapping[str, None] = {}
        self._tasks: dict[str, Task] = {}
        self._ignored = 0
        self._broken: list[JobPlan] = []
        self._ending_problems: Sequence[Problem] = ()
        self._refusal: ImagegenError | None = None
        self._costs: Costs | None = None
        self._failed_tasks: list[Problem] = []
        self._stopped_by = 0
        self._notes: list[str] = []
        self._strays: Sequence[Problem] = ()

    def initialize(self, tasks: dict[str, Task], selected_tasks: Sequence[str]) -> None:
        """Have the images of the selection built: doit is about to run its first task."""
        build = current_build()
        self._tasks = tasks
        self._reached = reached = _reach(tasks, selected_tasks)
        builders = [name for name in reached if _is_ours(tasks[name]) and name in COMMANDS and COMMANDS[name].jobs]
        for name in builders:
            if run_and_report(build, COMMANDS[name], tasks[name].options):
                raise SystemExit(worst_exit_code())
        self._check_selection(build, selected_tasks)
        forced = self._find_forced(build, selected_tasks, builders)
        # what they are made from does not count for a limit
        asked = _reach(tasks, selected_tasks, build.planned) if build.settings.limit else reached
        images = build.choose(
            [
                name
                for name, one in build.planned.items()
                if (not is_ignored(name) if name in asked else one.output.job in asked and not build.needs_task(one))
            ],
            forced,
            is_ignored,
        )
        self._broken = [plan for plan in build.plans if plan.problems and self._reaches(plan.task)]
        if not (images or self._broken or any(self._reaches(job.task) for job in build.fresh_jobs)):
            return
        self._build = build
        if not build.plans:
            return
        if not json_output():  # which has them apart
            # what is wrong with the settings is wrong with every job: once is enough
            self._say(dict.fromkeys(problem for plan in self._broken for problem in plan.problems))
        if not build.invocation.quiet:
            self._say_strays(build)
            plans = [plan for plan in build.plans if self._reaches(plan.task)]
            self._say(f"{plan.name}: {note}" for plan in plans for note in plan.notes)
        self._run(build, images, forced.intersection(images))

    def _find_forced(self, build: Build, selected: Sequence[str], builders: Collection[str]) -> set[str]:
        """Return the images that `-a` is about: those that are named, and not what they are made from."""
        forced: set[str] = set()
        if build.invocation.always:
            # a command that builds jobs has nothing else to build: to name it is to name them
            words = [job for word in selected for job in (self._tasks[word].task_dep if word in builders else [word])]
            for task in build.find(words):
                forced.update([task, *list_parts(build, build.planned[task].output)])
        return forced

    def execute_task(self, task: Task) -> None:
        """Report that a task that is not ours begins."""
        if not _is_ours(task):
            super().execute_task(task)

    def add_failure(self, task: Task, fail: BaseFail) -> None:
        """Report that a task failed; of ours, only a fault in the task itself is news."""
        code = getattr(fail, "exit_code", None)  # a command's own, also where it ran in another process
        note_exit_code(FAILED if code is None else code)
        if code is not None and (output := json_output()):
            output.note_result(code)
        if not _is_ours(task) or (fail.report and fail.get_name() != "UnmetDependency"):
            self._failed_tasks.append(
                explain_failure(task.name, str(fail.message), fail.traceback, current_build().root)
            )
            super().add_failure(task, fail)

    def skip_uptodate(self, task: Task) -> None:
        """Report that a task that is not ours is up to date."""
        if not _is_ours(task):
            super().skip_uptodate(task)

    def skip_ignore(self, task: Task) -> None:
        """Say of an image that `doit ignore` named it, or what it is made from; its job needs no line of its own."""
        if not _is_ours(task):
            super().skip_ignore(task)
        elif (build := current_build()) and task.name in build.planned:
            self._ignored += 1
            if not build.invocation.quiet:
                named = [name for name in _reach(self._tasks, [task.name]) if is_ignored(name)]
                self._say([f"{'ignored':<10} {task.name}: left alone, until doit forget {(named or [task.name])[0]}"])

    def runtime_error(self, msg: str) -> None:
        """Report a task of the dodo file that is not valid, which doit finds while it runs others."""
        self._refuse(InputError(Problem("the dodo file", msg)))

    def complete_run(self) -> None:
        """Say at the end what failed and why, and what the run did; doit calls it however the run ends."""
        self._note_stop(sys.exc_info()[1])
        build, output = self._build, json_output()
        if build is None and self._tells_commands() and not (self._failed_tasks or self._refusal):
            if output and not self._stopped_by:
                output.note_result(DONE)  # written by each command, perhaps in another process (-n 2)
        else:
            self._write_summary(build or current_build())
            if build is not None:
                self._say_ending(build)
            note_exit_code(self._exit_code(build or current_build()))
            if output:
                self._write_result(output, build or current_build())
        super().complete_run()

    def _note_stop(self, stop: BaseException | None) -> None:
        """Take notice of what ends the run early, whatever it does then."""
        if isinstance(stop, KeyboardInterrupt):
            self._stopped_by = stopped_exit_code(stop)
        elif isinstance(stop, SystemExit) and (problem := explain_dodo_fault(stop, current_build().root)):
            self._failed_tasks.append(problem)
            note_exit_code(FAILED)
            sys.stderr.write(f"{problem}\n")

    def _say_ending(self, build: Build) -> None:
        failed = failures(build.outcomes)
        counts = self._count(build)
        if not build.invocation.quiet and (counts["generated"] or counts["derived"] or counts["restored"]):
            orphans = orphan_lines(build.orphans(self._reached))
            same_seed = same_seed_lines(build.outcomes)
        else:
            orphans = same_seed = []
        suggested = [] if build.invocation.quiet else build.suggest_sd(build.outcomes)
        stopped = build.stop_left_over_servers()
        left = build.left_lines()
        if json_output():  # what failed is said of each image
            self._say([*orphans, *same_seed, *suggested, *stopped, *left])
            return
        self._say(["", *failed] if failed else [])
        self._say([*self._ending_problems, *orphans, *same_seed, *suggested, *stopped, *left])
        if not build.invocation.quiet or failed:
            self._say([self._closing_line(build)])

    def _closing_line(self, build: Build) -> str:
        seconds = time.monotonic() - build.started
        cost, has_settings = cost_text(self._costs), not build.problems
        return closing_line(self._count(build), len(self._broken), seconds, cost, has_settings=has_settings)

    def _write_summary(self, build: Build) -> None:
        """Write the file of `--summary`, if there is to be one."""
        if build.invocation.summary is None or (file := build.summary_file) is None:
            return
        from imagegen.report.run_summary import summarise_images

        order = {one.task: at for at, one in enumerate(one for plan in build.plans for one in plan.outputs)}
        outcomes = sorted(build.outcomes, key=lambda one: order.get(one.output.task, len(order)))
        images = summarise_images(outcomes, None)
        sha256 = build.project.hashes.sha256 if images else lambda _: None
        try:
            if self._refusal:
                file.write_refusal(self._problems())
                return
            file.write(self._closing_line(build), build.left_lines(), images, self._problems(), sha256)
        except OSError as error:
            note_exit_code(FAILED)
            self._ending_problems = [*self._ending_problems, not_written(error, "doit --summary", str(file.path))]

    def _count(self, build: Build) -> Counter[str]:
        return build.count_outcomes(self._reached) + Counter(ignored=self._ignored)

    def _tells_commands(self) -> bool:
        """Whether commands were named, which write results of their own."""
        return any(name in COMMANDS for name in self._reached)

    def _write_result(self, output: JsonOutput, build: Build) -> None:
        from imagegen.report.run_summary import (
            RunSummary,
            count_all,
            image_problems,
            summarise_cost,
            summarise_images,
        )

        images = summarise_images(build.outcomes, build.find_place)
        summary = RunSummary(
            count_all(self._count(build)),
            round(time.monotonic() - build.started, 3),
            images,
            summarise_cost(self._costs),
            tuple(self._notes),
            self._stopped_by > 0,
            len(build.limited.left) if build.limited else 0,
        )
        was_begun = self._build is not None or self._refusal is None
        problems = [*self._problems(), *self._strays, *image_problems(images)]
        output.write_result("run", self._exit_code(build), problems, summary if was_begun else None)

    def _problems(self) -> list[Problem]:
        """Return what is wrong besides single images."""
        broken = (problem for plan in self._broken for problem in plan.problems)
        return [*broken, *self._ending_problems, *self._failed_tasks]

    def _exit_code(self, build: Build) -> int:
        """Return the exit code: the highest of all that happened."""
        if self._stopped_by:
            return self._stopped_by
        code = FAILED if any(one.state in ("failed", "cancelled") for one in build.outcomes) else worst_exit_code()
        return max(code, BAD_INPUT if self._broken else DONE, self._refusal.exit_code if self._refusal else DONE)

    def _check_selection(self, build: Build, selected: Sequence[str]) -> None:
        """Say why there is nothing to build, where that is so."""
        if selected:
            return
        if words := build.invocation.words:
            what = f"no task has a name like {' or '.join(words)}"
            self._refuse(InputError(Problem("", what, "doit list --all shows them")))
            return
        missing = "no job files in jobs/: nothing to do (imagegen init adds a first one)"
        self._say(["nothing to do: default_tasks is empty" if default_tasks(build.root) else missing])
        self._say_strays(build)

    def _refuse(self, error: ImagegenError) -> None:
        self._refusal = error
        self._ending_problems = error.problems
        if not json_output():
            self._say(error.problems)
        note_exit_code(error.exit_code)

    def _run(self, build: Build, images: Sequence[str], forced: set[str]) -> None:
        report = self._follow(build, images, forced)
        try:
            ending = build.run(images, forced, report.on_event)
        finally:
            report.stop()
        if ending.refusal:
            self._build = None  # it was not begun, and neither is anything after it
            self._refuse(ending.refusal)
            raise SystemExit(ending.refusal.exit_code)
        self._ending_problems = ending.problems
        self._costs = ending.costs
        if ending.stopped:
            self._stopped_by = STOPPED
            raise SystemExit(self._stopped_by)
        add_failed(build, self._tasks)

    def _follow(self, build: Build, images: Sequence[str], forced: set[str]) -> LiveReport | PlainReport | EventLines:
        """Return what shows the run. A bar counts the images that are not fresh, where any is to be generated."""
        from imagegen.report.progress import follow_run
        from imagegen.state.mutex import ASKS

        waiting = [task for task in images if task in forced or build.planned[task].verdict.state != "fresh"]
        stale = [task for task in waiting if task in forced or build.planned[task].verdict.state == "stale"]
        times: Mapping[str, Estimate] = {}
        if stale and (
            self.outstream.isatty() or ASKS in os.environ or json_output()
        ):  # lines alone show no time that is left
            from imagegen.execute.forecast import estimate

            times = estimate(build.project, [build.planned[task].output for task in stale])
        total = len(waiting) if stale else 0
        return follow_run(
            self.outstream, os.environ, total, times, quiet=build.invocation.quiet, find_place=build.find_place
        )

    def _say_strays(self, build: Build) -> None:
        self._strays = build.stray_files()
        if not json_output():  # which has them among its problems
            self._say(self._strays)

    def _reaches(self, job: str) -> bool:
        return job in self._reached or any(name.startswith(f"{job}:") for name in self._reached)

    def _say(self, lines: Iterable[object]) -> None:
        if json_output():
            self._notes += map(str, lines)
            return
        for line in lines:
            self.write(f"{printable(str(line))}\n")
        self.outstream.flush()


def _is_ours(task: Task) -> bool:
    return bool(task.meta) and OURS in task.meta


def _reach(tasks: Mapping[str, Task], selected: Sequence[str], ends: Collection[str] = ()) -> dict[str, None]:
    """Return the selected tasks and all that they depend on, in order, but not what those in `ends` depend on."""
    reached: dict[str, None] = {}
    waiting = list(reversed(selected))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = None
            waiting += reversed(tasks[name].task_dep) if name not in ends else []
    return reached
