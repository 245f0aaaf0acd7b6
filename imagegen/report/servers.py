"""The rows of `doit doctor --find`: the image servers that run on this machine, and what to write to use one."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from imagegen.backends.address import is_same_server
from imagegen.backends.base import Diagnosis
from imagegen.backends.find_servers import USUAL_PORTS, find_servers
from imagegen.config.settings import Settings

if TYPE_CHECKING:
    from imagegen.report.doctor import Case

__all__ = ["check_servers", "format_settings"]


def check_servers(case: Case) -> Iterator[Diagnosis]:
    """Yield a row for each usual port that answers; a server's row has the settings that are missing."""
    values = {one.metadata["setting"].name: getattr(case.project.settings, one.name) for one in _list_settings()}
    used = {case.project.settings.backend, *(plan.backend for plan in case.plans)}
    found = find_servers()
    for row in found:
        missing = {
            name: value
            for name, value in row.settings.items()
            if (value not in used if name == "backend" else not _is_set(values.get(name), value))
        }
        is_set = bool(row.settings) and not missing
        yield replace(row, missing=missing, found=f"{row.found}; already set" if is_set else row.found)
    if not found:
        ports = ", ".join(map(str, USUAL_PORTS))
        other = "a server at another port is not looked for: set its address in pyproject.toml"
        advice = "to generate with a program of this project: doit sd:setup"
        what = f"nothing answers at the usual ports of this machine ({ports}); {other}; {advice}"
        yield Diagnosis(True, "servers", what)


def _list_settings() -> list[Any]:
    return [one for one in fields(Settings) if one.metadata]


def _is_set(held: Any, value: str) -> bool:
    """Return whether a setting, which may hold several addresses, has the value or names the same server."""
    return any(is_same_server(str(one), value) for one in (held if isinstance(held, tuple) else (held,)))


def _read_keys(pyproject: str) -> set[str]:
    """Return the names of the settings that this text has; none if it is not valid, of which another row tells."""
    from imagegen.config.pyproject import parse_toml

    def list_keys(table: Any, prefix: str) -> Iterator[str]:
        for key, value in table.items() if isinstance(table, dict) else ():
            yield f"{prefix}{key}"
            yield from list_keys(value, f"{prefix}{key}.")

    try:
        return set(list_keys(parse_toml(pyproject).get("tool", {}).get("imagegen"), ""))
    except (ValueError, AttributeError):
        return set()


def format_settings(settings: Mapping[str, str], pyproject: str | None) -> list[str]:
    """Return the lines to write into a pyproject.toml of this text, each group after a line that says where.

    A key whose table has a header of its own goes below that: TOML takes no `sd.model` above a `[tool.imagegen.sd]`. A
    header that is not there yet is among the lines. A key that is there already is to be changed: TOML takes none
    twice. pyproject: None if there is no such file.
    """
    held = _read_keys(pyproject or "")
    headers = set(re.findall(r"^[ \t]*\[tool\.imagegen((?:\.[\w-]+)*)\]", pyproject or "", re.MULTILINE))
    groups: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for name, value in settings.items():
        table = f".{name.rpartition('.')[0]}" if "." in name else ""
        while table and table not in headers:
            table = table.rpartition(".")[0]
        groups[table, name in held].append(f"{f'.{name}'[len(table) + 1 :]} = {json.dumps(value)}")
    lines = []
    for (table, is_held), keys in groups.items():
        header = f"[tool.imagegen{table}]"
        if is_held:
            lines += [f"change below {header} in pyproject.toml:", *(f"  {key}" for key in keys)]
        elif table in headers:
            lines += [f"below {header} in pyproject.toml:", *(f"  {key}" for key in keys)]
        else:
            where = "there is no pyproject.toml; write one" if pyproject is None else "write into pyproject.toml"
            lines += [f"{where}:", *(f"  {line}" for line in (header, *keys))]
    return lines
