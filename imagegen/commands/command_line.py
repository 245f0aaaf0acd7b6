"""What doit was asked to do, read from the command line with doit's own options and those of our commands.

doit takes each `name=value` for a variable before it looks at anything else, passes `-a` and `-v` to its runner only,
and not every reporter gets the selection; this is the one place that reads the words as they were typed.
"""

from __future__ import annotations

import contextlib
import functools
import getopt
import itertools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from doit import get_initial_workdir
from doit.cmd_base import DodoTaskLoader, DoitCmdBase
from doit.cmdparse import CmdOption, CmdParse, CmdParseError
from doit.doit_cmd import DoitMain
from doit.globals import Globals

from imagegen.commands.command import COMMANDS, Command, spell
from imagegen.errors import Problem, did_you_mean, printable
from imagegen.library.reserved_names import OUR_NAMES
from imagegen.run_options import OWN_OPTIONS, put_first

__all__ = [
    "RANDOM_SEED",
    "Call",
    "Invocation",
    "current_invocation",
    "initial_folder",
    "is_ignored",
    "long_options",
    "read_invocation",
    "reserved_names",
    "unexpected_word",
]

RANDOM_SEED = "for a random seed, leave it out here and write generate: {seed: {mode: random}} in a job"
"""What to write for `--seed random`, and for the -1 of other programs."""

_DOIT_COMMANDS = frozenset(command.get_name() for command in DoitMain.DOIT_CMDS)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""What chats and word processors write in place of two hyphens."""


def reserved_names() -> frozenset[str]:
    """Return the names that no job may have: doit's commands, and ours by what is before a colon."""
    return _DOIT_COMMANDS | {name.partition(":")[0] for name in COMMANDS}


@dataclass
class Call:
    """One of our commands with what follows it on the command line.

    Attributes:
        options: those that are given, by the names of its function's arguments.
        names: the words it takes.
        rest: the words behind it that are not its own.
        wants_help: it is asked for its help page, and does nothing.

    """

    command: Command
    options: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    variables: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    wants_help: bool = False


@dataclass(frozen=True)
class Invocation:
    """What was typed after `doit`.

    Attributes:
        command: doit's, `run` if none was named.
        tasks: what follows its options: names of tasks mostly, and calls of our commands.
        always: `-a`. quiet: `-v0`. lists_all: `doit list --all`. is_dry_run: `doit clean -n`.
        as_json: `--json` of doit itself or of one of its commands.
        variables: each `name=value`.
        summary: the file to write a summary of the run to, as it was typed; None if there is to be none.
        problems: what is wrong with options.
        seen: the words as doit has them, which differ if they are not those of this process.

    """

    command: str = "run"
    tasks: tuple[str | Call, ...] = ()
    always: bool = False
    quiet: bool = False
    lists_all: bool = False
    is_dry_run: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    seen: tuple[str, ...] = ()
    as_json: bool = False
    summary: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The names of tasks, and what our commands take; neither variables nor options."""
        return tuple(
            word for one in self.tasks for word in ([one] if isinstance(one, str) else [one.command.name, *one.names])
        )

    @property
    def calls(self) -> list[Call]:
        """Our commands among the tasks."""
        return [one for one in self.tasks if isinstance(one, Call)]

    @property
    def given(self) -> dict[str, str]:
        """The value of each variable; the last one counts."""
        return dict(self.variables)


def initial_folder() -> str | None:
    """Return the folder that doit was called in, which `-k` leaves for the project's; None before doit has run."""
    return get_initial_workdir()  # type: ignore[no-any-return]  # doit ships no types


def is_ignored(task: str) -> bool:
    """Return whether `doit ignore` named this task: doit itself asks that only when it comes to the task."""
    return bool(Globals.dep_manager.status_is_ignore(SimpleNamespace(name=task)))  # it needs no more than the name


@functools.cache
def current_invocation() -> Invocation:
    """Return the invocation of this process."""
    return read_invocation(sys.argv[1:])


