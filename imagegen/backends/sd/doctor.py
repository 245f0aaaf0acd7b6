"""Its rows of `doit doctor`: program and build, device and memory, models, port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagegen.backends.base import Diagnosis
from imagegen.errors import ImagegenError
from imagegen.plan.request import Request

if TYPE_CHECKING:
    from imagegen.backends.sd.engine import Engine

__all__ = ["diagnose"]


def diagnose(requests: Sequence[Request], engine: Engine) -> Iterator[Diagnosis]:
    """Yield the rows for these requests. Starts no server."""
    del requests
    try:
        program = engine.program
        yield Diagnosis(True, "program", f"{program.path}, build {program.build or 'unknown'}")
    except ImagegenError as error:
        yield from (Diagnosis(False, "program", one.what, one.hint) for one in error.problems)
