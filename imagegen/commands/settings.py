"""`doit settings`: show every setting, with where its value came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import AS_JSON, command

if TYPE_CHECKING:
    from imagegen.config.settings import Value
    from imagegen.project import JobPlan

__all__ = ["settings"]


@dataclass(frozen=True)
class _Row:
    """A setting, or a job that sets it for itself."""

    setting: str
    value: str
    source: str
    help: str


@command(
    "settings",
    "Show every setting, with where its value came from.",
    {"doit settings": "", "doit settings backend=comfyui": "as they would be for this command line"},
    [AS_JSON],
    needs_settings=False,
)
def settings(build: Build, *, json: bool) -> int:
    """Print the settings, and what is wrong with them. A secret is not printed, only whether it is set."""
    from imagegen.config.settings import collect_settings
    from imagegen.report.console import as_json, table

    values, _ = collect_settings(build.root, build.invocation.given, os.environ)
    rows = _rows(values, build.plans)
    if json:
        problems = [asdict(problem) for problem in build.problems]
        print(as_json({"settings": [asdict(row) for row in rows], "problems": problems}))
    else:
        heading = ("setting", "value", "from", "")
        print("\n".join(table([heading, *((row.setting, row.value, row.source, row.help) for row in rows)])))
        if build.problems:
            print("", *build.problems, sep="\n")
    return int(bool(build.problems))


def _rows(values: Iterable[Value], plans: Iterable[JobPlan]) -> list[_Row]:
    """Return a row for each setting; below the one of the backend, one for each job that names its own."""
    rows = []
    for value in values:
        source = "" if value.setting.secret and not value.value else value.set_by
        rows.append(_Row(value.setting.name, str(value), source, value.setting.help))
        if value.setting.name == "backend":
            rows += [_row_of_job(plan, value) for plan in plans if plan.backend]
    return rows


def _row_of_job(plan: JobPlan, backend: Value) -> _Row:
    from imagegen.config.settings import COMMAND_LINE

    if backend.set_by == COMMAND_LINE:
        return _Row(f"job {plan.name}", str(backend), COMMAND_LINE, f"{plan.file} names {plan.backend}")
    return _Row(f"job {plan.name}", plan.backend, plan.file, "the backend that the job names")
