"""Sending up all that was made here, also before there was a shared store."""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.execute.attended import Attended
from imagegen.execute.reach import Patience
from imagegen.execute.sharing import Sharing
from imagegen.plan.freshness import PLACEHOLDER
from imagegen.plan.output import ONE_OFF
from imagegen.project import JobPlan, Project

__all__ = ["push"]

_PATIENCE = Patience(last_s=1e6)
"""As long as each image arrives, nobody is in a hurry."""


def push(project: Project, plans: list[JobPlan], attended: Attended) -> tuple[int, Sharing]:
    """Begin to send all that may go up; how many images that is, and what to close to wait for them.

    It is noted down first as what has yet to go up. The caller holds the mutex, but not when it closes. Raises OSError.
    """
    waiting = set(project.pending.all())
    found = {*_made(project), *_accepted(project, plans)}
    if more := sorted(found - waiting):
        project.pending.add(more)
    project.pending.resume()
    sharing = Sharing(project, attended.put, attended.stop, is_brief=True, patience=_PATIENCE)
    return len(found | waiting), sharing


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
