"""`doit doctor`: check that everything the jobs need is in place. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from imagegen.commands.build import Build
from imagegen.commands.command import AS_JSON, command
from imagegen.errors import printable

if TYPE_CHECKING:
    from imagegen.backends.base import Diagnosis

__all__ = ["as_lines", "doctor"]

_SIGNS = {"ok": "✓", "warning": "!", "wrong": "✗"}


@command(
    "doctor",
    "Check that everything the jobs need is in place, and suggest a fix for anything that isn't.",
    {"doit doctor": "", "doit doctor --json": "for a script"},
    [AS_JSON],
    needs_settings=False,
)
def doctor(build: Build, *, json: bool) -> int:
    """Print what was found. Fails if something keeps a job from being built."""
    from imagegen.report.console import as_json
    from imagegen.report.doctor import Case, examine

    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    rows = examine(Case(build.project, build.plans, build.problems, verdicts))
    if json:
        print(as_json([{"state": _state(row), **asdict(row), "blocks": row.blocks and not row.ok} for row in rows]))
    else:
        print("\n".join(as_lines(rows)))
    return int(_is_blocked(rows))


def as_lines(rows: Sequence[Diagnosis]) -> list[str]:
    """Return one line per row with its hint below it, and a closing line."""
    from imagegen.report.console import table

    lines = []
    shown = table([(_SIGNS[_state(row)], row.what, row.found) for row in rows])
    for row, line in zip(rows, shown, strict=True):
        lines.append(line)
        if row.hint:
            lines.append(f"     → {printable(row.hint)}")
    return [*lines, "", _closing(rows)]


def _state(row: Diagnosis) -> Literal["ok", "warning", "wrong"]:
    if not row.ok:
        return "wrong"
    return "warning" if row.hint else "ok"


def _is_blocked(rows: Sequence[Diagnosis]) -> bool:
    return any(row.blocks and not row.ok for row in rows)


def _closing(rows: Sequence[Diagnosis]) -> str:
    from imagegen.report.console import plural

    states = [_state(row) for row in rows]
    said = [f"{plural(states.count('wrong'), 'problem')} to fix"] if "wrong" in states else []
    said += [plural(states.count("warning"), "warning")] if "warning" in states else []
    if not said:
        return "everything is in place"
    return ", ".join(said) + ("" if _is_blocked(rows) else "; no job is blocked")
