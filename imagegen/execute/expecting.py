"""What generating outputs will take, from what is recorded of earlier ones."""

from __future__ import annotations

from collections.abc import Iterable

from imagegen.backends.base import Backend
from imagegen.errors import ImagegenError
from imagegen.plan.output import Output
from imagegen.plan.record import Durations, Expected
from imagegen.plan.request import Request
from imagegen.project import Project

__all__ = ["expected"]


def expected(project: Project, outputs: Iterable[Output]) -> dict[str, Expected]:
    """By task; without what is derived, which takes no time to speak of."""
    known = Durations(project.recorded())
    found = {}
    for output in outputs:
        if not output.is_derived:
            request = output.request
            at_once = _at_once(project.backends[request.backend], request)
            found[output.task] = Expected(known.of(request), request.backend, at_once)
    return found


def _at_once(backend: Backend, request: Request) -> int:
    try:
        return backend.concurrency(request)
    except ImagegenError:  # its preflight says so
        return 1
