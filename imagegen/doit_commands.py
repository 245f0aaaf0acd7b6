"""doit's own commands as they are in a project of ours: `doit help` lists our commands, an unknown option has a hint.

doit takes them from the entry points `doit.COMMAND`, in every project of the environment. In one that is not ours each
is doit's own and nothing else; so this module imports nothing of ours before it knows.
"""

from __future__ import annotations

import ast
import getopt
import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from doit import (
    cmd_clean,
    cmd_completion,
    cmd_dumpdb,
    cmd_forget,
    cmd_help,
    cmd_ignore,
    cmd_info,
    cmd_list,
    cmd_resetdep,
    cmd_run,
    cmd_strace,
    doit_cmd,
)
from doit.cmd_base import Command, DodoTaskLoader
from doit.cmdparse import CmdParseError
from doit.exceptions import InvalidCommand, InvalidDodoFile, InvalidTask

from imagegen.run_options import OWN_OPTIONS, is_json_asked, put_first

if TYPE_CHECKING:
    from doit.task import Task

    from imagegen.commands.command import Command as OurCommand
    from imagegen.errors import Problem
    from imagegen.report.json_output import JsonOutput

__all__ = [
    *("Clean", "DumpDB", "Forget", "Help", "Ignore", "Info", "List", "ResetDep", "Run", "Strace", "TabCompletion"),
    "may_be_ours",
]


class _Checked(Command):  # type: ignore[misc]  # doit ships no types
    """Refuses an unknown option in plain words, with a suggestion."""

    def parse_execute(self, in_args: Sequence[str]) -> Any:
        """Parse the options and execute the command, as doit does; in a project of ours, with its exit codes."""
        is_json = bool(self.our_options) and is_json_asked(in_args)
        if not (may_be_ours(self._read_params(in_args)) or (is_json and not Path("dodo.py").exists())):
            self._refuse_options_of_ours(in_args)
            return self._parse_execute(in_args)
        if len(in_args) > 1 and self.our_options:
            from imagegen.library.reserved_names import OUR_NAMES

            in_args = put_first(self.name, in_args, OUR_NAMES)
        if is_json:
            from imagegen.process import prepare_process
            from imagegen.report.json_output import begin_json

            prepare_process()  # it may be stopped before dodo.py is loaded
            begin_json(self._find_answering)
        try:
            code = self._parse_execute(in_args)
        except (CmdParseError, InvalidDodoFile, InvalidCommand, InvalidTask) as error:
            from imagegen.doit_faults import report

            return report(self.name, error)
        except Exception as error:
            if stop := _find_stop(error):  # doit's database was just being written, say
                raise stop from None
            from imagegen.doit_faults import report_exception

            return report_exception(self.name, error)
        except SystemExit as stop:
            raise SystemExit(self._end_at(stop)) from None
        return self._end(code)

    def _end_at(self, stop: SystemExit) -> int:
        """Return the exit code after this: a dodo file may end doit, too."""
        from imagegen.dodo_faults import explain_dodo_fault
        from imagegen.doit_faults import report

        problem = explain_dodo_fault(stop, Path.cwd()) if stop.code else None
        if problem and not hasattr(self, "control"):  # no task has begun
            return report(self.name, _error(InvalidDodoFile, problem))
        code = bool(stop.code) if problem or not isinstance(stop.code, int) else stop.code
        return self._end(code, getattr(stop, "problems", ()))

    def _find_answering(self) -> str:
        from imagegen.doit_faults import find_answering

        return find_answering(self.name)

    def _end(self, code: int | None, problems: Sequence[Problem] = ()) -> int:
        """Return the exit code that doit ends with."""
        process = sys.modules.get("imagegen.process")
        if not (code or (process and process.worst_exit_code()) or _json_output()):
            return 0  # so a run with nothing to do imports nothing for this
        from imagegen.doit_faults import end

        return end(code, problems)

    def _read_params(self, in_args: Sequence[str]) -> Mapping[str, Any]:
        """Return the options as far as they can be read."""
        params = {**{option.name: option.default for option in self.cmdparser.options}, **self.opt_vals}
        with suppress(CmdParseError):
            params |= self.cmdparser.parse_only(in_args)[0]
        return params

    def _refuse_options_of_ours(self, in_args: Sequence[str]) -> None:
        ours = {option["long"] for option in self.our_options}
        for word in in_args:
            name = word.partition("=")[0]
            if name.startswith("--") and name[2:] in ours:
                raise CmdParseError(f"option {name} is of projects of imagegen, and dodo.py takes no tasks from it")

    our_options: Sequence[Mapping[str, Any]] = ()
    """Those that only projects of imagegen have."""

    def _parse_execute(self, in_args: Sequence[str]) -> Any:
        try:
            getopt.getopt(in_args, self.cmdparser.get_short(), self.cmdparser.get_long())
        except getopt.GetoptError as error:
            params = self._read_params(in_args)
            if may_be_ours(params):
                if error.opt in ("h", "help"):
                    print(f"{self.help()}\n\n`doit help` lists the commands.")
                    return 0
                from imagegen.doit_faults import explain_option

                ours = _our_commands(getattr(self, "loader", None), params)
                raise _error(CmdParseError, explain_option(self, error, ours)) from None
        try:
            return super().parse_execute(in_args)
        except CmdParseError as error:
            if "Error parsing parameter" not in str(error) or not may_be_ours(self._read_params(in_args)):
                raise
            from imagegen.doit_faults import explain_value

            raise _error(CmdParseError, explain_value(self.name, str(error), self.cmdparser.options)) from None
        except InvalidCommand as error:
            if "Specified 'dir'" not in str(error) or not may_be_ours({}):
                raise
            folder = str(error).partition("Got '")[2].partition("'(")[0]
            raise CmdParseError(f"--dir={folder}: there is no such folder") from None
        except InvalidDodoFile as error:
            if "Could not find dodo file" not in str(error) or "dodo.py'" not in str(error):
                raise
            what = "there is no dodo.py in this folder"
            raise _not_begun(what, "in a subfolder of a project: doit -k; to set up a new one: imagegen init") from None
        except ModuleNotFoundError as error:
            from imagegen.installation import explain_import_error

            if problem := explain_import_error(error):
                raise _not_begun(problem.what, problem.hint) from None
            raise


