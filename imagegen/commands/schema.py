"""`doit schema`: the JSON Schema of a job file, with which editors complete, explain and check while one types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.command import define, option
from imagegen.errors import ImagegenError

__all__ = [
    "OUT",
    "task_schema",
]


OUT = "job.schema.json"
BASE_OUT = "base.schema.json"
_SCHEMA = define(
    "schema",
    "Write the JSON Schema of job files, for editors.",
    {"doit schema": f"writes {OUT}", "doit schema --base": f"writes {BASE_OUT}", "doit schema --out=-": "prints it"},
    [
        option("out", str, "", f"the file to write, seen from the project's folder; - prints it [default: {OUT}]"),
        option("base", bool, False, f"the schema of files that jobs extend, which need no items [to {BASE_OUT}]"),
    ],
)


def task_schema() -> dict[str, Any]:
    """The command `schema`."""
    return command(_SCHEMA, _schema)


def _schema(out: str, base: bool) -> TaskFailed | None:
    from imagegen.project.backends import schema_text, write_schema  # what they need, no other task does

    out = out or (BASE_OUT if base else OUT)
    try:
        text = schema_text(of_base=base)
        if out == "-":
            print(text, end="")
        else:
            print(f"{out}: {write_schema(Path.cwd(), out, text)}")
    except ImagegenError as error:
        said = "\n".join(map(str, error.problems))
        print(said)
        return TaskFailed(said, report=False)
    return None
