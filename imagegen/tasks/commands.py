"""The commands as doit's tasks: a task creator for each, and what a task does when doit runs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from doit.exceptions import BaseFail, TaskError, TaskFailed

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import COMMANDS, OURS, Command
from imagegen.commands.command_line import current_invocation
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = ["run_and_report", "task_creators"]

Creator = Callable[[], "Iterator[dict[str, Any]]"]


def task_creators() -> dict[str, Creator]:
    """Return a task creator for each command by its name in dodo.py; `server:start`, … have one, `task_server`."""
    groups: dict[str, list[Command]] = defaultdict(list)
    for command in COMMANDS.values():
        groups[f"task_{command.name.partition(':')[0]}"].append(command)
    return {name: _creator(commands) for name, commands in groups.items()}


def _creator(commands: Sequence[Command]) -> Creator:
    def create() -> Iterator[dict[str, Any]]:
        # each has a basename of its own: of a doit task group, doit would run all
        yield from map(_task, commands)

    return create


def _task(command: Command) -> dict[str, Any]:
    return {
        "basename": command.name,
        "doc": command.summary,
        "actions": [] if command.jobs else [(_run, [command.name])],  # its jobs are all that is left to do
        "params": list(command.options),
        "task_dep": command.jobs(current_build()) if command.jobs else [],
        "uptodate": [current_invocation().command == "list"],  # `doit list --status` does not mark it as stale
        "verbosity": 2,
        "io": {"capture": False},
        "meta": {OURS: {}},
        **({"pos_arg": "words"} if command.words else {}),
    }


def _run(command: str, /, **options: Any) -> BaseFail | None:
    """Run a command. `doit -n` pickles this function with its name."""
    return run_and_report(current_build(), COMMANDS[command], options)


def run_and_report(build: Build, command: Command, options: Mapping[str, Any]) -> BaseFail | None:
    """Do a command's work and print what is wrong, if anything. Returns what doit makes its exit code of."""
    code: int | None = 1
    problems: Sequence[Problem] = build.problems if command.needs_settings else ()
    if not problems:
        try:
            code = command.work(build, **options)
        except ImagegenError as error:
            problems = error.problems
        except OSError as error:
            problems = [not_written(error, doing="read or write")]
        except ModuleNotFoundError as error:
            from imagegen.installation import explain_import_error

            if not (missing := explain_import_error(error)):
                raise
            problems = [missing]
    for problem in dict.fromkeys(problems):
        print(problem, flush=True)
    if not code:
        return None
    said = "\n".join(map(str, problems)) or f"{command.name} failed"
    return TaskError(said, report=False) if code == 2 else TaskFailed(said, report=False)
