"""What doit does with this project's dodo.py, between loading its tasks and running those that were named.

doit has no hook there, so its loader is given one, which checks the words of the command line against what there is:
variables, tasks, images, files and commands. It does nothing in a dodo file that takes no task of ours.
"""

from __future__ import annotations

import fnmatch
import inspect
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import disk_usage
from typing import Any

from doit.cmd_base import Command, NamespaceTaskLoader
from doit.cmd_run import Run
from doit.dependency import JSONCodec
from doit.exceptions import InvalidCommand, InvalidDodoFile
from doit.task import Task

from imagegen.commands.build import current_build
from imagegen.commands.command import COMMANDS, spell
from imagegen.commands.command_line import Call, Invocation, current_invocation, long_options, unexpected_word
from imagegen.commands.up_to_date import default_tasks
from imagegen.config.settings import COMMAND_LINE, SETTINGS
from imagegen.errors import DONE, Problem, did_you_mean
from imagegen.report.json_output import json_output
from imagegen.run_options import RUN_OPTIONS
from imagegen.tasks.jobs import leave_out_stale
from imagegen.tasks.reporter import ImagegenReporter

__all__ = [
    "HintCodec",
    "attach",
    "check_variables",
    "check_words",
    "doit_config",
    "pass_words",
    "refuse_equal_names",
    "takes_our_tasks",
]


_load_config = NamespaceTaskLoader.load_doit_config
_load_tasks = NamespaceTaskLoader.load_tasks
_WHERE = f"on the {COMMAND_LINE}"
_LIST = "doit list --all shows what there is"
_TAKE_ALL = "write in it: from imagegen.tasks import *"
_SMALL_DISK = 1_000_000
"""Bytes: doit's database has fewer, and doit ends in a traceback if it cannot be written."""


def attach(config: Mapping[str, Any]) -> None:
    """Have doit check the command line in each dodo file that takes our tasks; config: completes its DOIT_CONFIG."""

    def load_config(loader: NamespaceTaskLoader) -> dict[str, Any]:
        own: dict[str, Any] = _load_config(loader)
        if not takes_our_tasks(loader.namespace):
            return own
        if own.get("default_tasks", ()) is None:  # doit would run every task then, commands too
            del own["default_tasks"]
        # a database of another kind has another file and another codec
        left_out = {"dep_file", "codec_cls"} if own.get("backend", "json") != "json" else set()
        return {key: value for key, value in config.items() if key not in left_out} | own

    def load_tasks(loader: NamespaceTaskLoader, cmd: Command, pos_args: list[str]) -> list[Task]:
        if not takes_our_tasks(loader.namespace):
            tasks: list[Task] = _load_tasks(loader, cmd, pos_args)
            if not tasks:
                raise InvalidDodoFile(f"the dodo file takes no tasks from imagegen\n    {_TAKE_ALL}")
            return tasks
        return _load_checked(loader, cmd, pos_args, config["default_tasks"])

    NamespaceTaskLoader.load_doit_config = load_config
    NamespaceTaskLoader.load_tasks = load_tasks


def takes_our_tasks(namespace: Mapping[str, Any]) -> bool:
    """Whether a dodo file takes any task of ours, however it comes by it."""
    creators = [value for name, value in namespace.items() if name.startswith("task_") and inspect.isfunction(value)]
    return "task_jobs" in namespace or any(one.__module__.startswith("imagegen.tasks") for one in creators)


