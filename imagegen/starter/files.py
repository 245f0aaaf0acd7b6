"""The files of a new project: what becomes of each is planned first, so that nothing is written where one cannot be."""

from __future__ import annotations

import ast
import codecs
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagegen.config.job_files import job_files
from imagegen.config.json_schema import WRITTEN_BY
from imagegen.errors import ImagegenError, Problem, not_written
from imagegen.project.schema_file import schema_text
from imagegen.starter.gitfiles import missing_attributes, missing_rules, with_lines
from imagegen.starter.templates import ATTRIBUTE_LINES, DODO, FIRST_JOB, IGNORE_RULES, STAR_IMPORT
from imagegen.state.atomic import replace_file

__all__ = ["Step", "plan_files", "takes_our_tasks", "write_files"]

_SCHEMA = "job.schema.json"
_NAMES = ("icons", "first-icons")
"""Of the first job: the second where the first is taken."""


@dataclass(frozen=True)
class Step:
    """What becomes of one file. data: all of it where it is created, what is appended where it is completed."""

    path: str
    state: Literal["created", "completed", "already there", "left"]
    note: str = ""
    data: bytes = b""

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.state in ("created", "completed")


def plan_files(root: Path) -> list[Step]:
    """What `imagegen init` does in the folder. Raises ImagegenError, with every problem; OSError."""
    problems = list(_obstacles(root))
    if problems:
        raise ImagegenError(*problems)
    steps = [_dodo(root), _first_job(root), _schema(root), _attributes(root), _ignore(root)]
    if problems := list(_not_writable(root, [step.path for step in steps if step.writes])):
        raise ImagegenError(*problems)
    return steps


def write_files(root: Path, steps: Sequence[Step]) -> None:
    """Write what was planned. Raises ImagegenError; what was written before that stays."""
    for step in steps:
        path = root / step.path
        try:
            if step.state == "created":
                replace_file(path, step.data, path.parent)
            elif step.state == "completed":
                with path.open("ab") as file:
                    file.write(step.data)
        except OSError as error:
            raise ImagegenError(not_written(error, path=step.path)) from None


def _obstacles(root: Path) -> Iterator[Problem]:
    """Folders in the place of files, and a file in the place of the jobs' folder."""
    if (root / "jobs").is_symlink() and not (root / "jobs").exists():
        yield Problem("jobs", "is a symbolic link that leads nowhere", "remove it, or create the folder that it names")
    elif (root / "jobs").exists() and not (root / "jobs").is_dir():
        yield Problem("jobs", "is a file, and job files go into a folder of that name", "rename the file")
    for name in ("dodo.py", _SCHEMA, ".gitattributes", ".gitignore"):
        path = root / name
        if path.is_dir():
            yield Problem(name, "is a folder, and a file of that name is needed", "rename the folder")
        elif path.is_symlink() and not path.exists():
            yield Problem(name, "is a symbolic link that leads nowhere", "remove it, or create the file that it names")
        elif path.exists() and not path.is_file():
            yield Problem(name, "is not a regular file", "move it away")


def _not_writable(root: Path, names: Sequence[str]) -> Iterator[Problem]:
    blocked: dict[Path, list[str]] = {}
    for name in names:
        path = root / name
        target = path if path.exists() else next(folder for folder in path.parents if folder.exists())
        if not os.access(target, os.W_OK if target.is_file() else os.W_OK | os.X_OK):
            blocked.setdefault(target, []).append(name)
    for target, held in blocked.items():
        shown = "this folder" if target == root else target.relative_to(root).as_posix()
        what = f"{shown} is read-only" + ("" if held == [shown] else f", and {', '.join(held)} would go there")
        yield Problem("", what, f"make {shown} writable, then try again")


def _dodo(root: Path) -> Step:
    path = root / "dodo.py"
    if not path.exists():
        return Step("dodo.py", "created", "gives doit the tasks of imagegen", DODO.encode("utf-8"))
    try:
        if takes_our_tasks(path):
            return Step("dodo.py", "already there")
    except SyntaxError as error:
        place = ":".join(map(str, filter(None, [error.filename, error.lineno])))
        note = f"{place} is not valid Python: correct it; dodo.py needs the line: {STAR_IMPORT}"
        return Step("dodo.py", "left", note)
    return Step("dodo.py", "left", f"it doesn't import imagegen's tasks: add the line: {STAR_IMPORT}")


