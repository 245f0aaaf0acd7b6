"""`doit watch`: build what an edit makes stale, while one writes prompts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen.commands.build import Build, read_limit, select
from imagegen.commands.command import Answer, answer_even_if_it_fails, command, option
from imagegen.commands.command_line import initial_folder, is_ignored, reserved_names
from imagegen.commands.review import leading_words
from imagegen.errors import ImagegenError, InputError, NotBegunError, Problem, not_written, printable
from imagegen.library.needed import find_needed
from imagegen.library.planned_project import PlannedProject
from imagegen.report.console import StatusLine
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.report.results.watching import WatchResult
    from imagegen.report.run_progress import RunProgress
    from imagegen.state.hashes import StatKey
    from imagegen.watch.choice import Outlook
    from imagegen.watch.session import Watched

__all__ = ["find_inputs", "progress_text", "watch"]


@command(
    "watch",
    "Build what an edit makes stale, until Ctrl-C: a line for each edit.",
    {
        "doit watch": "for all jobs",
        "doit watch portraits backend=placeholder": "for one job, with placeholders",
        "doit watch budget=1.00": "may spend a dollar in all; without, what costs something is not built",
    },
    [option("limit", str, "", "build only the first N stale images of each job after an edit", value="N")],
    words="[IMAGE|JOB...]",
    result="imagegen.report.results.watching:WatchResult",
)
def watch(build: Build, words: list[str], *, limit: str) -> Answer:
    """Watch until Ctrl-C or SIGTERM."""
    from imagegen.doit_child import handling_signals
    from imagegen.report.results.watching import WatchResult
    from imagegen.report.run_summary import count_all

    if build.invocation.always:
        what = "-a would generate fresh images again with each edit"
        raise InputError(Problem("doit watch", what, "leave it out: doit watch builds what an edit makes stale"))
    select(build, words)
    read_limit(build, limit)  # a mistake is reported before anything is watched
    try:
        from imagegen.watch.session import WatchSession

        session = WatchSession(_describe(build, words, limit), _Shown())
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "watchfiles":
            raise
        what = "edits are noticed by the package watchfiles, which is not installed"
        raise NotBegunError(Problem("", what, f"{sys.executable} -m pip install watchfiles")) from None

    def result() -> WatchResult:
        return WatchResult(session.edits, session.builds, count_all(session.counts), float(session.spent))

    with answer_even_if_it_fails(result):
        with handling_signals(session.interrupt):
            ended_by = session.run()
        if ended_by != signal.SIGINT:
            signal.raise_signal(ended_by)
    return Answer(result())


def _describe(build: Build, words: Sequence[str], limit: str) -> Watched:
    from decimal import Decimal

    from imagegen.watch.session import Watched

    leading = [word for word in leading_words(build, "watch") if not word.startswith("budget=")]
    return Watched(
        build.root,
        Path(initial_folder() or build.root),
        [*leading, *([f"limit={limit}"] if limit else [])],
        words,
        build.settings.budget if "budget" in build.invocation.given else Decimal(0),
        lambda: _look(build, words),
    )


def _look(build: Build, words: Sequence[str]) -> Outlook:
    """Return what the next run would do for these words, as the project is now."""
    from imagegen.execute.forecast import forecast
    from imagegen.watch.choice import Outlook

    try:
        now = PlannedProject(build.root, build.given, reserved_names())
        now.open()
        if now.problems:
            return Outlook(problems=now.problems, is_readable=False)
        now.plan_all()
        inputs = find_inputs(now)
        jobs = {plan.name: plan.task for plan in now.plans}
        try:
            selection = select(now, words)
        except ImagegenError as error:  # what is watched is not there any more
            return Outlook(inputs, (), error.problems, jobs, is_readable=False)
        images = [now.planned[task] for task in find_needed(now, selection.images)]
        ignored = {one.output.task for one in images if is_ignored(one.output.task)}
        found = forecast(now.project, [(one.output, one.verdict) for one in images], ignored)
        named = {plan.name for plan in selection.plans} | {one.output.job for one in images}
        broken = [plan for plan in now.plans if plan.name in named and plan.problems]
        problems = dict.fromkeys(problem for plan in broken for problem in plan.problems)
        return Outlook(inputs, found.images, list(problems), jobs, [plan.name for plan in broken])
    except ImagegenError as error:
        return Outlook(problems=error.problems, is_readable=False)
    except OSError as error:
        return Outlook(problems=[not_written(error, doing="read")], is_readable=False)


def find_inputs(project: PlannedProject) -> dict[str, StatKey | None]:
    """Return what the plans follow from, without what a build writes: files and folders, each as it was when read."""
    written = {output.path for plan in project.plans for output in plan.outputs}
    return {
        path: key
        for path, key in project.project.inputs.stats.items()
        if path not in written and not path.startswith(".imagegen/") and not path.endswith((".lock", ".review"))
    }


class _Shown:
    """Lines for a person, how far a build is on a terminal, or events for a program."""

    def __init__(self) -> None:
        self._status = StatusLine()
        self._progress: RunProgress | None = None

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if json_output():  # a program has all of it as data; this goes to stderr
            print(printable(line), flush=True)
        else:
            self._status.note(line)

    def emit(self, event: Mapping[str, Any]) -> None:
        """Write an event, for a program."""
        if output := json_output():
            output.write(event)

    def follow(self, event: Mapping[str, Any] | None) -> None:
        """Show how far a build is, on a terminal; None at its end."""
        if not self._status.is_terminal:
            return
        from imagegen.report.run_progress import RunProgress

        if event is None:
            self._status.clear()
            self._progress = None
            return
        self._progress = self._progress or RunProgress()
        self._progress.take(event)
        self._status.show(progress_text(self._progress.data))


def progress_text(data: Mapping[str, Any]) -> str:
    """Return how far a build is: `1/3  portraits:mallsing 12/28  0:34 left`."""
    from imagegen.report.progress import clock

    said = [f"{data['done']}/{data['total']}"]
    for task, flight in data["flights"].items():
        done, total = flight["steps"]
        steps = f" {done}/{total}" if total else ""
        said.append(f"{task}{steps}" if not flight["waits"] else f"{task} {flight['waits']}")
    if data["left_s"]:
        said.append(f"{clock(data['left_s'])} left")
    return "  ".join(said)