def _load_checked(loader: NamespaceTaskLoader, cmd: Command, pos_args: list[str], default: list[str]) -> list[Task]:
    invocation = current_invocation()
    if list(invocation.seen) != pos_args or invocation.command != cmd.name:  # a call from Python, or a plugin's command
        tasks: list[Task] = _load_tasks(loader, cmd, pos_args)
        return tasks
    _show_help(invocation)
    if invocation.variables:
        _refuse(check_variables(invocation))
    _refuse(invocation.problems)
    has_our_reporter = getattr(cmd, "params", {}).get("reporter") is ImagegenReporter
    leave_out_stale(has_our_reporter)
    if invocation.summary is not None or json_output():
        from imagegen.tasks.option_checks import check_json, check_summary

        _refuse(check_json(invocation, getattr(cmd, "params", {}), has_our_reporter=has_our_reporter))
        _refuse(check_summary(invocation, has_our_reporter=has_our_reporter))
    tasks = _load_tasks(loader, cmd, pos_args)
    refuse_equal_names(tasks)
    if invocation.variables and not invocation.calls:  # our commands report it themselves
        wrong = (problem for problem in current_build().problems if problem.where == COMMAND_LINE)
        _refuse([replace(problem, where=f"on the {COMMAND_LINE}") for problem in wrong])
    if pos_args:
        items = current_build().items if any(":" in word for word in pos_args) else {}
        _refuse(check_words(invocation, tasks, loader.cmd_names, items))
        pass_words(invocation, tasks, pos_args, items)
    elif invocation.command in ("run", "clean") and default and not any(task.name in default for task in tasks):
        raise InvalidDodoFile(f"the dodo file does not take task_jobs from imagegen.tasks\n    {_TAKE_ALL}")
    return tasks


def refuse_equal_names(tasks: Sequence[Task]) -> None:
    """Raise InvalidDodoFile if a dodo file has a task with the name of a job or a command."""
    if len({task.name for task in tasks}) < len(tasks):
        name = next(name for name, count in Counter(task.name for task in tasks).items() if count > 1)
        what = f"it has a task '{name}' of its own, and imagegen has one of that name for a job or a command"
        raise InvalidDodoFile(str(Problem("the dodo file", what, "rename the one in the dodo file")))


def _show_help(invocation: Invocation) -> None:
    """Print the help pages that are asked for, if any, and end."""
    asked = [call.command.name for call in invocation.calls if call.wants_help]
    if invocation.command == "help" and len(invocation.words) == 1:
        asked += [name for name in invocation.words if name in COMMANDS]
        group = [name for name in COMMANDS if name.startswith(f"{invocation.words[0]}:")]
        asked += [] if asked else group
    if asked and (output := json_output()):
        from imagegen.tasks.doit_answers import describe_commands

        output.write_result("help", DONE, (), describe_commands({}, [COMMANDS[name] for name in asked], ()))
    elif asked:
        print("\n\n".join(COMMANDS[name].help for name in asked))
    if asked:
        raise SystemExit(DONE)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        error = InvalidCommand("\n".join(map(str, problems)))
        error.problems = problems  # as data, for --json
        raise error


def check_variables(invocation: Invocation) -> list[Problem]:
    """Return what is wrong with each `name=value`: a name that neither a setting has nor a dodo file asks for."""
    known = [setting.command_line for setting in SETTINGS if setting.command_line]
    texts = {one: call.command for call in invocation.calls for one in call.variables if call.command.text_options}
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
            hint = _proper_place(name, value) or f"the settings are {_and(known)}"
            if (name, value) in texts:
                command = texts[name, value]
                named = next((one for one in command.options if one["long"] == name), None)
                hint = f"if it is the text, write {spell(command.text_options[0], f'{name}={value}')}"
                hint = f"write {spell(named, value)}" if named else hint
            problems.append(Problem(_WHERE, what, hint))
    return problems


def _proper_place(name: str, value: str) -> str:
    """Return where a name of this kind belongs, if anywhere."""
    from imagegen.config.schema import GENERATE_FIELDS

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
            if re.search(r"\bget_var\b", text) and quoted.search(text):
                return True
    return False


