"""What is said of a failure in the code of a project."""

from __future__ import annotations

import runpy
from pathlib import Path

from doit.action import PythonAction

from imagegen.dodo_faults import explain_failure
from imagegen.errors import Problem

HINT = "its traceback is on stderr"


def test_an_exception_in_a_task_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text("def count():\n    return {}['x']\n")
    found = _explain(runpy.run_path(str(tmp_path / "dodo.py"))["count"], tmp_path)
    assert found == Problem("dodo.py:2", "the task count raised KeyError: 'x'", HINT)
    assert _explain(lambda: [][0], tmp_path) == Problem(
        "count", "the task count raised IndexError: list index out of range", HINT
    )
    assert explain_failure("count", "two\nlines", "", tmp_path).what == "two"


def _explain(action: object, root: Path) -> Problem:
    fail = PythonAction(action).execute()
    return explain_failure("count", fail.message, fail.traceback, root)
