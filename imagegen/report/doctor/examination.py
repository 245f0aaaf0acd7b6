"""The whole examination: all rows, and how a person or a program reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from imagegen.backends.base import Diagnosis
from imagegen.report.console import counted, printable, table
from imagegen.report.doctor.backends import backends
from imagegen.report.doctor.case import Case
from imagegen.report.doctor.disk import folders, store
from imagegen.report.doctor.git import git, lfs
from imagegen.report.doctor.ignored import ignored
from imagegen.report.doctor.jobs import jobs
from imagegen.report.doctor.locks import locks
from imagegen.report.doctor.machine import machine, needed_packages
from imagegen.report.doctor.shared import shared

__all__ = ["as_data", "as_lines", "blocks", "examine"]

_SIGNS = {"ok": "✓", "warning": "!", "wrong": "✗"}


def examine(case: Case) -> list[Diagnosis]:
    """Every row. What cannot be looked at is a row that says so."""
    return [
        *machine(needed_packages()),
        *jobs(case),
        *backends(case),
        *folders(case),
        *locks(case),
        *store(case),
        *shared(case),
        *git(case),
        *ignored(case),
        *lfs(case),
    ]


def blocks(rows: Sequence[Diagnosis]) -> bool:
    """Whether something keeps a job from being built."""
    return any(row.blocks and not row.ok for row in rows)


def as_lines(rows: Sequence[Diagnosis]) -> list[str]:
    """A line a row with its hint below it, and a closing line."""
    lines = []
    shown = table([(_SIGNS[_state(row)], row.what, row.found) for row in rows])
    for row, line in zip(rows, shown, strict=True):
        lines.append(line)
        if row.hint:
            lines.append(f"     → {printable(row.hint)}")
    return [*lines, "", _closing(rows)]


def as_data(rows: Sequence[Diagnosis]) -> list[str]:
    """The same as JSON text: a list of objects."""
    found = [{"state": _state(row), **asdict(row), "blocks": row.blocks and not row.ok} for row in rows]
    return [json.dumps(found, indent=2)]


def _state(row: Diagnosis) -> str:
    if not row.ok:
        return "wrong"
    return "warning" if row.hint else "ok"


def _closing(rows: Sequence[Diagnosis]) -> str:
    states = [_state(row) for row in rows]
    said = [counted(states.count("wrong"), "thing") + " to fix"] if "wrong" in states else []
    said += [counted(states.count("warning"), "warning")] if "warning" in states else []
    if not said:
        return "all is well"
    return ", ".join(said) + ("" if blocks(rows) else "; no job is blocked")
