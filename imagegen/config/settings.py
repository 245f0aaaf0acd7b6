"""The project's settings. Strongest first: command line, (job file,) environment, pyproject.toml, built-in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.errors import ImagegenError, Problem, did_you_mean

__all__ = ["BUILT_IN_BACKEND", "Settings", "read_settings"]

BUILT_IN_BACKEND = "placeholder"
STORE_BYTES = 5 * 1024**3


@dataclass(frozen=True)
class Settings:
    """What holds for the whole project.

    forced_backend: of the command line, stronger than a job's own. backend: for jobs that name none.
    allow_outside: folders outside the project that outputs and prompt sources may lie in.
    store_bytes: bound of the store. wait_s: seconds to wait for another build.
    """

    forced_backend: str | None = None
    backend: str = BUILT_IN_BACKEND
    allow_outside: tuple[str, ...] = ()
    store_bytes: int = STORE_BYTES
    wait_s: float = 0.0


def read_settings(root: Path, command_line: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """The settings of the project at `root`.

    command_line: the variables `backend` and `wait` (seconds). Raises ImagegenError with all that is wrong.
    """
    problems: list[Problem] = []
    table = _table(root / "pyproject.toml", problems)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KEYS:
            problems.append(Problem(_WHERE, f"{key}: unknown key{did_you_mean(key, _KEYS)}"))
        else:
            try:
                values[key] = _KEYS[key](value)
            except ValueError as error:
                problems.append(Problem(_WHERE, f"{key}: {error}"))
    wait = command_line.get("wait")
    try:
        wait_s = _seconds(float(wait)) if wait is not None else values.get("wait_s", 0.0)
    except ValueError:
        problems.append(Problem("", f"wait={wait}: expected a number of seconds"))
        wait_s = 0.0
    if problems:
        raise ImagegenError(*problems)
    return Settings(
        forced_backend=command_line.get("backend") or None,
        backend=environment.get("IMAGEGEN_BACKEND") or values.get("backend", BUILT_IN_BACKEND),
        allow_outside=values.get("allow_outside", ()),
        store_bytes=values.get("store_size", STORE_BYTES),
        wait_s=wait_s,
    )


_WHERE = "pyproject.toml: [tool.imagegen]"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def _folders(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(folder, str) and folder for folder in value):
        raise ValueError("expected a list of folders")
    return tuple(os.path.expanduser(folder) for folder in value)  # noqa: PTH111 - it may be no Path yet


def _size(value: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB|TB)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as '5 GB'")
    return int(float(match[1]) * {"MB": 1024**2, "GB": 1024**3, "TB": 1024**4}[match[2]])


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
        raise ValueError("expected a number of seconds")
    return float(value)


_KEYS = {"backend": _text, "allow_outside": _folders, "store_size": _size, "wait_s": _seconds}


def _table(path: Path, problems: list[Problem]) -> Mapping[str, Any]:
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    if b"imagegen" not in data:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(data.decode("utf-8")).get("tool", {}).get("imagegen", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(Problem("pyproject.toml", f"cannot be read: {error}"))
        return {}
    if not isinstance(table, dict):
        problems.append(Problem(_WHERE, "expected a table"))
        return {}
    return table
