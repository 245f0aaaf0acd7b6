"""The settings as a person or a program reads them; of a secret, no more than whether it is set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from imagegen.config.settings import COMMAND_LINE, Value
from imagegen.errors import Problem
from imagegen.project import JobPlan
from imagegen.report.console import table

__all__ = ["SettingRow", "as_data", "as_lines", "setting_rows"]


@dataclass(frozen=True)
class SettingRow:
    """One line: of a setting, or of a job that says for itself what the setting is for it."""

    setting: str
    value: str
    source: str
    help: str


def setting_rows(values: Iterable[Value], plans: Iterable[JobPlan]) -> list[SettingRow]:
    """A row for each setting; below the one of the backend, one for each job that names its own."""
    rows = []
    for value in values:
        source = "" if value.setting.secret and not value.value else value.set_by
        rows.append(SettingRow(value.setting.name, str(value), source, value.setting.help))
        if value.setting.name == "backend":
            rows += [_of_job(plan, value) for plan in plans if plan.backend]
    return rows


def _of_job(plan: JobPlan, backend: Value) -> SettingRow:
    if backend.set_by == COMMAND_LINE:
        return SettingRow(f"job {plan.name}", str(backend), COMMAND_LINE, f"{plan.file} names {plan.backend}")
    return SettingRow(f"job {plan.name}", plan.backend, plan.file, "the backend that the job names")


def as_lines(rows: Sequence[SettingRow], problems: Iterable[Problem]) -> list[str]:
    """A table with a heading, and below it what is wrong."""
    heading = ("setting", "value", "from", "")
    lines = table([heading, *((row.setting, row.value, row.source, row.help) for row in rows)])
    wrong = [str(problem) for problem in problems]
    return [*lines, *(["", *wrong] if wrong else [])]


def as_data(rows: Sequence[SettingRow], problems: Iterable[Problem]) -> list[str]:
    """The same as JSON text: an object with `settings` and `problems`, each a list of objects."""
    found = {"settings": [asdict(row) for row in rows], "problems": [asdict(problem) for problem in problems]}
    return [json.dumps(found, indent=2)]
