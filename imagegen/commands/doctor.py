"""`doit doctor`: check that everything the jobs need is in place. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imagegen.commands.build import Build
from imagegen.commands.command import Answer, command, option
from imagegen.errors import DONE, FAILED, printable
from imagegen.report.json_output import json_output

if TYPE_CHECKING:
    from imagegen.backends.base import Diagnosis

__all__ = ["Check", "Checks", "LocalServer", "as_lines", "doctor"]

_SIGNS = {"ok": "✓", "warning": "!", "wrong": "✗"}


@dataclass(frozen=True)
class LocalServer:
    """An image server that answers at a usual port of this machine.

    Attributes:
        settings: what uses it, in [tool.imagegen] of pyproject.toml; empty if it generates no images.
        missing: those of these settings that the project does not have yet.
    """

    settings: Mapping[str, str]
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: was looked at.
        state: ok, warning or wrong.
        found: what was found.
        hint: what to do about it, a command if there is one; empty if it is ok.
        blocks: whether it keeps a job from being built.
        server: with --find, of a port that answers; else null.
    """

    what: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    hint: str
    blocks: bool
    server: LocalServer | None


@dataclass(frozen=True)
class Checks:
    """Whether everything that the jobs need is in place.

    Attributes:
        checks: all that was looked at.
        blocks: whether anything keeps a job from being built.
    """

    checks: tuple[Check, ...]
    blocks: bool


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
    result=Checks,
)
def doctor(build: Build, *, find: bool) -> Answer:
    """Look at everything. Fails if something keeps a job from being built."""
    from imagegen.report.doctor import Case, examine

    verdicts = [(planned.output, planned.verdict) for planned in build.planned.values()]
    case = Case(build.project, build.plans, build.problems, verdicts)
    rows = examine(case)
    if find:
        from imagegen.report.servers import check_servers

        rows += check_servers(case)
    result = Checks(tuple(map(_check, rows)), _is_blocked(rows))
    lines = as_lines(rows, _read_pyproject(build) if find else "")
    code = FAILED if result.blocks else DONE
    if json_output():  # the lines have them among the checks
        return Answer(result, (), code, [*build.problems, *(one for plan in build.plans for one in plan.problems)])
    return Answer(result, lines, code)


def _check(row: Diagnosis) -> Check:
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
