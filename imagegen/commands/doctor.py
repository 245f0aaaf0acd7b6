"""`doit doctor`: check that everything the jobs need is in place. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command, option
from imagegen.errors import BAD_INPUT, DONE, FAILED, printable
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.backends.base import Diagnosis
    from imagegen.report.results.checks import Check

__all__ = ["as_lines", "doctor"]

_SIGNS = {"ok": "✓", "warning": "!", "wrong": "✗"}


@command(
    "doctor",
    "Check that everything the jobs need is in place, and suggest a fix for anything that isn't.",
    {
        "doit doctor": "",
        "doit doctor --find": "look for ComfyUI, A1111 and others that run already, and say how to use them",
        "doit doctor --json": "for a script",
    },
    [option("find", bool, False, "also look for image servers at the usual ports of this machine")],
    needs_settings=False,
    result="imagegen.report.results.checks:Checks",
)
def doctor(build: Build, *, find: bool) -> Answer:
    """Look at everything. Fails if something keeps a job from being built."""
    from imagegen.report.doctor import Case, examine
    from imagegen.report.results.checks import Checks

    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    case = Case(build.project, build.plans, build.problems, verdicts)
    rows = examine(case)
    if find:
        from imagegen.report.servers import check_servers

        rows += check_servers(case)
    result = Checks(tuple(map(_check, rows)), _is_blocked(rows))
    lines = as_lines(rows, _read_pyproject(build) if find else "")
    problems = [*build.problems, *(one for plan in build.plans for one in plan.problems)]
    code = BAD_INPUT if problems else FAILED if result.blocks else DONE
    if json_output():  # the lines have them among the checks
        return Answer(result, (), code, problems)
    return Answer(result, lines, code)


def _check(row: Diagnosis) -> Check:
    from imagegen.report.results.checks import Check, LocalServer

    server = None
    if (settings := getattr(row, "settings", None)) is not None:  # it is a FoundServer
        server = LocalServer(settings, getattr(row, "missing", {}))
    return Check(row.what, _state(row), row.found, row.hint, row.blocks and not row.ok, server)


def as_lines(rows: Sequence[Diagnosis], pyproject: str | None = "") -> list[str]:
    """Return one line per row with its hint or missing settings below it, and a closing line.

    Args:
        rows: in their order.
        pyproject: the text of pyproject.toml, for where the settings go; None if there is none.
    """
    from imagegen.report.console import table

    lines = []
    shown = table([(_SIGNS[_state(row)], row.what, row.found) for row in rows])
    for row, line in zip(rows, shown, strict=True):
        lines.append(line)
        if row.hint:
            lines.append(f"     → {printable(row.hint)}")
        if missing := getattr(row, "missing", None):  # a FoundServer's settings
            from imagegen.report.servers import format_settings

            first, *others = format_settings(missing, pyproject)
            lines += [f"     → {first}", *(f"       {line}" for line in others)]
    return [*lines, "", _closing(rows)]


def _read_pyproject(build: Build) -> str | None:
    try:
        return (build.root / "pyproject.toml").read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):  # its row says so
        return ""


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
