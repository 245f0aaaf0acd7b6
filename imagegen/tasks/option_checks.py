"""Which options do not go together, which is found before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagegen.commands.build import current_build
from imagegen.commands.command import Command
from imagegen.commands.command_line import Invocation
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.report.json_output import json_output

__all__ = ["check_json", "check_summary"]


def check_json(invocation: Invocation, params: Mapping[str, Any], *, has_our_reporter: bool) -> Sequence[Problem]:
    """Return what is wrong with `--json`. params: of `doit run`; none of another command."""
    if not (json_output() and params):
        return []
    if isinstance(params.get("outfile"), str):  # else it is stdout
        return [Problem("doit --json", "-o has nothing to write: all there is is JSON, on stdout", "leave out -o")]
    if not has_our_reporter and not _find_commands(invocation):
        what = "another reporter is chosen, which writes no result"
        return [Problem("doit --json", what, "leave out -r, or the reporter in DOIT_CONFIG")]
    return []


def check_summary(invocation: Invocation, *, has_our_reporter: bool) -> Sequence[Problem]:
    """Return what is wrong with `--summary`."""
    if invocation.summary is None:
        return []
    if commands := _find_commands(invocation):
        what = f"doit {commands[0].name} writes none: it sums up a build of jobs or images"
        return [Problem("doit --summary", what, "leave it out")]
    if not has_our_reporter:
        return [Problem("doit --summary", "another reporter is chosen, which writes none", "leave out -r")]
    if (file := current_build().summary_file) is None:
        return [Problem("doit --summary", "it names no file", "write --summary=summary.md")]
    try:
        file.check()
    except ImagegenError as error:
        return error.problems
    except OSError as error:
        return [not_written(error, "doit --summary", doing="read")]
    return []


def _find_commands(invocation: Invocation) -> Sequence[Command]:
    """Return the commands that were named; none if anything is built besides."""
    commands = [one.command for one in invocation.calls]
    is_all = len(commands) == len(invocation.tasks) and not any(one.jobs for one in commands)
    return commands if is_all else []