def takes_our_tasks(dodo: Path) -> bool:
    """Whether a dodo.py imports our tasks, itself or by a module of the project.

    All of them, that is, or at least what doit needs for the jobs. Raises SyntaxError where a file is not valid Python,
    with its name; OSError.
    """
    pending, seen = [dodo], {dodo}
    while pending:
        names: set[str] = set()
        for module, imported in _imports(pending.pop()):
            if module == "imagegen.tasks":
                names |= imported
            stem = dodo.parent.joinpath(*module.split("."))
            found = {path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()} - seen
            pending += found
            seen |= found
        if "*" in names or names >= {"DOIT_CONFIG", "task_jobs"}:
            return True
    return False


def _imports(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each module that the file imports, with the names it takes from it. Raises SyntaxError, OSError.

    Where it imports our tasks as a module, these are all names that it sets itself; any, where it updates `globals()`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's code
            tree = ast.parse(path.read_bytes(), path.name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error), (path.name, getattr(error, "lineno", 0), 0, "")) from None
    nodes = list(ast.walk(tree))
    set_here = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if any(isinstance(node, ast.Name) and node.id == "globals" for node in nodes):
        set_here.add("*")
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            imported = {alias.name for alias in node.names}
            is_ours = node.module == "imagegen" and "tasks" in imported
            yield from [("imagegen.tasks", set_here)] if is_ours else [(node.module, imported)]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, set_here) for alias in node.names)


def _first_job(root: Path) -> Step:
    if jobs := job_files(root):
        count = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
        return Step("jobs/", "already there", f"{count}, so no first job is added")
    if (root / "jobs").is_symlink():
        return Step("jobs/", "left", "a symbolic link: write your first job there yourself")
    name = next((name for name in _NAMES if _is_free(root, name)), None)
    if name is None:
        return Step("jobs/", "left", f"the names {' and '.join(_NAMES)} are taken: write your first job yourself")
    text = FIRST_JOB.format(name=name)
    return Step(f"jobs/{name}.yaml", "created", "your first job: two icons", text.encode("utf-8"))


def _is_free(root: Path, name: str) -> bool:
    """Whether a job can have the name: no lock file of an earlier one, no images, no task of an own dodo.py."""
    dodo = root / "dodo.py"
    is_task = dodo.exists() and f"task_{name}".encode() in dodo.read_bytes()
    names = os.listdir(root / "jobs") if (root / "jobs").exists() else []  # noqa: PTH208 - names
    is_file = any(found.casefold().startswith(f"{name}.") for found in names)  # some systems take icons.YAML for it
    return not (is_task or is_file or os.path.lexists(root / "assets" / name))


def _schema(root: Path) -> Step:
    path, text = root / _SCHEMA, schema_text()
    if not path.exists():
        return Step(_SCHEMA, "created", "lets your editor complete and check job files", text.encode("utf-8"))
    there = path.read_text("utf-8", "replace")
    if there == text:
        return Step(_SCHEMA, "already there")
    if WRITTEN_BY in there:
        return Step(_SCHEMA, "left", "another version of imagegen wrote it: doit schema brings it up to date")
    return Step(_SCHEMA, "left", "not written by imagegen: doit schema --out PATH writes ours elsewhere")


def _attributes(root: Path) -> Step:
    note = "merges lock files without conflicts"
    return _completed(root, ".gitattributes", ATTRIBUTE_LINES, missing_attributes, note)


def _ignore(root: Path) -> Step:
    return _completed(root, ".gitignore", IGNORE_RULES, missing_rules, "keeps local files out of git")


def _completed(
    root: Path, name: str, lines: Sequence[str], missing: Callable[[str, Sequence[str]], list[str]], note: str
) -> Step:
    path = root / name
    if not path.exists():
        return Step(name, "created", note, with_lines(b"", lines))
    data = path.read_bytes()
    if b"\0" in data or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Step(name, "left", f"git can't read it, since it is not UTF-8: save it as UTF-8, then {_AGAIN}")
    added = missing(data.decode("utf-8", "replace"), lines)
    if not added:
        return Step(name, "already there")
    if path.is_symlink():
        return Step(name, "left", f"a symbolic link, which git does not follow here: make it a file, then {_AGAIN}")
    return Step(name, "completed", f"+ {', '.join(added)}", with_lines(data, added))


_AGAIN = "run imagegen init again"
