"""`doit gallery`: a page to look at every image with, in a browser and without a server."""

from __future__ import annotations

from typing import Any

from doit.exceptions import TaskFailed

from imagegen.commands.acting import command
from imagegen.commands.build import current_build
from imagegen.commands.command import define
from imagegen.errors import ImagegenError, Problem, not_written

__all__ = [
    "task_gallery",
]


_GALLERY = define(
    "gallery",
    "Write assets/gallery/index.html, to look at every image in a browser.",
    {"doit gallery": "then open assets/gallery/index.html"},
)


def task_gallery() -> dict[str, Any]:
    """The command `gallery`."""
    return command(_GALLERY, _gallery)


def _gallery() -> TaskFailed | None:
    from imagegen.report.gallery.folder import (
        lines,  # what they need, no other task does
        write_gallery,
    )

    build = current_build()
    try:
        if build.problems:
            raise ImagegenError(*build.problems)
        if not build.plans:
            raise ImagegenError(Problem("jobs", "there is no job file, so there is nothing to show"))
        broken = [plan.task for plan in build.plans if plan.problems]
        print("\n".join(lines(write_gallery(build.project, build.plans), broken)))
    except ImagegenError as error:
        return _failed("\n".join(map(str, error.problems)))
    except OSError as error:
        return _failed(str(not_written(error, path="assets/gallery", doing="read or write")))
    return None


def _failed(said: str) -> TaskFailed:
    print(said)
    return TaskFailed(said, report=False)
