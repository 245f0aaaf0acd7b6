"""What keeps doit from its work in a project of ours: the problems in words, as JSON if asked, and the exit code."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from doit.exceptions import InvalidCommand

from imagegen.dodo_faults import explain_dodo_fault
from imagegen.errors import BAD_INPUT, FAILED, NOT_BEGUN, ImagegenError, Problem, did_you_mean
from imagegen.library.reserved_names import OUR_NAMES
from imagegen.process import note_exit_code, worst_exit_code
from imagegen.report.json_output import json_output
from imagegen.run_options import OWN_OPTIONS

if TYPE_CHECKING:
    import getopt

    from doit.cmd_base import Command
    from doit.cmdparse import CmdOption

    from imagegen.commands.command import Command as OurCommand

__all__ = ["end", "explain_option", "explain_value", "find_answering", "report", "report_exception"]

_TASK_ERROR = 2
"""doit's exit code for a task that raised an exception; to us it failed as any other."""


def end(code: int | None, problems: Sequence[Problem] = ()) -> int:
    """Return the exit code in place of doit's own, and write a result if nothing else did."""
    note_exit_code(FAILED if code == _TASK_ERROR else code or 0)
    code = worst_exit_code()
    if output := json_output():
        output.end(code, problems)
    return code


def report(command: str, error: Exception) -> int:
    """Say what is wrong with what was asked, or with dodo.py, and return the exit code."""
    if isinstance(error, InvalidCommand):  # as doit does it
        error.cmd_used, error.bin_name = command, "doit"
    what, _, hint = str(error).partition("\n")
    problems: Sequence[Problem] = getattr(error, "problems", [Problem("", what, hint.strip())])
    return _write(command, problems, getattr(error, "exit_code", BAD_INPUT))


def report_exception(command: str, error: Exception) -> int:
    """Say what a dodo file raised while it was loaded. Anything else is a fault of ours, shown with its traceback."""
    try:
        root = Path.cwd()
    except FileNotFoundError:
        problem = Problem("", "the folder that doit was called in was deleted", "change to the project's folder")
        return _write(command, [problem], NOT_BEGUN)
    if found := explain_dodo_fault(error, root):
        return _write(command, [found], BAD_INPUT)
    what = f"{type(error).__name__}: {error}"
    problem = Problem("", what, "this is a fault of imagegen: please report it with the lines below")
    code = _write(command, [problem], FAILED)
    sys.stderr.write("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    return code


def explain_option(command: Command, error: getopt.GetoptError, ours: Sequence[OurCommand]) -> Problem:
    """Return what getopt refused of a command of doit's. ours: commands whose options may have been meant."""
    where = "doit" if command.name == "run" else f"doit {command.name}"
    if "not recognized" not in str(error):
        return Problem(where, str(error), f"doit help {command.name} shows its options")
    long = len(error.opt) > 1
    theirs = {name.rstrip("="): f"--{name.rstrip('=')}" for name in command.cmdparser.get_long()}
    for one in ours:
        others = [option["long"] for option in one.options if option["long"] != "json"]
        theirs = {name: f"doit {one.name} --{name}" for name in others} | theirs
    near = did_you_mean(error.opt, theirs) if long else ""
    if near:
        near = f"; did you mean {theirs[near.split(chr(39))[1]]}?"
    what = f"unknown option {'--' if long else '-'}{error.opt}{near}"
    return Problem(where, what, f"doit help {command.name} shows its options; those of a command follow its name")


def explain_value(command: str, said: str, options: Iterable[CmdOption]) -> Problem:
    """Return what doit says of an option's value, in words for a user."""
    where = "doit" if command == "run" else f"doit {command}"
    option = next((one for one in options if f"parameter '{one.name}'" in said), None)
    if option is None:
        return Problem(where, said.strip(), f"doit help {command} shows its options")
    wrong = re.search(r"(?:Provided|base 10:) '(.*?)'(?: but|$)", said.strip())
    given = f"--{option.long or option.name}={wrong[1] if wrong else ''}"
    expected = f"one of {', '.join(option.choices)}" if option.choices else "a whole number"
    hint = "that option is of doit's database; for images: doit backend=NAME" if option.name == "backend" else ""
    return Problem(where, f"{given}: expected {expected}", hint or f"doit help {command} shows its options")


def _write(command: str, problems: Sequence[Problem], code: int) -> int:
    if output := json_output():  # first: a program that reads it needs no stderr
        output.write_result(find_answering(command), code, problems)
    note_exit_code(code)
    for problem in dict.fromkeys(problems):
        sys.stderr.write(f"ERROR: {problem}\n")
    if command == "run":
        _write_summary(problems)
    return code


def _write_summary(problems: Sequence[Problem]) -> None:
    """Write them into the file of `--summary`, which would say what an earlier run did."""
    if not any(word.startswith("--s") for word in sys.argv):  # so that nothing is planned for this
        return
    with suppress(ImagegenError, OSError, ImportError):  # these are not what to report now
        from imagegen.commands.build import current_build

        build = current_build()
        if build.invocation.summary and (file := build.summary_file):
            file.check()
            file.write_refusal(problems)


def find_answering(command: str = "run") -> str:
    """Return the first command that was named: of ours, or one of doit's that answers; `command` if there is none.

    By the words alone, as it may be asked before anything is loaded.
    """
    words = [word for word in sys.argv[1:] if word in OWN_OPTIONS or word.partition(":")[0] in OUR_NAMES]
    if not words or command != "run":
        return command
    if words[0] in OWN_OPTIONS:
        return words[0]
    from imagegen.commands.command import COMMANDS

    return next((word for word in words if word in COMMANDS), command)
