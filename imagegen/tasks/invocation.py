"""What doit was asked to do, read from the command line with doit's own parsers.

doit tells `-a` and `-v` to its runner only, and not every reporter is told the selection; this is the one
place that finds out by itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from doit.cmd_base import DodoTaskLoader, DoitCmdBase
from doit.cmd_run import Run
from doit.cmdparse import CmdOption, CmdParse, CmdParseError
from doit.doit_cmd import DoitMain

__all__ = ["DOIT_COMMANDS", "Invocation", "read_invocation"]

DOIT_COMMANDS = frozenset(command.get_name() for command in DoitMain.DOIT_CMDS)


@dataclass(frozen=True)
class Invocation:
    """command: doit's, `run` where none was named. words: what follows its options, names of tasks mostly.

    always: `-a`. quiet: `-v0`.
    """

    command: str = "run"
    words: tuple[str, ...] = ()
    always: bool = False
    quiet: bool = False


def read_invocation(arguments: Sequence[str] | None = None) -> Invocation:
    """The invocation of these arguments (default: this process's). What doit will refuse is left to doit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with contextlib.suppress(CmdParseError):  # options of `run` may come first, the command left out
        _, words = CmdParse(_options(DodoTaskLoader.cmd_options)).parse_only(words)
    words = [word for word in words if word.startswith("-") or "=" not in word]
    command = words.pop(0) if words and words[0] in DOIT_COMMANDS else "run"
    if command != "run":
        return Invocation(command, tuple(words))
    try:
        options, rest = CmdParse(_options(DoitCmdBase.base_options, DodoTaskLoader.cmd_options, Run.cmd_options)).parse(
            words
        )
    except CmdParseError:
        return Invocation(command)
    return Invocation(command, tuple(rest), bool(options["always"]), options["verbosity"] == 0)


def _options(*groups: Sequence[dict[str, object]]) -> list[CmdOption]:
    return [CmdOption(option) for group in groups for option in group]
