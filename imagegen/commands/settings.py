"""`doit settings`: show every setting, with where its value came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.errors import BAD_INPUT, DONE

if TYPE_CHECKING:
    from imagegen.config.settings import Value
    from imagegen.project import JobPlan

__all__ = ["settings"]


@command(
    "settings",
    "Show every setting, with where its value came from.",
    {"doit settings": "", "doit settings backend=comfyui": "as they would be for this command line"},
    needs_settings=False,
)
def settings(build: Build) -> Answer:
    """Print the settings, and what is wrong with them. A secret is not printed, only whether it is set."""
    import re

    from imagegen.config.settings import collect_settings
    from imagegen.report.console import table

    values, _ = collect_settings(build.root, build.invocation.given, os.environ)
    rows = [*_rows(values, build.plans)]
    heading = ("setting", "value", "from", "")
    shown = ({**row, "value": re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", row["value"])} for row in rows)
    lines = table([heading, *(tuple(row.values()) for row in shown)])
    if build.problems:
        lines.append("")
    return Answer({"settings": rows}, lines, BAD_INPUT if build.problems else DONE, build.problems)


def _rows(values: Iterable[Value], plans: Iterable[JobPlan]) -> Iterator[dict[str, str]]:
    """Yield a row for each setting; below the one of the backend, one for each job that names its own."""
    for value in values:
        set_by = "" if value.setting.secret and not value.value else value.set_by
        yield {"setting": value.setting.name, "value": str(value), "source": set_by, "help": value.setting.help}
        if value.setting.name == "backend":
            yield from (_row_of_job(plan, value) for plan in plans if plan.backend)


def _row_of_job(plan: JobPlan, backend: Value) -> dict[str, str]:
    from imagegen.config.settings import COMMAND_LINE

    row = {"setting": f"job {plan.name}", "value": plan.backend, "source": plan.file}
    if backend.set_by == COMMAND_LINE:
        return {**row, "value": str(backend), "source": COMMAND_LINE, "help": f"{plan.file} names {plan.backend}"}
    return {**row, "help": "the backend that the job names"}