class Clean(_Checked, cmd_clean.Clean):  # type: ignore[misc]
    """`doit clean`."""

    our_options = OWN_OPTIONS["clean"]
    cmd_options = (*cmd_clean.Clean.cmd_options, *our_options)

    def clean_tasks(self, tasks: Sequence[Task], dryrun: bool, cleanforget: bool) -> None:
        """Clean them, as doit does."""
        output = _json_output()
        if output is None:
            super().clean_tasks(tasks, dryrun, cleanforget)
            return
        from imagegen.process import worst_exit_code
        from imagegen.report.doit_results import CleanedTasks
        from imagegen.tasks.doit_answers import preview_clean

        files = tuple(preview_clean(tasks))
        super().clean_tasks(tasks, dryrun, cleanforget)
        output.write_result("clean", worst_exit_code(), _find_problems(tasks), CleanedTasks(dryrun, files))


class DumpDB(_Checked, cmd_dumpdb.DumpDB):  # type: ignore[misc]
    """`doit dumpdb`."""

    def execute(self, opt_values: Mapping[str, Any], pos_args: Sequence[str]) -> Any:
        """Show doit's database; ours is a JSON file, which doit cannot show."""
        if Path(".imagegen").is_dir() and not Path(opt_values["dep_file"]).exists():
            raise CmdParseError(
                "imagegen goes by the lock files in jobs/; doit's own database is the JSON file .imagegen/doit.json"
            )
        return super().execute(opt_values, pos_args)


class Forget(_Checked, cmd_forget.Forget):  # type: ignore[misc]
    """`doit forget`."""

    our_options = OWN_OPTIONS["forget"]
    cmd_options = (*cmd_forget.Forget.cmd_options, *our_options)

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """Do as doit does, and answer with the tasks that it forgot."""
        if params["forget_disable_default"] and not (args or params["forget_all"]) and may_be_ours(params):
            raise CmdParseError("name what to forget\n    doit forget JOB:IMAGE, or doit forget --all")
        with _captured(self) as said:
            code = super().execute(params, args)
        named = [task.name for task in self.task_list] if params["forget_all"] else _named(said, "forgetting ")
        _write_tasks(self.name, code, named)
        return code


class Ignore(_Checked, cmd_ignore.Ignore):  # type: ignore[misc]
    """`doit ignore`."""

    our_options = OWN_OPTIONS["ignore"]
    cmd_options = (*cmd_ignore.Ignore.cmd_options, *our_options)

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """Do as doit does, and answer with the tasks that it leaves out from now on."""
        if not args and may_be_ours(params):
            raise CmdParseError("name what to ignore\n    doit ignore JOB:IMAGE")
        with _captured(self) as said:
            code = super().execute(params, args)
        _write_tasks(self.name, code, _named(said, "ignoring "))
        return code


