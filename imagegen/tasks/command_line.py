"""The words of a command line held against what there is: variables, tasks, images, files and commands."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from doit.cmd_run import Run
from doit.task import Task

from imagegen.config.job import GENERATE_FIELDS
from imagegen.config.settings import COMMAND_LINE, SETTINGS
from imagegen.errors import Problem, did_you_mean
from imagegen.tasks.commands import COMMANDS, spelled
from imagegen.tasks.invocation import Invocation
from imagegen.tasks.words import Call, long_options, unexpected

__all__ = ["check_variables", "check_words", "hand_over"]

_WHERE = f"on the {COMMAND_LINE}"
_LIST = "doit list --all shows what there is"


def check_variables(invocation: Invocation) -> list[Problem]:
    """What is wrong with each `name=value`: a name that neither a setting has nor a dodo file asks for."""
    known = [setting.command_line for setting in SETTINGS if setting.command_line]
    texts = {one: call.command for call in invocation.calls for one in call.variables if call.command.takes_text}
    values: dict[str, list[str]] = {}
    problems = []
    for name, value in dict.fromkeys(invocation.variables):
        values.setdefault(name, []).append(value)
        if name in known:
            if not value:
                problems.append(Problem(_WHERE, f"{name}= has no value", f"write {name}=VALUE, or leave it out"))
            if len(values[name]) == 2:
                problems.append(Problem(_WHERE, f"{name}= is given twice, with two values", "leave one out"))
        elif not name or not _asks_for(name):
            what = f"there is no setting '{name}'{did_you_mean(name.lower(), known)}"
            hint = _belongs(name, value) or f"there are {_and(known)}"
            if (name, value) in texts:
                command = texts[name, value]
                named = next((one for one in command.options if one["long"] == name), None)
                hint = f"where it is the text, write {spelled(command.takes_text[0], f'{name}={value}')}"
                hint = f"write {spelled(named, value)}" if named else hint
            problems.append(Problem(_WHERE, what, hint))
    return problems


def _belongs(name: str, value: str) -> str:
    """Where a name of this kind is at home, if anywhere."""
    settings = {name: one for one in SETTINGS for name in (one.name, one.environment) if name}
    if name in settings:
        found = settings[name]
        if found.command_line:
            return f"write {found.command_line}=…"
        ways = [f"{found.name} in [tool.imagegen] of pyproject.toml"] if not found.secret else []
        ways += [f"the environment variable {found.environment}, ahead of doit"] if found.environment else []
        return f"it can be given as {' or '.join(ways)}"
    if name in GENERATE_FIELDS:
        return (
            f"{name} belongs under generate: in a job; of a one-off image it is an option: doit image --{name}={value}"
        )
    if any(one["long"] == name for one in COMMANDS["image"].options):
        return f"of a one-off image it is an option: doit image --{name}={value or 'VALUE'}"
    return ""


def _asks_for(name: str) -> bool:
    """Whether a module of the user's own asks doit for this variable: it has `get_var`, and the name as a text."""
    quoted = re.compile(rf"""(['"]){re.escape(name)}\1""")
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None) or ""
        if file.endswith(".py") and not module.__name__.startswith(("doit.", "imagegen.", "importlib.")):
            try:
                text = Path(file).read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if "get_var" in text and quoted.search(text):
                return True
    return False


def check_words(invocation: Invocation, tasks: Sequence[Task], commands: Collection[str]) -> list[Problem]:
    """What is wrong with the names on the command line, once all tasks are known."""
    known = {task.name: task for task in tasks}
    targets = {target: task.name for task in tasks for target in task.targets}
    if any(task.loader for task in tasks):  # tasks that are made later may have any name
        return []
    names = _Names(known, targets, commands)
    if invocation.command == "run":
        return list(_check_selected(invocation, names))
    problems = []
    for word in invocation.words:
        if word.startswith("-"):
            what = f"{word} stands behind a name"
            problems.append(Problem("", what, f"options come first: doit {invocation.command} {word} NAME"))
        elif word in targets and word not in known:
            hint = f"doit {invocation.command} {targets[word]}"
            problems.append(Problem("", f"'{word}' is the file of {targets[word]}", hint))
        elif "*" in word and invocation.command == "clean":
            problems += [] if names.matching(word) else [names.unmatched(word)]
        elif word not in known and not (invocation.command == "help" and word in (*commands, "task")):
            problems.append(names.unknown(word))
    return problems


