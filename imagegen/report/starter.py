"""What `imagegen init` says: a line a file, what git will keep out of a clone, and the next command to type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from imagegen.project.git import git_top, ignore_rules
from imagegen.report.console import table
from imagegen.starter import Step, takes_our_tasks

__all__ = ["init_lines"]


def init_lines(root: Path, steps: Sequence[Step]) -> list[str]:
    """The report on what was done in the folder."""
    lines = table([(step.state, step.path, step.note) for step in steps])
    if warnings := list(_warnings(root, steps)):
        lines += ["", *warnings]
    done = "" if any(step.writes for step in steps) else "Nothing to add. "
    return [*lines, "", f"{done}Next: {_next(root, steps)}"]


def _warnings(root: Path, steps: Sequence[Step]) -> Iterator[str]:
    if git_top(root) is None:
        yield "This folder is not in a git repository yet. Run git init to keep jobs, images and lock files together."
        return
    if above := _project_above(root, steps):
        yield f"{above} is a project already; this folder is now a second, separate one."
    (job,) = (step.path for step in steps if step.path.startswith("jobs/"))
    jobs = "jobs/x.yaml" if job == "jobs/" else job
    others = [step.path for step in steps if step.path != job]
    for path, rule in (ignore_rules(root, [*others, jobs, str(Path(jobs).with_suffix(".lock"))]) or {}).items():
        what = f"{path}: git ignores it by the rule {rule}"
        if path.endswith(".lock"):
            what = (
                f"jobs/*.lock: git ignores lock files by the rule {rule}, and a clone can't tell what made its images"
            )
        yield f"{what}\n    {rule.hint}"


def _project_above(root: Path, steps: Sequence[Step]) -> str:
    """The dodo.py with our tasks in a folder above, where this folder got one of its own; else empty."""
    top = git_top(root)
    if top is None or not any(step.path == "dodo.py" and step.state == "created" for step in steps):
        return ""
    above = [folder / "dodo.py" for folder in root.parents if folder.is_relative_to(top)]
    with suppress(SyntaxError, OSError):
        return next((os.path.relpath(path, root) for path in above if path.is_file() and takes_our_tasks(path)), "")
    return ""


def _next(root: Path, steps: Sequence[Step]) -> str:
    dodo = next(step for step in steps if step.path == "dodo.py")
    if dodo.state == "left":
        return f"correct dodo.py as above, then: {_doit(root)}"
    return _doit(root)


def _doit(root: Path) -> str:
    """doit as it is to be called here: the one of this Python, by its path where another or none is found first."""
    own = shutil.which("doit", path=str(Path(sys.executable).parent))
    if own is None:
        return f"{shlex.quote(sys.executable)} -m doit"
    found = shutil.which("doit")
    if found and os.path.realpath(found) == os.path.realpath(own):
        return "doit"
    inside = Path(own).is_relative_to(root)
    return shlex.quote(os.path.relpath(own, root) if inside else own)
