"""A run: from selected outputs to an outcome for each, under the build's mutex."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.execute.attended import Attended
from imagegen.execute.flow import Flow
from imagegen.execute.outcome import Event, Outcome
from imagegen.execute.sharing import Sharing, is_shared
from imagegen.execute.unreached import check_packages
from imagegen.execute.waiting import Work
from imagegen.plan.origins import in_order
from imagegen.plan.output import ONE_OFF, Output
from imagegen.project import Project
from imagegen.project.git import has_undecided_files
from imagegen.state.mutex import hold

__all__ = ["Ending", "Wanted", "run"]


@dataclass(frozen=True)
class Wanted:
    """An output that was selected. forced: it is generated though it is fresh, and though it could be restored."""

    output: Output
    forced: bool = False


@dataclass(frozen=True)
class Ending:
    """How a run ended. stopped: by the user. problems: with what comes after the images."""

    stopped: bool = False
    problems: tuple[Problem, ...] = ()


def run(project: Project, wanted: Sequence[Wanted], tell: Callable[[Event], None]) -> Ending:
    """Bring the outputs up to date; `tell` is called with each event, in this thread; with one outcome for each output.

    What needs no writing takes no mutex. Ctrl-C once finishes what is running, twice cancels that too; the
    outcomes say which were not made.
    """
    by_task = {one.output.task: one for one in wanted}
    wanted = [by_task[output.task] for output in in_order([one.output for one in wanted])]
    stale = _settle(project, wanted, tell)
    attended = Attended(tell)
    sharing = None
    ending = Ending()
    waiting = True
    if stale:
        try:
            with hold(project.state, project.settings.wait_s):
                waiting = False
                # another build may have made some of them before this one got the mutex
                if project.settings.store and any(is_shared(one.output) for one in stale):
                    check_packages(project.settings)
                stale = _settle(project, _anew(project, stale, tell), tell)
                shutil.rmtree(project.temporary, ignore_errors=True)
                if project.settings.store:
                    is_brief = not any(is_shared(one.output) for one in stale)
                    sharing = Sharing(project, attended.put, attended.stop, is_brief=is_brief)
                attended.do(Flow(project, stale, attended.put, attended.stop, attended.cancel, sharing).run)
                ending = Ending(attended.stop.is_set(), _finish(project))
        except ImagegenError as error:
            for one in stale:
                tell(Outcome(one.output, "failed", problem=error.problems[0]))
        except KeyboardInterrupt:
            if not waiting:  # a third Ctrl-C, or one after the images: their outcomes are told
                raise
            for one in stale:
                tell(Outcome(one.output, "cancelled"))
            ending = Ending(stopped=True)
    elif project.has_pending or any(lock.untidy for lock in project.locks.values()):
        # after a kill or a merge, or with what could not go up; it can wait where another build is at work
        with contextlib.suppress(ImagegenError), hold(project.state, 0):
            project.reload_locks()
            if project.has_pending:
                sharing = Sharing(project, attended.put, attended.stop, is_brief=True)
            ending = Ending(problems=_finish(project))
    if sharing:
        attended.do(sharing.close)  # not under the mutex: others may build while this one waits for the shared store
        ending = replace(ending, stopped=attended.stop.is_set())
    with contextlib.suppress(OSError):  # it only saves the next run some reading
        project.hashes.save(project.temporary)
    attended.pass_on()
    return ending


def _anew(project: Project, works: Sequence[Work], tell: Callable[[Event], None]) -> list[Wanted]:
    """Those that are images still, as they are by what others decided since; the others are told of."""
    if not project.reload_locks():
        return [Wanted(project.decided(work.output), work.forced) for work in works]
    plans = {output.task: output for plan in project.plans() for output in plan.outputs}
    found = []
    for work in works:
        output = project.decided(work.output) if work.output.job == ONE_OFF else plans.get(work.output.task)
        if output is None:
            what = "is no image of its job any more, by what was decided or changed meanwhile"
            tell(Outcome(work.output, "failed", problem=Problem(work.output.task, what, "doit again")))
        else:
            found.append(Wanted(output, work.forced))
    return found


def _settle(project: Project, wanted: Sequence[Wanted], tell: Callable[[Event], None]) -> list[Work]:
    """Tell of those that are fresh or kept; the others. What is made from others is not judged before them."""
    stale: list[Work] = []
    unsettled: set[str] = set()
    for one in wanted:
        output = one.output
        waits = any(origin.task in unsettled for origin in output.origins)
        try:
            output = project.with_origins(output, unsettled)
            verdict = project.verdict(output, forced=one.forced)
        except OSError as error:
            what = f"{error.filename or output.path} cannot be read: {error.strerror}"
            tell(Outcome(output, "failed", problem=Problem(output.task, what, "fix its permissions")))
            continue
        if verdict.state in ("fresh", "kept") and not waits:
            tell(Outcome(output, verdict.state, verdict.reasons, verdict.note))
        else:
            unsettled.add(output.task)
            stale.append(Work(output, verdict, one.forced))
    return stale


def _finish(project: Project) -> tuple[Problem, ...]:
    """Fold the lock files, keep the store within its bound; what went wrong, which loses nothing."""
    problems = []
    untidy = [lock for lock in project.locks.values() if lock.untidy]
    # whoever chooses the other side of an image in conflict needs that side's line, too
    if untidy and not has_undecided_files(project.root):
        for lock in untidy:
            try:
                on_disk = {path: state.sha256 for path in lock.lines if (state := project.hashes.state(path))}
                lock.fold(on_disk, project.temporary)
            except OSError as error:
                hint = not_written(error).hint
                problems.append(Problem(lock.name, f"cannot be folded: {error.strerror}", f"{hint}; nothing is lost"))
    with contextlib.suppress(OSError):  # it only keeps the files short
        project.attempts.fold()
        project.placed.fold()
    with contextlib.suppress(OSError):  # the next run tries again
        project.store.prune(project.settings.store_bytes, project.pending.blobs())
    shutil.rmtree(project.temporary, ignore_errors=True)
    return tuple(problems)