class Info(_Checked, cmd_info.Info):  # type: ignore[misc]
    """`doit info`."""

    our_options = OWN_OPTIONS["info"]
    cmd_options = (*cmd_info.Info.cmd_options, *our_options)

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """Show what is known of a task. That it is stale is no failure in a project of ours."""
        if len(args) != 1 and may_be_ours(params):
            raise CmdParseError("name one job, image or task\n    doit info JOB:IMAGE")
        with _captured(self):
            code = super().execute(params, args)
        if not _has_our_tasks():
            return code
        named = [task for task in self.task_list if task.name == args[0]]
        problems = _find_problems(named)
        code = _note(problems)
        if output := _json_output():
            from imagegen.tasks.doit_answers import describe_task

            output.write_result(self.name, code, problems, describe_task(named[0]))
        return code


class List(_Checked, cmd_list.List):  # type: ignore[misc]
    """`doit list`."""

    our_options = OWN_OPTIONS["list"]
    cmd_options = (*cmd_list.List.cmd_options, *our_options)

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """List the tasks, as doit does."""
        self._listed: list[Task] = []
        code = super().execute(params, args)
        problems = _find_problems(self._listed) if _has_our_tasks() else ()
        code = _note(problems) or code
        if output := _json_output():
            from imagegen.tasks.doit_answers import list_tasks

            output.write_result(self.name, code, problems, list_tasks(self._listed))
        return code

    def _print_task(self, template: str, task: Task, *about: Any) -> None:
        self._listed.append(task)
        if not _json_output():
            super()._print_task(template, task, *about)


class ResetDep(_Checked, cmd_resetdep.ResetDep):  # type: ignore[misc]
    """`doit reset-dep`."""


class Strace(_Checked, cmd_strace.Strace):  # type: ignore[misc]
    """`doit strace`."""


class TabCompletion(_Checked, cmd_completion.TabCompletion):  # type: ignore[misc]
    """`doit tabcompletion`."""


class Run(_Checked, cmd_run.Run):  # type: ignore[misc]
    """`doit run`, also where no command is named."""

    our_options = OWN_OPTIONS["run"]
    cmd_options = (*cmd_run.Run.cmd_options, *our_options)
    params: Mapping[str, Any] = MappingProxyType({})
    """What it goes by: its options, and what doit's configuration and dodo.py say of the others."""

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """Keep what doit goes by, which it completes before it loads the tasks."""
        self.params = params
        return super().execute(params, args)

    def _parse_execute(self, in_args: Sequence[str]) -> Any:
        """Say so if there is nothing to do; else do as doit does: then dodo.py and all commands are loaded."""
        started = time.monotonic()
        is_plain = set(in_args) <= {"--json"} and getattr(doit_cmd, "_CMDLINE_VARS", None) == {}
        if is_plain and self._has_defaults() and (count := _count_fresh()):
            from imagegen.process import prepare_process
            from imagegen.report.console import closing_line

            prepare_process()
            if in_args:
                from imagegen.report.json_output import json_output
                from imagegen.report.run_summary import RunSummary, count_all

                if output := json_output():
                    seconds = round(time.monotonic() - started, 3)
                    output.write_result("run", 0, (), RunSummary(count_all({"fresh": count}), seconds))
            else:
                print(closing_line({"fresh": count}, 0, time.monotonic() - started))
            return 0
        return super()._parse_execute(in_args)

    def _has_defaults(self) -> bool:
        """Whether no option is given: neither in doit's configuration nor by the environment."""
        declared = (*self.base_options, *self.loader.cmd_options, *self.cmd_options)
        params, _ = self.cmdparser.parse([])
        params.update(self.opt_vals)
        is_unchanged = all(params[option["name"]] == option["default"] for option in declared)
        return is_unchanged and type(self.loader) is DodoTaskLoader


class Help(_Checked, cmd_help.Help):  # type: ignore[misc]
    """`doit help`."""

    our_options = OWN_OPTIONS["help"]
    cmd_options = (*cmd_help.Help.cmd_options, *our_options)

    def execute(self, params: Mapping[str, Any], args: Sequence[str]) -> Any:
        """Show doit's help, and where it lists all commands, ours too."""
        if output := _json_output():
            from imagegen.tasks.doit_answers import describe_commands

            pages = describe_commands(self.cmds, _our_commands(self.loader, params), args)
            output.write_result(self.name, 0, (), pages)
            return 0
        code = super().execute(params, args)
        commands = _our_commands(self.loader, params) if not args and may_be_ours(params) else []
        if commands:
            print("\nCommands of this project")
        for one in commands:
            print(f"  doit {one.name:16s}  {one.summary}")
        return code


