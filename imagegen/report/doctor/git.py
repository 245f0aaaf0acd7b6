"""What git does with this project: how it merges lock files, and whether Git LFS has fetched the images."""

from __future__ import annotations

from collections.abc import Iterator

from imagegen.backends.base import Diagnosis
from imagegen.project.git import git_attribute, git_top
from imagegen.report.console import counted
from imagegen.report.doctor.case import Case
from imagegen.state.lockfile import ATTRIBUTES

__all__ = ["git", "lfs"]


def git(case: Case) -> Iterator[Diagnosis]:
    """A row on the merging of lock files, where the project is in a git repository."""
    root = case.project.root
    if git_top(root) is None:
        return
    merge = git_attribute(root, "merge", "jobs/x.lock")
    if merge is None:
        yield Diagnosis(
            True, "git", "does not say how it merges lock files", "look at it: git check-attr merge jobs/x.lock"
        )
    elif merge != "union":
        hint = f"echo '{ATTRIBUTES}' >> .gitattributes"
        path = root / ".gitattributes"
        if path.is_file() and not path.read_bytes().endswith(b"\n"):  # echo would go on in its last line
            hint = f"add this line at the end of .gitattributes: {ATTRIBUTES}"
        yield Diagnosis(True, "git", "merges lock files with conflict markers", hint)
    else:
        yield Diagnosis(True, "git", "merges lock files by keeping the lines of both sides")


def lfs(case: Case) -> Iterator[Diagnosis]:
    """A row where outputs are still Git LFS pointers: they count as the files, but nobody can look at them."""
    states = [case.project.hashes.state(output.path) for output, _ in case.verdicts]
    pointers = sum(state is not None and state.is_pointer for state in states)
    if pointers:
        found = f"{counted(pointers, 'image')} of {len(states)} not fetched: the files are pointers"
        yield Diagnosis(True, "Git LFS", found, "git lfs pull")
