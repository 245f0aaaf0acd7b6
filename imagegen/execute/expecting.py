"""What generating outputs will take, from what is recorded of earlier ones."""

from __future__ import annotations

from collections.abc import Iterable

from imagegen.backends.base import Backend, Queueing
from imagegen.plan.durations import Durations, Expected
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["expected"]


def expected(project: Project, outputs: Iterable[Output]) -> dict[str, Expected]:
    """By task; without what is derived, which takes no time to speak of."""
    known = Durations(project.recorded())
    at_once: dict[str, int] = {}
    found = {}
    for output in outputs:
        if not output.is_derived:
            name = output.request.backend
            if name not in at_once:
                at_once[name] = _at_once(project.backends[name])
            found[output.task] = Expected(known.of(output.request), name, at_once[name])
    return found


def _at_once(backend: Backend) -> int:
    return backend.at_once if isinstance(backend, Queueing) else backend.in_flight