def read_invocation(arguments: Sequence[str]) -> Invocation:
    """Return the invocation of these arguments. Options of doit's own commands that it will refuse are left to it."""
    words = list(arguments)
    with contextlib.suppress(CmdParseError):  # options of `run` may come first, the command left out
        _, words = CmdParse(_options(DodoTaskLoader.cmd_options)).parse_only(words)
    leading: list[str] = []
    while words and _is_variable(words[0]):
        leading.append(words.pop(0))
    command = words.pop(0) if words and words[0] in _DOIT_COMMANDS else "run"
    kind = next(one for one in DoitMain.DOIT_CMDS if one.get_name() == command)
    ours = OWN_OPTIONS.get(command, ())
    words = put_first(command, words, OUR_NAMES)
    params = [*DoitCmdBase.base_options, *DodoTaskLoader.cmd_options, *kind.cmd_options, *ours]
    options = CmdParse(_options(params))
    given: dict[str, object] = {}
    problems: list[Problem] = []
    try:
        while True:
            found, rest = options.parse_only(words)
            given |= found
            problems += _swallowed(words[: len(words) - len(rest)], params)
            words = rest
            if not words or not _is_variable(words[0]):
                break
            leading.append(words.pop(0))
    except CmdParseError:
        return Invocation(command)
    variables = [_variable(word) for word in leading]
    variables += [("limit", str(given["limit"]))] if "limit" in given else []  # the same as limit=N
    tasks = _read_tasks(words, variables, COMMANDS if command == "run" else {})
    problems += (problem for one in tasks if isinstance(one, Call) for problem in one.problems)
    return Invocation(
        command,
        tuple(tasks),
        bool(given.get("always")),
        given.get("verbosity") == 0,
        bool(given.get("subtasks")),
        bool(given.get("dryrun")),
        tuple(variables),
        tuple(problems),
        tuple(word for word in words if not _is_variable(word)),
        bool(given.get("as_json")),
        str(given["summary"]) if "summary" in given else None,
    )


def _read_tasks(
    words: Sequence[str], variables: list[tuple[str, str]], commands: Mapping[str, Command]
) -> list[str | Call]:
    """Return the words without variables, which are added to those that there are; commands with what follows them."""
    tasks: list[str | Call] = []
    rest = list(words)
    while rest:
        word, *rest = rest
        if _is_variable(word):
            variables.append(_variable(word))
        elif word in commands:
            call = _read_call(commands[word], rest)
            tasks.append(call)
            variables += call.variables
            rest = call.rest
        else:
            tasks.append(word)
    return tasks


def _read_call(command: Command, words: Sequence[str]) -> Call:
    """Return the call of a command with the words that follow its name, and all that is wrong with them."""
    call = Call(command)
    shorts, longs = _short_options(command.options), long_options(command.options)
    rest = list(words)
    while rest:
        before = rest
        try:
            found, rest = getopt.getopt(rest, f"{shorts}h", [*longs, "help"])
        except getopt.GetoptError as error:
            call.problems.append(_unknown_option(command, error, rest))
            call.wants_help |= any(word in ("-h", "--help") for word in rest)
            return call
        for spelling, value in found:
            _take_option(call, spelling, value, before)
        taken = before[: len(before) - len(rest)]
        if taken and taken[-1] == "--" and not (found and found[-1][1] == "--"):
            call.names += rest
            rest = []
        elif rest:
            word, *rest = rest
            if word[0] in _DASHES:
                what = f"'{word}' begins with a dash that is not a hyphen"
                call.problems.append(Problem(f"doit {command.name}", what, f"write --{word.lstrip(_DASHES + '-')}"))
                return call
            if _is_variable(word):
                call.variables.append(_variable(word))
            elif command.words:
                call.names.append(word)
            else:
                call.rest = [word, *rest]
                break
    if call.names and not command.words:
        call.problems.append(unexpected_word(call, call.names[0]))
    return call


def unexpected_word(call: Call, word: str) -> Problem:
    """Return what is wrong with a word after a command that takes none."""
    where = f"doit {call.command.name}"
    what = f"it takes only options, and '{word}' is not one"
    plain = " ".join(itertools.takewhile(lambda word: not word.startswith("-"), call.rest or [word]))
    if not call.command.text_options:
        return Problem(where, what, f"{where} --help shows what it takes")
    last = next((one for one in call.command.options if one["name"] == next(reversed(call.options), "")), None)
    if last and last["metavar"] == "TEXT" and last["type"] is not bool and not last["choices"]:
        given = call.options[last["name"]]
        text = f"{given[-1] if last['type'] is list else given} {plain}"
        return Problem(where, what, f"put a text with spaces in quotes: {spell(last, text)}")
    return Problem(where, what, f"did you mean {spell(call.command.text_options[0], plain)}?")


