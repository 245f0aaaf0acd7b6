"""Preflight: everything that would keep a job's images from being generated, before any is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagegen.errors import ImagegenError, Problem
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["check_requests"]


def check_requests(requests: Sequence[Request], engine: Engine) -> list[Problem]:
    """Return the problems of these requests of one job."""
    problems = []
    try:
        if not all(engine.server_url(request) for request in requests):
            engine.program  # noqa: B018 - raises if there is none
        for request in requests:
            for part, name in request.extra["files"].items():
                if not engine.find_file(part, name):
                    problems.append(Problem(request.name, f"sd.{part}: there is no file {name}", "doit models:pull"))
    except ImagegenError as error:
        return list(error.problems)
    return problems
