"""The pictures that an agent looks at: the files of images, made small."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mcp_types import ContentBlock, ImageContent, TextContent

from imagegen.agents.tools import DEFAULT_SIZE, MOST_PICTURES
from imagegen.errors import InputError
from imagegen.images.formats import BadImage
from imagegen.library.planned_project import PlannedProject
from imagegen.library.selection import select_images
from imagegen.report.gallery.folder import shrink

__all__ = ["show_generated", "show_pictures"]

_THERE = ("generated", "derived", "restored", "fresh", "kept")
"""States of an image whose file is there."""


def show_pictures(root: Path, names: Sequence[str], size: int) -> list[ContentBlock]:
    """Return each picture after its name, or why it cannot be shown.

    Args:
        root: the project's folder.
        names: of images and jobs.
        size: of the longer side, in pixels.

    Raises:
        InputError: a setting is not valid, a name names nothing, or its job is broken.
    """
    project = PlannedProject(root, {})
    project.open()
    if project.problems:
        raise InputError(*project.problems)
    project.plan_all()
    images = [(one.output.task, one.output.path) for one in select_images(project, names)]
    shown = [block for task, path in images[:MOST_PICTURES] for block in _show(root, task, path, size)]
    if left := [task for task, _ in images[MOST_PICTURES:]]:
        shown.append(_say(f"not shown: {len(left)} more, {', '.join(left[:MOST_PICTURES])} first"))
    return shown or [_say("these names have no images")]


def show_generated(root: Path, result: object) -> list[ContentBlock]:
    """Return the pictures that a command says it generated, as far as they are there. result: what it answered."""
    images = result.get("images") if isinstance(result, Mapping) else None
    named = [one for one in images or () if isinstance(one, Mapping) and one.get("path") and one.get("state") in _THERE]
    return [
        block
        for image in named[:MOST_PICTURES]
        for block in _show(root, str(image.get("task", "")), str(image["path"]), DEFAULT_SIZE)
    ]


def _show(root: Path, task: str, path: str, size: int) -> Iterator[ContentBlock]:
    try:
        picture, width, height = shrink((root / path).read_bytes(), (size, size))
    except FileNotFoundError:
        yield _say(f"{task}: there is no {path} yet")
    except (OSError, BadImage) as error:
        yield _say(f"{task}: {path} cannot be shown: {error}")
    else:
        yield _say(f"{task}: {path}, {width} × {height} pixels")
        yield ImageContent(type="image", data=base64.b64encode(picture).decode(), mime_type="image/webp")


def _say(text: str) -> TextContent:
    return TextContent(type="text", text=text)
