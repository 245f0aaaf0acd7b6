"""`doit schema`: write the JSON Schema of job files, for editors, or of what `--json` prints, for programs."""

from __future__ import annotations

import json

from imagegen.commands.build import Build
from imagegen.commands.command import COMMANDS, Answer, command, option

__all__ = ["OUT", "results_text", "schema"]

OUT = "job.schema.json"
_BASE_OUT = "base.schema.json"
_RESULTS_OUT = "results.schema.json"


@command(
    "schema",
    "Write the JSON Schema of job files, for editors; or of what --json prints, for programs.",
    {
        "doit schema": f"writes {OUT}",
        "doit schema --base": f"writes {_BASE_OUT}",
        "doit schema --results": f"writes {_RESULTS_OUT}",
        "doit schema --out=-": "prints it",
    },
    [
        option("out", str, "", f"the file to write, relative to the project; - prints it [default: {OUT}]"),
        option("results", bool, False, f"the schema of what --json prints [to {_RESULTS_OUT}]"),
        option("base", bool, False, f"the schema of files that jobs extend, which need no items [to {_BASE_OUT}]"),
    ],
    needs_settings=False,
    needs_jobs=False,
    result="imagegen.report.results.configuration:WrittenSchema",
)
def schema(build: Build, *, out: str, base: bool, results: bool) -> Answer:
    """Write or print the schema."""
    from imagegen.project.backends import schema_text, write_schema
    from imagegen.report.results.configuration import WrittenSchema

    out = out or (_RESULTS_OUT if results else _BASE_OUT if base else OUT)
    text = results_text() if results else schema_text(of_base=base)
    if out == "-":
        return Answer(WrittenSchema(None, None, json.loads(text)), text.splitlines())
    state = write_schema(build.root, out, text)
    return Answer(WrittenSchema(out, state, None), [f"{out}: {state}"])


def results_text() -> str:
    """Return the JSON Schema of what `--json` prints."""
    from imagegen.report.doit_results import DOIT_RESULTS
    from imagegen.report.result_schema import results_schema
    from imagegen.report.run_summary import RunSummary

    declared = {one.name: one.result for one in COMMANDS.values()}
    return json.dumps(results_schema({"run": RunSummary, **DOIT_RESULTS, **declared}), indent=2) + "\n"
