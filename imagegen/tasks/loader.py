"""What doit does with this project's dodo.py: between its tasks and the command line that names them.

doit has no hook there, so its loader is given one; it does nothing in a dodo file that takes no task of ours.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from doit.cmd_base import Command, NamespaceTaskLoader
from doit.exceptions import InvalidCommand, InvalidDodoFile
from doit.task import Task

from imagegen.config.settings import COMMAND_LINE
from imagegen.errors import Problem
from imagegen.tasks.build import current_build
from imagegen.tasks.commands import COMMANDS
from imagegen.tasks.invocation import Invocation, current_invocation

__all__ = ["attach", "refuse_equal_names", "takes_our_tasks"]

_load_config = NamespaceTaskLoader.load_doit_config
_load_tasks = NamespaceTaskLoader.load_tasks


def attach(config: Mapping[str, Any]) -> None:
    """Have each dodo file that takes our tasks checked against the command line.

    Args:
        config: of DOIT_CONFIG, what such a file does not set itself.

    """

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


_TAKE_ALL = "write in it: from imagegen.tasks import *"


def _load_checked(loader: NamespaceTaskLoader, cmd: Command, pos_args: list[str], default: list[str]) -> list[Task]:
    invocation = current_invocation()
    if list(invocation.seen) != pos_args or invocation.command != cmd.name:  # a call from Python, or a plugin's command
        tasks: list[Task] = _load_tasks(loader, cmd, pos_args)
        return tasks
    _show_help(invocation)
    if invocation.variables:
        from imagegen.tasks.command_line import check_variables

        _refuse(check_variables(invocation))
    _refuse(invocation.problems)
    tasks = _load_tasks(loader, cmd, pos_args)
    refuse_equal_names(tasks)
    if invocation.variables and not invocation.calls:  # our commands report it themselves
        wrong = (problem for problem in current_build().problems if problem.where == COMMAND_LINE)
        _refuse([replace(problem, where=f"on the {COMMAND_LINE}") for problem in wrong])
    if pos_args:
        from imagegen.tasks.command_line import check_words, hand_over

        _refuse(check_words(invocation, tasks, loader.cmd_names))
        if invocation.command == "run":
            hand_over(invocation, tasks, pos_args)
    elif invocation.command in ("run", "clean") and default and not any(task.name in default for task in tasks):
        raise InvalidDodoFile(f"the dodo file does not take task_jobs from imagegen.tasks\n    {_TAKE_ALL}")
    return tasks


def refuse_equal_names(tasks: Sequence[Task]) -> None:
    """Raise InvalidDodoFile where a dodo file has a task with the name of a job or a command."""
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
    if asked:
        print("\n\n".join(COMMANDS[name].help for name in asked))
        raise SystemExit(0)


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise InvalidCommand("\n".join(map(str, problems)))
