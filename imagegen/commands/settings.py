"""`doit settings`: what holds here, and where it came from."""

from __future__ import annotations

import os
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import AS_JSON, define

__all__ = [
    "task_settings",
]


_SETTINGS = define(
    "settings",
    "Show every setting, with where its value came from.",
    {"doit settings": "", "doit settings backend=comfyui": "as they would be for this command line"},
    [AS_JSON],
)


def task_settings() -> dict[str, Any]:
    """The command `settings`."""
    return command(_SETTINGS, _settings)


def _settings(json: bool) -> TaskFailed | None:
    from imagegen.config.settings import collect_settings
    from imagegen.report.settings import as_data, as_lines, setting_rows

    build = current_build()
    values, _ = collect_settings(build.root, build.invocation.given, os.environ)
    rows = setting_rows(values, build.plans)
    print("\n".join(as_data(rows, build.problems) if json else as_lines(rows, build.problems)))
    return TaskFailed("the settings are wrong", report=False) if build.problems else None
