"""`doit settings`: show every setting, with where its value came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command
from imagegen.config.setting_types import FOLDER_TABLE, MODELS, PRICES
from imagegen.errors import BAD_INPUT, DONE

if TYPE_CHECKING:
    from imagegen.config.settings import Value
    from imagegen.project import JobPlan
    from imagegen.report.results.configuration import JobBackend, SettingValue, SettingValues

__all__ = ["settings"]


@command(
    "settings",
    "Show every setting, with where its value came from.",
    {"doit settings": "", "doit settings backend=comfyui": "as they would be for this command line"},
    needs_settings=False,
    result="imagegen.report.results.configuration:SettingValues",
)
def settings(build: Build) -> Answer:
    """Show the settings, and what is wrong with them. A secret is not shown, only whether it is set."""
    from imagegen.config.settings import collect_settings
    from imagegen.report.results.configuration import SettingValues

    values, _ = collect_settings(build.root, build.invocation.given, os.environ)
    backend = next(one for one in values if one.setting.name == "backend")
    jobs = (_backend_of_job(plan, backend) for plan in build.plans if plan.backend)
    result = SettingValues(tuple(map(_as_shown, values)), tuple(jobs))
    code = BAD_INPUT if build.problems else DONE
    return Answer(result, [*_lines(result), *([""] if build.problems else [])], code, build.problems)


def _as_shown(value: Value) -> SettingValue:
    from imagegen.report.results.configuration import SettingValue

    source = "" if value.setting.secret and not value.value else value.set_by
    return SettingValue(value.setting.name, _typed(value), str(value), source, value.setting.help)


def _typed(value: Value) -> Any:
    """Return a setting's value for a program: what its type shows of a text, which may leave something out."""
    if value.setting.secret:
        return bool(value.value)
    if isinstance(value.value, str):
        return value.setting.kind.show(value.value) or None
    if value.setting.kind in (FOLDER_TABLE, PRICES):
        return dict(value.value)
    return {one.key: one for one in value.value} if value.setting.kind is MODELS else value.value


def _backend_of_job(plan: JobPlan, backend: Value) -> JobBackend:
    from imagegen.config.settings import COMMAND_LINE
    from imagegen.report.results.configuration import JobBackend

    if backend.set_by == COMMAND_LINE:
        return JobBackend(plan.name, str(backend), COMMAND_LINE, f"{plan.file} names {plan.backend}")
    return JobBackend(plan.name, plan.backend, plan.file, "the backend that the job names")


def _lines(result: SettingValues) -> list[str]:
    from imagegen.report.console import table

    shown = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
    rows = ((name, shown.sub(r"\1…", value), source, said) for name, value, source, said in _rows(result))
    return table([("setting", "value", "from", ""), *rows])


def _rows(result: SettingValues) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each setting; below the one of the backend, one for each job that names its own."""
    for one in result.settings:
        yield one.name, one.shown, one.source, one.help
        if one.name == "backend":
            yield from ((f"job {job.job}", job.backend, job.source, job.help) for job in result.jobs)
