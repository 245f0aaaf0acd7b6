"""Removing outputs: only what this build wrote and nobody changed, and nothing that could not be brought back."""

from __future__ import annotations

from dataclasses import dataclass

from imagegen.execute.keeping import keep
from imagegen.plan.output import Output
from imagegen.project import Project

__all__ = ["Removal", "clean", "look"]


@dataclass(frozen=True)
class Removal:
    """What cleaning one output means. removes: its file. forgets: its lines in the lock file. said: for a person."""

    removes: bool
    forgets: bool
    said: str


def look(project: Project, output: Output) -> Removal:
    """What `clean` would do. Raises OSError."""
    state = project.hashes.state(output.path)
    known = output.path in project.lock(output.job).lines
    if state is None:
        return Removal(False, known, f"{output.path} is not there")
    if state.is_pointer:
        return Removal(False, False, f"keep {output.path}: a Git LFS pointer, whose content is not here to bring back")
    if project.lock(output.job).owns(output.path, state.sha256):
        return Removal(True, True, f"remove {output.path}")
    why = "changed by hand" if known else "not made by this build"
    return Removal(False, False, f"keep {output.path}: {why}")


def clean(project: Project, output: Output) -> Removal:
    """Remove the output's file where that is right; its lines are left to the caller. Raises OSError."""
    removal = look(project, output)
    if removal.removes:
        keep(project, output)
        (project.root / output.path).unlink()
    return removal