def check_words(
    invocation: Invocation, tasks: Sequence[Task], commands: Collection[str], items: Mapping[str, Sequence[str]]
) -> list[Problem]:
    """Return what is wrong with the names on the command line, once all tasks are known.

    items: the images of each item that a word may name.
    """
    known = {task.name: task for task in tasks}
    targets = {target: task.name for task in tasks for target in task.targets}
    if any(task.loader for task in tasks):  # tasks that are made later may have any name
        return []
    names = _Names(known, targets, commands, items)
    if invocation.command == "run":
        return list(_check_tasks(invocation, names))
    problems = []
    for word in invocation.words:
        if word.startswith("-"):
            what = f"{word} comes after a name"
            problems.append(Problem("", what, f"options come first: doit {invocation.command} {word} NAME"))
        elif word in items and word not in known and invocation.command == "info" and len(items[word]) > 1:
            hint = f"for example: doit info {items[word][0]}"
            problems.append(Problem("", f"'{word}' has {len(items[word])} variants, and info is of one", hint))
        elif word in targets or word in items:
            continue
        elif "*" in word and invocation.command == "clean":
            problems += [] if names.matching(word) else [names.unmatched(word)]
        elif word not in known and not (invocation.command == "help" and word in (*commands, "task")):
            problems.append(names.unknown(word))
    return problems


def _check_tasks(invocation: Invocation, names: _Names) -> Iterator[Problem]:
    last: Call | None = None
    for one in invocation.tasks:
        if isinstance(one, Call):
            last = one
            if one.command.name not in names.tasks:
                yield names.unknown(one.command.name)
        elif one in names.tasks or one in names.targets or one in names.items:
            last = None
            task = names.tasks.get(one)
            if task and (task.params or task.creator_params or task.pos_arg):
                return  # what follows may be its own
        elif one.startswith("-"):
            yield _stray_option(one)
        elif "*" in one:
            if not names.matching(one):
                yield names.unmatched(one)
        elif last is not None and not names.is_near(one) and ":" not in one:
            yield unexpected_word(last, one)
            return
        else:
            yield names.unknown(one)
            if any(name.startswith(f"{one}:") for name in COMMANDS):
                return  # what follows is the rest of its name: doit server start


def _stray_option(word: str) -> Problem:
    name = word.lstrip("-").partition("=")[0]
    if own := next((one for one in RUN_OPTIONS if one["long"] == name), None):
        return Problem("", f"{word} has no value", f"write --{name}={own['metavar']}")
    longs = [long.rstrip("=") for long in long_options(Run.cmd_options)]
    shorts = [option["short"] for option in Run.cmd_options if option.get("short")]
    if name in longs or (not word.startswith("--") and name[:1] in shorts):
        return Problem("", f"{word} comes after a task", f"options of doit come first: doit {word} TASK")
    near = did_you_mean(name, longs)
    return Problem("", f"unknown option {word}{near}", "doit help run shows doit's options")


