"""`doit settings`: what holds here, and where it came from."""

from __future__ import annotations

import os
from typing import Any

from doit.exceptions import TaskFailed

from imagegen.tasks.acting import command
from imagegen.tasks.build import command_line, current_build
from imagegen.tasks.words import AS_JSON

__all__ = ["task_settings"]


def task_settings() -> dict[str, Any]:
    """Show every setting, with where its value came from."""
    return command(_settings, params=[AS_JSON])


def _settings(as_json: bool) -> TaskFailed | None:
    from imagegen.config.settings import find_values
    from imagegen.report.settings import as_data, as_lines, setting_rows

    build = current_build()
    values, _ = find_values(build.root, command_line(), os.environ)
    rows = setting_rows(values, build.plans)
    print("\n".join(as_data(rows, build.problems) if as_json else as_lines(rows, build.problems)))
    return TaskFailed("the settings are wrong", report=False) if build.problems else None
