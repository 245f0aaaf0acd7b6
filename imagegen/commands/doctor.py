"""`doit doctor`: check that everything the jobs need is in place. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command, option
from imagegen.errors import DONE, FAILED, printable

if TYPE_CHECKING:
    from imagegen.backends.base import Diagnosis

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
)
def doctor(build: Build, *, find: bool) -> Answer:
    """Print what was found. Fails if something keeps a job from being built."""
    from imagegen.report.doctor import Case, examine

    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    case = Case(build.project, build.plans, build.problems, verdicts)
    rows = examine(case)
    if find:
        from imagegen.report.servers import check_servers

        rows += check_servers(case)
    checks = [{"state": _state(row), **asdict(row), "blocks": row.blocks and not row.ok} for row in rows]
    lines = as_lines(rows, _read_pyproject(build) if find else "")
    return Answer({"checks": checks}, lines, FAILED if _is_blocked(rows) else DONE)


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
