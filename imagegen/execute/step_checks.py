"""What can be said of the steps of derived files before a run builds anything: whether images have transparency."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable

from imagegen.backends.text import list_first
from imagegen.config.steps import NEEDS_ALPHA_HINT
from imagegen.errors import Problem
from imagegen.images.formats import BadImage
from imagegen.images.transparency import HEADER_BYTES, may_be_transparent
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["check_transparency"]


def check_transparency(project: Project, outputs: Iterable[Output]) -> dict[str, list[Problem]]:
    """Return, by task, that an output has a step that needs transparency, and is made from an image without any.

    An image that this run generates is looked at when it is there; one that cannot be read fails by itself.
    """
    opaque: dict[tuple[str, str], list[Output]] = defaultdict(list)
    for output in outputs:
        step = output.alpha_step
        if step is None or not output.has_known_origins:
            continue
        with contextlib.suppress(OSError, BadImage), (project.root / output.origins[0].path).open("rb") as file:
            if not may_be_transparent(file.read(HEADER_BYTES)):
                opaque[output.job, step.key].append(output)
    steps = {job: project.planner.locate_steps(job) for job, _ in opaque}
    found: dict[str, list[Problem]] = {}
    for (job, key), of_step in opaque.items():
        where = next((step.where for step in steps[job] if step.key == key), job)
        paths = [output.origins[0].path for output in of_step]
        # a report begins with the names of the outputs, so the position is in the text
        what = f"{where}: {key}: needs images with transparency, and these have none: {list_first(paths)}"
        found |= {output.task: [Problem("", what, NEEDS_ALPHA_HINT)] for output in of_step}
    return found
