"""What stops doit before it reads dodo.py, in words in place of a traceback.

doit reads pyproject.toml, and takes the variables out of the command line, before anything of a project is loaded. So
`doit_imagegen_startup.pth`, installed beside this package, has Python import this module where the process is doit.
"""

from __future__ import annotations

import os
import sys

from imagegen.run_options import is_json_asked

TYPE_CHECKING = False  # every doit of the environment loads this: so it loads as little as it can
if TYPE_CHECKING:
    from types import TracebackType

    from imagegen.errors import Problem

__all__ = ["explain"]

_NOT_OURS = 3
"""doit's exit code for an error before it runs anything, in projects of others."""


def explain(error: BaseException) -> Problem | None:
    """Return what a user did that doit ends in this error for; None where it is not one of those."""
    import traceback

    from imagegen.errors import Problem

    functions = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if "process_args" in functions:
        what = "an argument is empty"
        return Problem("doit", what, "leave it out, or put a text into the quotes (is a variable of the shell unset?)")
    if "load_config_toml" in functions and isinstance(error, OSError):
        return Problem("pyproject.toml", f"cannot be read: {error.strerror}", "it must be a file that you may read")
    if "load_config_toml" in functions and isinstance(error, Exception):
        from pathlib import Path

        from imagegen.config.settings import explain_toml

        return explain_toml(Path("pyproject.toml").read_bytes(), error)
    if "load_config_ini" in functions:
        return Problem("doit.cfg", f"cannot be read: {' '.join(str(error).split())}", "correct the file")
    if "overwrite_defaults" in functions:  # an option of doit: "Error parsing parameter 'NAME' <class 'int'>.\nREASON"
        name, reason = str(error).partition("'")[2].partition("'")[0], str(error).strip().rpartition("\n")[2]
        return Problem("doit.cfg or [tool.doit] of pyproject.toml", f"{name}: {reason}", "correct the value")
    return None


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    problem = explain(error) if isinstance(error, Exception) else None  # Ctrl-C imports nothing: Python ends as it does
    if problem is None:
        if isinstance(error, KeyboardInterrupt):  # before dodo.py is read
            from imagegen.process import stopped_exit_code

            _end(stopped_exit_code(error), "stopped")
        sys.__excepthook__(kind, error, trace)
        return
    from imagegen.doit_commands import may_be_ours
    from imagegen.errors import BAD_INPUT

    _end(BAD_INPUT if may_be_ours({}) else _NOT_OURS, f"ERROR: {problem}", problem)


def _end(code: int, said: str, *problems: Problem) -> None:
    if is_json_asked(sys.argv[1:]):
        from imagegen.doit_faults import find_answering
        from imagegen.report.json_output import begin_json

        begin_json(find_answering).end(code, problems)
    if sys.stderr is not None:
        sys.stderr.write(f"{said}\n")
        sys.stderr.flush()
    os._exit(code)


sys.excepthook = _report  # `process` replaces it once dodo.py is read
if is_json_asked(sys.argv[1:]):  # a program waits for a result, also if it ends this before
    from imagegen.process import handle_signals

    handle_signals()
