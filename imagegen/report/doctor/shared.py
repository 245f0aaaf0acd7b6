"""The shared store, where the project has one: whether it can be reached, and what has yet to go up to it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from imagegen.asking import within
from imagegen.backends.base import Diagnosis
from imagegen.execute.shared_store import Patience, words_of
from imagegen.report.console import counted
from imagegen.report.doctor.case import Case
from imagegen.state.shared_store import missing_package, open_shared

__all__ = ["shared"]


def shared(case: Case) -> Iterator[Diagnosis]:
    """One row; none where there is no shared store. Only a package that is missing keeps jobs from being built."""
    settings = case.project.settings
    if not settings.store:
        return
    if missing := missing_package(settings.store):
        package, command = missing
        found = f"{settings.store} needs the package {package}, which is not installed"
        yield Diagnosis(False, "shared store", found, command)
        return
    waiting = len(case.project.pending.all()) if settings.store_writes else 0
    start = time.monotonic()
    try:
        within(Patience().answer_s, lambda: open_shared(settings.store))
    except Exception as error:  # of whatever library
        found = f"{settings.store} cannot be reached: {words_of(error)}"
        found += f"; {counted(waiting, 'image')} to go up" if waiting else ""
        yield Diagnosis(False, "shared store", found, "builds go on without it; fix it, or store=none", blocks=False)
        return
    uses = "read and written to" if settings.store_writes else "only read"
    found = f"{settings.store} answers ({time.monotonic() - start:.1f} s), {uses}"
    found += f"; {counted(waiting, 'image')} to go up with the next build" if waiting else ""
    yield Diagnosis(True, "shared store", found)
