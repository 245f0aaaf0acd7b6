"""What doit was asked to do, read from the command line with doit's own options and those of our commands.

doit takes each `name=value` for a variable before it looks at anything else, passes `-a` and `-v` to its runner only,
and not every reporter gets the selection; this is the one place that reads the words as they were typed.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from doit.cmd_base import DodoTaskLoader, DoitCmdBase
from doit.cmdparse import CmdOption, CmdParse, CmdParseError
from doit.doit_cmd import DoitMain

from imagegen.errors import Problem
from imagegen.tasks.commands import COMMANDS
from imagegen.tasks.words import Call, is_variable, read_call, swallowed

__all__ = ["DOIT_COMMANDS", "Invocation", "current_invocation", "read_invocation"]

DOIT_COMMANDS = frozenset(command.get_name() for command in DoitMain.DOIT_CMDS)


@dataclass(frozen=True)
class Invocation:
    """command: doit's, `run` where none was named.

    words: what follows its options, names of tasks mostly; neither variables nor the options of our commands.
    always: `-a`. quiet: `-v0`. lists_all: `doit list --all`. calls: our commands among the tasks.
    variables: each `name=value`. problems: what is wrong with an option.
    seen: the words as doit has them, which differ where they are not those of this process.
    """

    command: str = "run"
    words: tuple[str, ...] = ()
    always: bool = False
    quiet: bool = False
    lists_all: bool = False
    calls: tuple[Call, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    seen: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, str]:
        """The value of each variable; the last one counts."""
        return dict(self.variables)


@functools.cache
def current_invocation() -> Invocation:
    """The invocation of this process."""
    return read_invocation(sys.argv[1:])


def read_invocation(arguments: Sequence[str]) -> Invocation:
    """The invocation of these arguments. Options of doit's own commands that it will refuse are left to it."""
    words = list(arguments)
    with contextlib.suppress(CmdParseError):  # options of `run` may come first, the command left out
        _, words = CmdParse(_options(DodoTaskLoader.cmd_options)).parse_only(words)
    leading: list[str] = []
    while words and is_variable(words[0]):
        leading.append(words.pop(0))
    command = words.pop(0) if words and words[0] in DOIT_COMMANDS else "run"
    kind = next(one for one in DoitMain.DOIT_CMDS if one.get_name() == command)
    options = CmdParse(_options(DoitCmdBase.base_options, DodoTaskLoader.cmd_options, kind.cmd_options))
    given: dict[str, object] = {}
    problems: list[Problem] = []
    try:
        while True:
            found, rest = options.parse_only(words)
            given |= found
            if problem := swallowed(words[: len(words) - len(rest)]):
                problems.append(problem)
            words = rest
            if not words or not is_variable(words[0]):
                break
            leading.append(words.pop(0))
    except CmdParseError:
        return Invocation(command)
    seen = tuple(word for word in words if not is_variable(word))
    variables = [_variable(word) for word in leading]
    names, calls = _read_tasks(words, variables) if command == "run" else (_read_names(words, variables), [])
    problems += (problem for call in calls for problem in call.problems)
    return Invocation(
        command,
        tuple(names),
        bool(given.get("always")),
        given.get("verbosity") == 0,
        bool(given.get("subtasks")),
        tuple(calls),
        tuple(variables),
        tuple(problems),
        seen,
    )


def _read_names(words: Sequence[str], variables: list[tuple[str, str]]) -> list[str]:
    variables += [_variable(word) for word in words if is_variable(word)]
    return [word for word in words if not is_variable(word)]


def _read_tasks(words: Sequence[str], variables: list[tuple[str, str]]) -> tuple[list[str], list[Call]]:
    """The words without variables and options of our commands; and the calls of those."""
    names: list[str] = []
    calls: list[Call] = []
    rest = list(words)
    while rest:
        word, *rest = rest
        if is_variable(word):
            variables.append(_variable(word))
            continue
        names.append(word)
        if word in COMMANDS:
            call = read_call(COMMANDS[word], rest)
            calls.append(call)
            variables += call.variables
            names += call.names
            rest = call.rest
    return names, calls


def _variable(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _options(*groups: Sequence[dict[str, object]]) -> list[CmdOption]:
    return [CmdOption(option) for group in groups for option in group]
