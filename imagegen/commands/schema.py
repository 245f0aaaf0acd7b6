"""`doit schema`: write the JSON Schema of job files, with which editors complete, explain and check as you type."""

from __future__ import annotations

from imagegen.commands.build import Build
from imagegen.commands.command import command, option

__all__ = ["OUT", "schema"]

OUT = "job.schema.json"
_BASE_OUT = "base.schema.json"


@command(
    "schema",
    "Write the JSON Schema of job files, for editors.",
    {"doit schema": f"writes {OUT}", "doit schema --base": f"writes {_BASE_OUT}", "doit schema --out=-": "prints it"},
    [
        option("out", str, "", f"the file to write, relative to the project; - prints it [default: {OUT}]"),
        option("base", bool, False, f"the schema of files that jobs extend, which need no items [to {_BASE_OUT}]"),
    ],
    needs_settings=False,
    needs_jobs=False,
)
def schema(build: Build, *, out: str, base: bool) -> None:
    """Write or print the schema."""
    from imagegen.project.backends import schema_text, write_schema

    out = out or (_BASE_OUT if base else OUT)
    text = schema_text(of_base=base)
    if out == "-":
        print(text, end="")
    else:
        print(f"{out}: {write_schema(build.root, out, text)}")
