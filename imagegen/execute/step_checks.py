"""What can be said of the steps of derived files before a run builds anything: whether images have transparency."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable

from imagegen.backends.text import list_first
from imagegen.errors import Problem
from imagegen.images.formats import BadImage
from imagegen.images.transparency import HEADER_BYTES, may_be_transparent
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["check_transparency"]


def check_transparency(project: Project, outputs: Iterable[Output]) -> dict[str, list[Problem]]:
    """Return, by job, each step that needs images with transparency, if any that are there have none.

    An image that this run generates is looked at when it is there; one that cannot be read fails by itself.
    """
    opaque: dict[tuple[str, str], list[str]] = defaultdict(list)
    for output in outputs:
        step = output.alpha_step
        if step is None or not output.has_known_origins:
            continue
        path = output.origins[0].path
        with contextlib.suppress(OSError, BadImage), (project.root / path).open("rb") as file:
            if not may_be_transparent(file.read(HEADER_BYTES)):
                opaque[output.job, step.key].append(path)
    found: dict[str, list[Problem]] = defaultdict(list)
    # of a job that was planned in parts, positions are not known
    everything = (output for plan in (project.plans() if opaque else ()) for output in plan.outputs)
    where = {(output.job, step.key): step.where for output in everything if (step := output.alpha_step)}
    for (job, key), paths in opaque.items():
        # a report begins with the names of the outputs, so the position is in the text
        place = f"{where.get((job, key), job)}: {key}"
        what = f"{place}: needs images with transparency, and these have none: {list_first(paths)}"
        found[job].append(Problem("", what, "put background, cutout or mask before it in steps"))
    return found
