"""Sending up all that was made here, also before there was a shared store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imagegen.execute.attended import Attended
from imagegen.execute.outcome import Event
from imagegen.execute.reach import Patience
from imagegen.execute.sharing import Sharing
from imagegen.plan.freshness import PLACEHOLDER
from imagegen.plan.output import ONE_OFF
from imagegen.project import JobPlan, Project

__all__ = ["have_all_wait", "push"]

_PATIENCE = Patience(last_s=1e6)
"""As long as each image arrives, nobody is in a hurry."""


def have_all_wait(project: Project, plans: list[JobPlan]) -> int:
    """Note down all that may go up, as what has yet to; how many images. The caller holds the mutex. Raises OSError."""
    waiting = set(project.pending.all())
    found = {*_made(project), *_accepted(project, plans)}
    if more := sorted(found - waiting):
        project.pending.add(more)
    project.pending.resume()
    return len(found | waiting)


def push(project: Project, tell: Callable[[Event], None]) -> tuple[int, bool]:
    """Send what waits; how many have yet to go up, and whether the user stopped it, by Ctrl-C.

    tell: called with what there is to say.
    """
    attended = Attended(tell)
    sharing = Sharing(project, attended.put, attended.stop, is_brief=True, patience=_PATIENCE)
    attended.do(sharing.close)
    return sharing.unsent, attended.stop.is_set()


def _made(project: Project) -> Iterator[tuple[str, str]]:
    """What backends returned for jobs, but for stand-ins, as far as the local store has it still."""
    for entry in project.store.all_entries():
        is_of_job = not entry.name.startswith(f"{ONE_OFF}:") and entry.request.get("backend") != PLACEHOLDER
        if is_of_job and entry.is_made and project.store.has(entry.sha256):
            yield entry.fingerprint, entry.sha256


def _accepted(project: Project, plans: list[JobPlan]) -> Iterator[tuple[str, str]]:
    """The files that were accepted for what the images are asked for now."""
    for plan in plans:
        for output in plan.outputs:
            sha256 = project.accepted(project.with_origins(output))
            if sha256 and project.store.has(sha256):
                yield "", sha256