def _has_our_tasks() -> bool:
    """Whether the dodo file has taken tasks of ours."""
    return "imagegen.tasks" in sys.modules


def _find_problems(tasks: Sequence[Task]) -> Sequence[Problem]:
    """Return what is wrong with the settings and the jobs of these tasks, in a project of ours."""
    from imagegen.tasks.jobs import find_task_problems

    return find_task_problems(tasks)


def _note(problems: Sequence[Problem]) -> int:
    """Return the exit code of a command that only looks."""
    if not problems:
        return 0
    from imagegen.errors import BAD_INPUT
    from imagegen.process import note_exit_code

    note_exit_code(BAD_INPUT)  # doit's own code of this number means something else
    return BAD_INPUT


def _find_stop(error: BaseException) -> KeyboardInterrupt | None:
    """Return the Ctrl-C that this error came of, if any."""
    found: BaseException | None = error
    while found and not isinstance(found, KeyboardInterrupt):
        found = found.__context__
    return found if isinstance(found, KeyboardInterrupt) else None


def _json_output() -> JsonOutput | None:
    """Return where JSON goes; None if it was not asked for."""
    module = sys.modules.get("imagegen.report.json_output")
    return module.json_output() if module else None


@contextmanager
def _captured(command: Command) -> Iterator[io.StringIO]:
    """Have what a command of doit's prints kept for the answer, if JSON was asked for."""
    said, before = io.StringIO(), command.outstream
    if _json_output():
        command.outstream = said
    try:
        yield said
    finally:
        command.outstream = before


def _named(said: io.StringIO, verb: str) -> list[str]:
    """Return the tasks that a command of doit's names, each on a line."""
    return [line.removeprefix(verb) for line in said.getvalue().splitlines() if line.startswith(verb)]


def _write_tasks(command: str, code: int | None, names: Sequence[str]) -> None:
    """Answer with the names of tasks, if JSON was asked for."""
    if output := _json_output():
        from imagegen.report.doit_results import NamedTasks

        output.write_result(command, code or 0, (), NamedTasks(tuple(names)))


def _count_fresh() -> int | None:
    """Return how many images this project has, if all are known to be fresh and nothing else is to be done; or None."""
    if not _takes_only_our_tasks() or any(Path(".imagegen").glob("*/server.json")) or Path(_UPLOADS).exists():
        return None
    from imagegen.state.snapshot_header import count_fresh

    return count_fresh(Path.cwd())


_UPLOADS = ".imagegen/pending.txt"
"""Images that are not in the shared store yet."""


def _takes_only_our_tasks() -> bool:
    """Whether the dodo file does nothing but import from imagegen.tasks what `doit` needs; it is not run for that."""
    try:
        body = ast.parse(Path("dodo.py").read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        del body[0]  # its docstring
    if len(body) != 1 or not isinstance(body[0], ast.ImportFrom) or body[0].module != "imagegen.tasks":
        return False
    names = {one.name for one in body[0].names if one.asname is None}
    return "*" in names or {"DOIT_CONFIG", "task_jobs"} <= names


def may_be_ours(params: Mapping[str, Any]) -> bool:
    """Whether the dodo file names imagegen, or imagegen has been there already; the file is not run for that."""
    try:
        file = Path(params.get("dodoFile") or "dodo.py").absolute()
        if params.get("seek_file"):
            file = next((path for folder in file.parents if (path := folder / file.name).exists()), file)
        return "imagegen" in file.read_text("utf-8", errors="replace") or (file.parent / ".imagegen").is_dir()
    except OSError:  # also: the working directory was deleted
        return False


def _our_commands(loader: Any, params: Mapping[str, Any]) -> list[OurCommand]:
    """Return the commands that the dodo file takes; none where it cannot be loaded, which the next command reports."""
    if loader is None:  # of a command that loads none
        return []
    with suppress(Exception):
        loader.setup(params)
    if "imagegen.tasks" not in sys.modules:
        return []
    from imagegen.commands.command import COMMANDS

    taken = [name for name in COMMANDS if f"task_{name.partition(':')[0]}" in (loader.namespace or {})]
    return [COMMANDS[name] for name in sorted(taken)]


def _not_begun(what: str, hint: str) -> InvalidDodoFile:
    from imagegen.errors import NOT_BEGUN, Problem

    error = _error(InvalidDodoFile, Problem("", what, hint))
    error.exit_code = NOT_BEGUN
    return error


def _error(kind: type[Exception], problem: Problem) -> Any:
    """Return an error of doit's that has the problem as data, too."""
    error: Any = kind(str(problem))
    error.problems = [problem]
    return error
