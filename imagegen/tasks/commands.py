"""The commands as doit's tasks: a task creator for each, and what a task does when doit runs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from doit.exceptions import BaseFail, TaskFailed

from imagegen.commands.build import Build, current_build
from imagegen.commands.command import COMMANDS, OURS, Answer, Command, UnfinishedError
from imagegen.commands.command_line import current_invocation
from imagegen.errors import BAD_INPUT, DONE, FAILED, NOT_BEGUN, STOPPED, ImagegenError, not_written
from imagegen.process import note_exit_code, stopped_exit_code
from imagegen.report.json_output import json_output

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
    """Do a command's work, and print or write what it answers. Returns what doit makes its exit code of."""
    given = {name: value for name, value in options.items() if name != "json"}
    answer, stop = Answer(None, exit_code=BAD_INPUT, problems=build.problems), None
    if not (build.problems and command.needs_settings):
        try:
            answer = command.work(build, **given)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            answer, stop = _explain(error)
    if output := json_output():
        output.write_result(command.name, answer.exit_code, [*answer.problems, *answer.shown_problems], answer.result)
    else:
        for line in (*answer.lines, *dict.fromkeys(answer.problems)):
            print(line, flush=True)
    if stop or answer.exit_code == STOPPED:
        raise stop or SystemExit(STOPPED)
    if not answer.exit_code:
        return None
    note_exit_code(answer.exit_code)
    said = "\n".join(map(str, answer.problems)) or f"{command.name} failed"
    failure = TaskFailed(said, report=False)
    failure.exit_code = answer.exit_code  # noted where doit's processes (-n 2) report it, too
    return failure


def _explain(error: BaseException, result: object = None) -> tuple[Answer, BaseException | None]:
    """Return the answer of a command that ended with this error, and what ends the process, if that is to end at once.

    result: of the part of its work that was done.

    Raises:
        BaseException: the error, if it is a fault in imagegen.
    """
    match error:
        case UnfinishedError():
            return _explain(error.__cause__ or error, error.result)
        case ImagegenError():
            # nothing was changed if the input is what is wrong
            code = error.exit_code if result is None or error.exit_code != BAD_INPUT else FAILED
            return Answer(result, (), code, error.problems), None
        case OSError():
            return Answer(result, (), FAILED, [not_written(error, doing="read or write")]), None
        case SystemExit():
            return Answer(result, (), int(error.code or DONE)), error
        case KeyboardInterrupt():  # SIGTERM is raised as one, with its number
            return Answer(result, (), stopped_exit_code(error)), error
        case ModuleNotFoundError():
            from imagegen.installation import explain_import_error

            if missing := explain_import_error(error):
                return Answer(result, (), NOT_BEGUN, [missing]), None
    raise error
