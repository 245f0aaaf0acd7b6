"""Removing outputs: only what this build wrote and nobody changed, and nothing that could not be brought back."""

from __future__ import annotations

from imagegen.execute.imaging import keep
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["clean"]


def clean(project: Project, output: Output, *, dry_run: bool) -> tuple[bool, str]:
    """Remove one output's file; whether its lines in the lock file are to go too, and what to tell (or nothing).

    Raises OSError.
    """
    state = project.hashes.state(output.path)
    known = output.path in project.lock(output.job).lines
    if state is None:
        return known, ""
    if not project.lock(output.job).owns(output.path, state.sha256):
        return False, f"kept {output.path}: " + ("changed by hand" if known else "this build did not make it")
    if dry_run:
        return False, f"would remove {output.path}"
    keep(project, output)
    (project.root / output.path).unlink()
    return True, f"removed {output.path}"
