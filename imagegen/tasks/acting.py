"""What tasks that are commands have in common: how doit has them, writing undisturbed, telling what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed

from imagegen.errors import ImagegenError, not_written
from imagegen.tasks.build import Build, current_build
from imagegen.tasks.reporter import OURS

if TYPE_CHECKING:
    from imagegen.execute.outcome import Event

__all__ = ["command", "tell_note", "told", "writing"]


def command(action: Callable[..., BaseFail | None], **more: Any) -> dict[str, Any]:
    """Return a task that does something each time it is named, and that `doit list --status` does not mark as stale.

    Args:
        action: gets the params, and what follows on the command line where `more` has a `pos_arg`.
        more: what else there is of the task, for example its `params`.

    """
    return {
        "actions": [action],
        "uptodate": [current_build().invocation.command == "list"],
        "verbosity": 2,
        "io": {"capture": False},
        "meta": {OURS: {}},
        **more,
    }


@contextlib.contextmanager
def writing(build: Build) -> Iterator[None]:
    """Nobody else writes meanwhile, and what they did before is known: where they decided something it is planned anew.

    So what is named has to be looked up within. Raises ImagegenError where somebody does.
    """
    from imagegen.state.mutex import hold

    with hold(build.project.state, build.settings.wait_s):
        build.know_others()
        yield


def tell_note(event: Event) -> None:
    """Print what there is to say of a run, but not what becomes of its images."""
    from imagegen.execute.outcome import Happened
    from imagegen.report.console import note_line

    if isinstance(event, Happened) and event.name == "note":
        print(note_line(event), flush=True)


def told(work: Callable[[Build], None]) -> TaskFailed | None:
    """Do it, and tell what is wrong, if anything."""
    build = current_build()
    problems = list(build.problems)
    if not problems:
        try:
            work(build)
            return None
        except ImagegenError as error:
            problems += error.problems
        except OSError as error:
            problems.append(not_written(error, doing="read or write"))
    for problem in problems:
        print(problem, flush=True)
    return TaskFailed("\n".join(map(str, problems)), report=False)
