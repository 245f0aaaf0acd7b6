"""What doit reads from dodo.py besides the tasks."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage
from typing import Any

from doit.dependency import JSONCodec

from imagegen.tasks.reporter import ImagegenReporter
from imagegen.tasks.up_to_date import default_tasks

__all__ = ["HintCodec", "doit_config"]

_LITTLE = 1_000_000
"""Bytes: doit's database has fewer, and doit ends in a traceback where it cannot be written."""


class HintCodec(JSONCodec):  # type: ignore[misc]  # doit ships no types
    """doit's database is only a hint here: one that a kill cut short is begun anew, and stops nobody."""

    def decode(self, data: str) -> dict[str, Any]:
        """What the text holds, or nothing."""
        try:
            found = super().decode(data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def doit_config(root: Path) -> dict[str, Any]:
    """DOIT_CONFIG of the project at `root`."""
    folder = root / ".imagegen"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    database = folder / "doit.json"
    if not os.access(database if database.exists() else folder, os.W_OK) or disk_usage(root).free < _LITTLE:
        database = Path(os.devnull)  # read-only, or full: doit list must work all the same
    return {
        "default_tasks": default_tasks(root),
        "reporter": ImagegenReporter,
        "continue": True,
        "backend": "json",
        "codec_cls": HintCodec,
        "dep_file": str(database),
    }