class _Names:
    """All that a word may name."""

    def __init__(
        self,
        tasks: Mapping[str, Task],
        targets: Mapping[str, str],
        commands: Collection[str],
        items: Mapping[str, Sequence[str]],
    ) -> None:
        self.tasks = tasks
        self.targets = targets
        self.items = items
        self._choices = [*tasks, *targets, *items, *commands]

    def matching(self, pattern: str) -> list[str]:
        """Return the tasks that a pattern stands for: any except commands, which must be named."""
        return [name for name in self.tasks if fnmatch.fnmatch(name, pattern) and name not in COMMANDS]

    def find(self, word: str) -> Sequence[str]:
        """Return the tasks that a word stands for: of an item with variants, all of them; of a file, the one."""
        if word in self.tasks:
            return [word]
        return self.items.get(word) or [self.targets.get(word, word)]

    def is_near(self, word: str) -> bool:
        return bool(did_you_mean(word, self._choices))

    def unmatched(self, pattern: str) -> Problem:
        found = [name for name in self.tasks if fnmatch.fnmatch(name, pattern)]
        if found:
            what = f"'{pattern}' matches only commands ({_and(found)}), and a pattern never runs a command"
            return Problem("", what, f"name the command itself: doit {found[0]}")
        return Problem("", f"no task has a name like '{pattern}'", _LIST)

    def unknown(self, word: str) -> Problem:
        """Return what is wrong with a word that names nothing."""
        if word in COMMANDS:
            what = f"the dodo file does not take '{word}' from imagegen"
            return Problem("", what, "write in it: from imagegen.tasks import *")
        group = word.partition(":")[0]
        members = [name for name in self.tasks if name.startswith(f"{group}:")]
        near = did_you_mean(word, members) or did_you_mean(word, self._choices)
        if members and all(name in COMMANDS for name in members):
            also = [group] if group in self.tasks else []
            if word == group:
                choices = f"{', '.join(members[:-1])} or {members[-1]}" if len(members) > 1 else members[0]
                return Problem("", f"there is no command '{word}'", f"did you mean {choices}?")
            return Problem("", f"there is no command '{word}'{near}", f"the commands are {_and([*also, *members])}")
        if ":" in word and group in self.tasks:
            picked, _, number = word.rpartition("-v")
            if number.isdecimal() and picked in self.tasks and picked in self.items:
                return Problem("", f"'{word}' is not an image now: another variant is picked", f"name {picked}")
            what = (
                f"'{word}' is not an image of the job {group}" if group not in COMMANDS else f"'{word}' is not a task"
            )
            return Problem("", f"{what}{near}", _LIST)
        what = f"'{word}' is not a task, job, image or command"
        meant = [name for name in self.tasks if name.endswith(f":{word}") or word.startswith(f"jobs/{name}.")]
        if word == "init" or meant:
            choices = " or ".join(meant[:3]) if meant else "imagegen init"
            return Problem("", what, f"did you mean {choices}?")
        return Problem("", f"{what}{near}", _LIST)


def pass_words(
    invocation: Invocation, tasks: Sequence[Task], words: list[str], items: Mapping[str, Sequence[str]]
) -> None:
    """Give our commands their options, and leave doit the names of tasks; a pattern stands for no command.

    Args:
        invocation: which has been checked.
        tasks: all that there are.
        words: as doit has them; changed in place.
        items: the images of each item that a word may name.

    """
    known = {task.name: task for task in tasks}
    targets = {target: task.name for task in tasks for target in task.targets}
    names = _Names(known, targets, (), items)
    if invocation.command != "run":
        words[:] = dict.fromkeys(name for word in words for name in names.find(word))
        return
    left: list[str] = []
    for one in invocation.tasks:
        if isinstance(one, Call):
            task = known[one.command.name]
            task.init_options()  # doit's configuration yields to the command line
            task.options.update(one.options)
            task.init_options = _return_words
            if task.pos_arg:
                task.pos_arg_val = one.names
            left.append(task.name)
        else:
            left += names.matching(one) if "*" in one else names.find(one)
    words[:] = left


def _return_words(words: Sequence[str] | None = None) -> Sequence[str] | None:
    """Take none of the words that follow a command: doit's own drops all of them where a task has its options."""
    return words


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


class HintCodec(JSONCodec):  # type: ignore[misc]  # doit ships no types
    """doit's database is only a hint here: one that a kill cut short is started again, and stops nobody."""

    def decode(self, data: str) -> dict[str, Any]:
        """Return what the text holds, or nothing."""
        try:
            found = super().decode(data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def doit_config(root: Path) -> dict[str, Any]:
    """Return DOIT_CONFIG of the project at `root`."""
    folder = root / ".imagegen"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    database = folder / "doit.json"
    if not os.access(database if database.exists() else folder, os.W_OK) or disk_usage(root).free < _SMALL_DISK:
        database = Path(os.devnull)  # read-only, or full: doit list must work all the same
    return {
        "default_tasks": default_tasks(root),
        "reporter": ImagegenReporter,
        "continue": True,
        "backend": "json",
        "codec_cls": HintCodec,
        "dep_file": str(database),
    }
