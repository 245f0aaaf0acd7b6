"""What tasks that are commands have in common: how doit has them, writing undisturbed, telling what is wrong."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import OURS, Command
from imagegen.commands.command_line import current_invocation
from imagegen.errors import ImagegenError, Problem, not_written

if TYPE_CHECKING:
    from imagegen.execute.events import Event

__all__ = [
    "command",
    "confirm",
    "demand",
    "tell_note",
    "told",
    "writing",
]


def command(what: Command, action: Callable[..., BaseFail | None], **more: Any) -> dict[str, Any]:
    """Return the task of a command; `doit list --status` does not mark it as stale.

    Args:
        what: the command.
        action: gets its options by their names and, where it takes words, these as `words`.
        more: what else there is of the task.

    """
    return {
        "basename": what.name,
        "doc": what.summary,
        "actions": [action],
        "params": list(what.options),
        "uptodate": [current_invocation().command == "list"],
        "verbosity": 2,
        "io": {"capture": False},
        "meta": {OURS: {}},
        **({"pos_arg": "words"} if what.words else {}),
        **more,
    }


def confirm(question: str, nothing: str, form: str) -> bool:
    """Return whether the user agrees.

    Args:
        question: what is asked.
        nothing: what is not done unasked, `nothing is removed`.
        form: the command line that does not ask.

    Raises:
        ImagegenError: there is no terminal to ask on.

    """
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ImagegenError(Problem("", f"{nothing} unasked, and there is no terminal to ask on", form))
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    return answer.strip().lower() in ("y", "yes")


def demand(question: str, nothing: str, form: str) -> None:
    """Go on only if the user agrees; see `confirm`. Raises ImagegenError also where they do not."""
    if not confirm(question, nothing, form):
        raise ImagegenError(Problem("", f"{nothing}, as you say"))


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
    from imagegen.execute.events import ProgressEvent
    from imagegen.report.console import note_line

    if isinstance(event, ProgressEvent) and event.name == "note":
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