def _check_selected(invocation: Invocation, names: _Names) -> Iterator[Problem]:
    calls = {id(call): call for call in invocation.calls}
    waiting = list(calls.values())
    skip: list[str] = []
    last: Call | None = None
    for word in invocation.words:
        if skip:
            skip.pop()
            continue
        if word in COMMANDS and word in names.tasks:
            last = waiting.pop(0)
            skip = list(last.names)
        elif word in names.tasks or word in names.targets:
            last = None
            task = names.tasks.get(word)
            if task and (task.params or task.creator_params or task.pos_arg):
                return  # what follows may be its own
        elif word.startswith("-"):
            yield _stray_option(word)
        elif "*" in word:
            if not names.matching(word):
                yield names.unmatched(word)
        elif last is not None and not names.is_near(word) and ":" not in word:
            yield unexpected(last, word)
            return
        else:
            yield names.unknown(word)
            if any(name.startswith(f"{word}:") for name in COMMANDS):
                return  # what follows is the rest of its name: doit server start


def _stray_option(word: str) -> Problem:
    name = word.lstrip("-").partition("=")[0]
    longs = [long.rstrip("=") for long in long_options(Run.cmd_options)]
    shorts = [option["short"] for option in Run.cmd_options if option.get("short")]
    if name in longs or (not word.startswith("--") and name[:1] in shorts):
        return Problem("", f"{word} stands behind a task", f"options of doit come first: doit {word} TASK")
    near = did_you_mean(name, longs)
    return Problem("", f"unknown option {word}{near}", "doit help run shows doit's options")


class _Names:
    """All that a word may name."""

    def __init__(self, tasks: Mapping[str, Task], targets: Mapping[str, str], commands: Collection[str]) -> None:
        self.tasks = tasks
        self.targets = targets
        self._choices = [*tasks, *targets, *commands]

    def matching(self, pattern: str) -> list[str]:
        """The tasks that a pattern stands for: any but a command, which is to be named."""
        return [name for name in self.tasks if fnmatch.fnmatch(name, pattern) and name not in COMMANDS]

    def is_near(self, word: str) -> bool:
        return bool(did_you_mean(word, self._choices))

    def unmatched(self, pattern: str) -> Problem:
        found = [name for name in self.tasks if fnmatch.fnmatch(name, pattern)]
        if found:
            what = f"'{pattern}' matches commands alone ({_and(found)}), and a pattern never runs a command"
            return Problem("", what, f"name the command itself: doit {found[0]}")
        return Problem("", f"no task has a name like '{pattern}'", _LIST)

    def unknown(self, word: str) -> Problem:
        """What is wrong with a word that names nothing."""
        if word in COMMANDS:
            what = f"the dodo file does not take '{word}' from imagegen"
            return Problem("", what, "write in it: from imagegen.tasks import *")
        group = word.partition(":")[0]
        members = [name for name in self.tasks if name.startswith(f"{group}:")]
        near = did_you_mean(word, members) or did_you_mean(word, self._choices)
        if members and all(name in COMMANDS for name in members):
            also = [group] if group in self.tasks else []
            if word == group:
                choices = f"{', '.join(members[:-1])} or {members[-1]}"
                return Problem("", f"there is no command '{word}'", f"did you mean {choices}?")
            return Problem("", f"there is no command '{word}'{near}", f"there are {_and([*also, *members])}")
        if ":" in word and group in self.tasks:
            variants = [name for name in members if re.fullmatch(rf"{re.escape(word)}-v\d+", name)]
            if variants:
                return Problem("", f"'{word}' has variants", f"name one, or all: doit '{word}-v*'")
            what = f"'{word}' is no image of the job {group}" if group not in COMMANDS else f"'{word}' is not a task"
            return Problem("", f"{what}{near}", _LIST)
        return Problem("", f"'{word}' is not a task, job, image or command{near}", _LIST)


def hand_over(invocation: Invocation, tasks: Sequence[Task], words: list[str]) -> None:
    """Give our commands what follows them, and leave doit the names of tasks; a pattern stands for no command.

    Args:
        invocation: which has been checked.
        tasks: all there are.
        words: as doit has them; changed in place.

    """
    known = {task.name: task for task in tasks}
    names = _Names(known, {}, ())
    waiting = list(invocation.calls)
    left: list[str] = []
    rest = list(invocation.words)
    while rest:
        word, *rest = rest
        if word in COMMANDS and word in known:
            call = waiting.pop(0)
            rest = rest[len(call.names) :]
            known[word].init_options()  # what the configuration of doit says stands behind what was typed
            known[word].options.update(call.options)
            if known[word].pos_arg:
                known[word].pos_arg_val = call.names
        elif "*" in word:
            left += names.matching(word)
            continue
        left.append(word)
    words[:] = left


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
