"""The pictures that an agent looks at: the files of images, made small."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcp_types import ContentBlock, ImageContent, TextContent

from imagegen.agents.tools import DEFAULT_SIZE, MOST_PICTURES
from imagegen.errors import InputError
from imagegen.images.formats import BadImage
from imagegen.library.planned_project import PlannedProject
from imagegen.library.selection import select_images
from imagegen.report.gallery.folder import shrink

__all__ = ["show_answered", "show_pictures", "show_versions"]

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
    shown = [block for task, path in images[:MOST_PICTURES] for block in _show(root / path, f"{task}: {path}", size)]
    if left := [task for task, _ in images[MOST_PICTURES:]]:
        shown.append(_say(f"not shown: {len(left)} more, {', '.join(left[:MOST_PICTURES])} first"))
    return shown or [_say("these names have no images")]


def show_answered(root: Path, result: object) -> list[ContentBlock]:
    """Return the pictures of what a command answered: of its images, as far as they are there, or of versions."""
    if not isinstance(result, Mapping):
        return []
    if listed := [] if result.get("images") else result.get("versions"):
        return show_versions(root, listed)
    images = result.get("images") or ()
    there = [one for one in images if one.get("path") and one.get("state", "generated") in _THERE]
    there.sort(key=lambda one: one.get("state") == "derived")  # what was generated is what is to be looked at
    shown = [
        block
        for one in there[:MOST_PICTURES]
        for block in _show(root / one["path"], f"{one['task']}: {one['path']}", DEFAULT_SIZE)
    ]
    left = len(there) - MOST_PICTURES
    return [*shown, _say(f"not shown: {left} more; pictures shows those that you name")] if left > 0 else shown


def show_versions(root: Path, versions: Sequence[Mapping[str, Any]], task: str = "") -> list[ContentBlock]:
    """Return the pictures of these versions of an image, each after what restore takes to go back to it."""
    shown: list[ContentBlock] = []
    for one in versions[:MOST_PICTURES]:
        name = f"{task} version {one['number']}".strip()  # without its path, which is no file of the project's own
        seed = "" if one["seed"] is None else f", seed {one['seed']}"
        about = "is the image now" if one["is_current"] else f'to go back to it: restore with to: ["{one["number"]}"]'
        shown += _show(root / one["path"], f"{name} of {one['time']}{seed}; {about}", DEFAULT_SIZE)
    left = len(versions) - MOST_PICTURES
    return [*shown, _say(f"not shown: {left} older ones, which restore takes, too")] if left > 0 else shown


def _show(file: Path, name: str, size: int) -> Iterator[ContentBlock]:
    """Yield the picture after its name, or why it cannot be shown."""
    try:
        picture, width, height = shrink(file.read_bytes(), (size, size))
    except FileNotFoundError:
        yield _say(f"{name} is not there")
    except (OSError, BadImage) as error:
        yield _say(f"{name} cannot be shown: {error}")
    else:
        yield _say(f"{name}, {width} × {height} pixels")
        yield ImageContent(type="image", data=base64.b64encode(picture).decode(), mime_type="image/webp")


def _say(text: str) -> TextContent:
    return TextContent(type="text", text=text)
