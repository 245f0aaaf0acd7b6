"""Runs of doit in a project: `ProjectFolder.doit`, which forks them all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tests.project_folder import ProjectFolder, Run

__all__ = ["ForkedDoit", "forked_doit"]

ForkedDoit = Callable[..., Run]


@contextlib.contextmanager
def forked_doit(project: ProjectFolder) -> Iterator[ForkedDoit]:
    """Yield what runs doit in the project."""
    yield project.doit