def _take_option(call: Call, spelling: str, value: str, words: Sequence[str]) -> None:
    if spelling in ("-h", "--help") and not any(spelling == f"-{one['short']}" for one in call.command.options):
        call.wants_help = True
        return
    param = next(one for one in call.command.options if spelling in (f"-{one['short']}", f"--{one['long']}"))
    if problem := _value_problem(param, value, words):
        call.problems.append(Problem(f"doit {call.command.name}", *problem))
    elif param["type"] is bool:
        call.options[param["name"]] = True
    elif param["type"] is list:
        call.options[param["name"]] = [*call.options.pop(param["name"], []), value]  # last, as it was given last
    else:
        call.options[param["name"]] = param["type"](value)


def _value_problem(param: Mapping[str, Any], value: str, words: Sequence[str]) -> tuple[str, str] | None:
    kind = param["type"]
    if kind is bool:
        return None
    if _is_like_option(value) and value in words:  # a word of its own: an option, most likely
        what = f"--{param['long']} has no value: '{value}' follows it"
        return what, f"if that is the value, write {spell(param, value)}"
    if not value.strip() and not (param["long"] in ("negative", "note") and not value):
        return f"--{param['long']} is empty", f"write {spell(param)}"
    if kind in (int, float):
        word = "a whole number" if kind is int else "a number"
        pattern = r"\s*[-+]?\d+\s*" if kind is int else r"\s*[-+]?(\d+\.?\d*|\.\d+)\s*"
        if not re.fullmatch(pattern, value, re.ASCII) or len(value) > 30:
            return f"--{param['long']}={value:.40}: expected {word}", RANDOM_SEED if param["long"] == "seed" else ""
    choices = [choice for choice, _ in param["choices"]]
    if choices and value not in choices:
        near = did_you_mean(value.lower(), choices)
        return f"--{param['long']}={value:.40}: expected one of {', '.join(choices)}{near}", ""
    return None


def _unknown_option(command: Command, error: getopt.GetoptError, words: Sequence[str]) -> Problem:
    """Return what getopt refused: an option that does not exist, one without its value, or a switch with one."""
    where = f"doit {command.name}"
    known = {one["long"]: one for one in command.options}
    name, text = error.opt, str(error)
    hint = f"doit {command.name} --help shows its options"
    if "requires argument" in text:
        param = known.get(name) or next(one for one in command.options if one["short"] == name)
        return Problem(where, f"--{param['long']} has no value", f"write {spell(param)}")
    if "must not have" in text:
        return Problem(where, f"--{name} takes no value", f"write --{name}")
    if "not a unique prefix" in text:
        fits = [f"--{long}" for long in known if long.startswith(name)]
        return Problem(where, f"--{name} may be {' or '.join(fits)}", hint)
    clustered = [word for word in words if word.startswith("-") and not word.startswith("--") and name in word[1:]]
    for word in clustered:  # -prompt for --prompt
        long = word[1:].partition("=")[0]
        if len(long) > 1:
            return Problem(where, f"unknown option {word}{_nearest(long, known)}", hint)
    dashes = "--" if any(word.startswith(f"--{name}") for word in words) else "-"
    return Problem(where, f"unknown option {dashes}{printable(name)}{_nearest(name, known)}", hint)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = did_you_mean(name.lower(), [*known, "help"])
    return near.replace("'", "--", 1).replace("'", "") if near else ""


def _swallowed(taken: Sequence[str], params: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield a problem if an option's value is a word with `=`, which is a variable to doit, or another option."""
    for option, word in itertools.pairwise(taken):
        if option.startswith("-") and _is_variable(word):
            written = f"{option}={word}" if option.startswith("--") else f"{option}{word}"
            yield Problem("", f"{option} {word}: doit takes '{word}' for a variable", f"write {written}")
            return
    for option, value in getopt.getopt(list(taken), _short_options(params), long_options(params))[0]:
        if value in taken and _is_like_option(value):
            yield Problem("", f"{option} has no value: '{value}' follows it", "give it one, or leave it out")


def _is_like_option(word: str) -> bool:
    return bool(re.match("--?[A-Za-z]", word))


def _is_variable(word: str) -> bool:
    """Whether doit takes it for a variable, `name=value`."""
    return not word.startswith("-") and "=" in word


def _variable(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _options(*groups: Sequence[dict[str, object]]) -> list[CmdOption]:
    return [CmdOption(option) for group in groups for option in group]


def _short_options(params: Sequence[Mapping[str, Any]]) -> str:
    """Return these options as getopt takes them, one letter each."""
    return "".join(one["short"] + ("" if one["type"] is bool else ":") for one in params if one.get("short"))


def long_options(params: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return these options as getopt takes them, by their long names."""
    names = [one["long"] + ("" if one["type"] is bool else "=") for one in params if one.get("long")]
    return names + [one["inverse"] for one in params if one.get("inverse")]
