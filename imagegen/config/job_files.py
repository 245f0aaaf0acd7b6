"""The files in jobs/: which are jobs, what doit calls each, what they extend, and which only look like jobs."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagegen.config.document import Document, Location
from imagegen.errors import ImagegenError, InputError, Problem, printable

__all__ = [
    "JOB_NAME",
    "JOB_SUFFIXES",
    "find_job_files",
    "find_original",
    "find_stray_files",
    "list_stray_names",
    "name_tasks",
    "resolve_extends",
]


JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
JOB_SUFFIXES = (".yaml", ".yml", ".json")
_NON_JOB_SUFFIXES = (
    ".lock",
    ".review",
    ".md",
    ".markdown",
    ".csv",
    ".txt",
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".avif",
    ".svg",
    ".py",
    ".schema.json",
)
"""Of files in jobs/ that nobody would take for a job."""
_BACKUPS = re.compile(r"(?i).*(?:~|\.bak|\.backup|\.old|\.orig|\.rej|\.save|\.swp|\.tmp|\.part)|#.*#|\._.*")
_HIDDEN_TOOLS = re.compile(r"\.(?:git.*|keep|DS_Store|directory|editorconfig|.*\.sw[a-p]|.*\.tmp|#.*)")
_LOOKS_LIKE_A_JOB = re.compile(r"(?i)\.(?:ya?ml|json)|\.(?:ya?m|yml|jso)[a-z0-9]*$")
# not compiled here: a run with nothing to do does without
_HAS_ITEMS = rb"(?m)^(?:items|source):|\"(?:items|source)\"\s*:"
_COPY_MARKS = r"""(?ix)
      [ ]?[(\[] (?: .*(?:conflict|konflikt|conflit).* | \d+                                 # Dropbox, Nextcloud, Drive
                  | .*\b(?:copy|kopie|copie|copia)(?:[ ]\d+)? ) [)\]]
    | \.sync-conflict-[\w-]+                                                             # Syncthing
    | [ _-](?:-[ ])?(?:copy|kopie|copie|copia)(?:[ _-]?(?:\d+|\(\d+\)))?                  # Finder, Explorer
    | [ ]\d+                                                                             # iCloud
    | -(?:DESKTOP|LAPTOP|WIN|PC)-[A-Z0-9]{4,}(?:-\d+)?                                    # OneDrive
    | -[\w-]*(?:MacBook|iMac)[\w-]* | [ _-]conflict(?:ed)?[\w -]*"""
_COPY_OF = r"(?i)(?:copy of|kopie von|copie de|copia de|copia di) "
"""What sync tools and file managers put before the name of a file that they copy."""


def find_job_files(root: Path) -> list[Path]:
    """Return the job files of a project, sorted by name.

    Hidden files are left out, and files in folders, and those whose name begins with `_`, which other jobs extend.
    """
    try:
        with os.scandir(root / "jobs") as entries:
            names = [
                entry.name
                for entry in entries
                # a link that leads nowhere is a broken job
                if not entry.name.startswith((".", "_")) and (entry.is_file() or not entry.is_dir())
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [root / "jobs" / name for name in sorted(names) if name.endswith(JOB_SUFFIXES)]


def name_tasks(files: Sequence[Path], reserved: Collection[str]) -> dict[Path, str]:
    """Return what doit calls each job: its name, or its file if the name is taken or not valid."""
    names: dict[Path, str] = {}
    first: dict[str, Path] = {}
    for path in sorted(files, key=lambda path: JOB_SUFFIXES.index(path.suffix)):
        first.setdefault(path.stem, path)
    for path in files:
        usable = path.stem not in reserved and JOB_NAME.fullmatch(path.stem) and first[path.stem] == path
        names[path] = path.stem if usable else printable(f"jobs/{path.name}".replace("=", "-").replace("\n", " "))
    return names


def find_original(name: str, others: Collection[str]) -> str:
    """Return which of the others a job is a copy of, by the names that sync tools and file managers give; or ''."""
    if (begin := re.match(_COPY_OF, name)) and name[begin.end() :] in others:
        return name[begin.end() :]
    beginnings = (name[:end] for end in range(len(name) - 1, 0, -1))  # not the others: there may be thousands
    originals = (one for one in beginnings if one in others and re.fullmatch(_COPY_MARKS, name[len(one) :]))
    return next(originals, "")


def find_stray_files(root: Path, extended: Collection[str] = ()) -> list[Problem]:
    """Return the files in `jobs/` that are not built, though somebody may think so; each with what to do.

    Args:
        root: the project's folder.
        extended: files that jobs extend, by their path from there.
    """
    found = [
        Problem(f"jobs/{printable(name)}", why, fix)
        for name in list_stray_names(root)
        for why, fix in [_explain_stray(name)]
    ]
    for folder in sorted(path for path in (root / "jobs").glob("*") if path.is_dir()):
        found += _find_in_folder(folder, extended)
    return sorted(found)


def list_stray_names(root: Path) -> list[str]:
    """Return the names of those that are not in a folder, without opening any."""
    try:
        with os.scandir(root / "jobs") as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if _explain_stray(name)[0])


def _explain_stray(name: str) -> tuple[str, str]:
    """Return why a file is not built, and what to do; empty for a job and for what nobody would take for one."""
    ending = name[name.rfind(".") :].lower() if "." in name[1:] else ""
    if name.startswith("_") or name.endswith(_NON_JOB_SUFFIXES) or _HIDDEN_TOOLS.fullmatch(name):
        return "", ""
    if name.endswith(JOB_SUFFIXES) and name[0] not in ".#":
        return "", ""
    if _BACKUPS.fullmatch(name):
        return "is not built: it is a backup", "delete it, or move it out of jobs/"
    if name.startswith("."):
        is_job = name.endswith(JOB_SUFFIXES)
        return ("is not built: its name begins with a dot", "rename it") if is_job else ("", "")
    if ending in JOB_SUFFIXES:
        return "is not built: its ending is not in lower case", f"rename it to {name[: -len(ending)]}{ending}"
    if _LOOKS_LIKE_A_JOB.search(name):
        return "is not built: a job ends in .yaml, .yml or .json", "rename it, or move it out of jobs/"
    return "is not a job: a job ends in .yaml, .yml or .json", "rename it, or move it out of jobs/"


def _find_in_folder(folder: Path, extended: Collection[str]) -> Iterator[Problem]:
    """Yield the files in a folder of `jobs/` that look like jobs."""
    if folder.name.startswith(("_", ".")):
        return
    if folder.name.endswith(JOB_SUFFIXES):
        yield Problem(f"jobs/{folder.name}", "is not built: it is a folder", "rename it, or move it out of jobs/")
    for path in sorted(folder.glob("*")):
        name = f"jobs/{folder.name}/{path.name}"
        if name in extended or path.name.startswith(("_", ".")) or not path.name.endswith(JOB_SUFFIXES):
            continue
        try:
            with path.open("rb") as file:
                has_items = path.is_file() and re.search(_HAS_ITEMS, file.read(1024 * 1024))
        except OSError:
            continue
        if has_items:
            what = "is not built: jobs are files in jobs/ itself"
            yield Problem(name, what, "move it up; if other jobs extend it, begin its name with _")


def resolve_extends(document: Document, read: Callable[[str, str], Document]) -> Document:
    """Merge everything that a document extends into it. A key that is `null` takes out that of its bases.

    Mappings are merged key by key; any other value, lists included, is replaced by the nearer one. Each value keeps
    the position where it really is. An `extends` that is not valid is left for the checks.

    Args:
        document: of a job.
        read: reads a base, by its path from `jobs/` and the location that names it; raises ImagegenError.

    Raises:
        ImagegenError: with every problem of the bases.
    """
    if not isinstance(document.values, dict) or _read_names(document.values.get("extends")) is None:
        return document
    return _merge_bases(document, read, (document.name,))


def _merge_bases(document: Document, read: Callable[[str, str], Document], above: tuple[str, ...]) -> Document:
    """Merge a document with its bases. above: the files that led here, from the job to the document's own."""
    merged: Document | None = None
    problems: list[Problem] = []
    for index, name in enumerate(_read_names(document.values.get("extends")) or ()):
        where = document.where(("extends", index))
        try:
            base = _read_base(name, where, read, above)
        except ImagegenError as error:
            problems += error.problems
        else:
            merged = base if merged is None else _merge_documents(base, merged)  # the later one is nearer
    if problems:
        raise InputError(*dict.fromkeys(problems))
    own = replace(document, values={key: value for key, value in document.values.items() if key != "extends"})
    return own if merged is None else _merge_documents(own, merged)


def _read_base(name: str, where: str, read: Callable[[str, str], Document], above: tuple[str, ...]) -> Document:
    path = posixpath.normpath(name)
    if path.startswith(("/", "..")) or "\\" in name:
        raise InputError(Problem(where, f"extends: '{name}' leads out of jobs/", "give its path from jobs/"))
    if not path.endswith(JOB_SUFFIXES):
        what = f"extends: '{name}' must end in one of {', '.join(JOB_SUFFIXES)}"
        raise InputError(Problem(where, what))
    if (file := f"jobs/{path}") in above:
        circle = " → ".join((*above[above.index(file) :], file))
        raise InputError(Problem(where, f"extends: comes back to {file}: {circle}", "break the circle"))
    base = read(path, where)
    if not isinstance(base.values, dict):
        raise InputError(Problem(base.where(()), "a file that a job extends is a mapping of keys"))
    if "extends" in base.values and _read_names(base.values["extends"]) is None:
        what = "extends: expected a file, or a list of files, their paths from jobs/"
        raise InputError(Problem(base.where(("extends",)), what))
    return _merge_bases(base, read, (*above, file))


def _read_names(value: object) -> list[str] | None:
    """Return the files that `extends` names; None if it is neither a name nor a list of names."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        return None
    return names


def _merge_documents(near: Document, far: Document) -> Document:
    """Merge two documents into one with the nearer one's name; what comes from the other keeps its file."""
    taken: set[Location] = set()
    out = {key for key in far.values if key in near.values and near.values[key] is None}
    values = _merge_mappings(_leave_out(out, near.values), _leave_out(out, far.values), (), taken)
    marks = dict(near.marks)
    files = dict(near.files)
    for path, mark in far.marks.items():
        if any(path[:length] in taken for length in range(1, len(path) + 1)):
            marks[path] = mark
            files[path] = far.files.get(path, far.name)
    return replace(near, values=values, marks=marks, files=files)


def _leave_out(keys: set[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def _merge_mappings(
    near: Mapping[str, Any], far: Mapping[str, Any], above: Location, taken: set[Location]
) -> dict[str, Any]:
    """Merge two mappings, the farther one's keys first. taken: gets the location of what only that one has."""
    values: dict[str, Any] = {}
    for key in [*far, *(key for key in near if key not in far)]:
        if key not in near:
            taken.add((*above, key))
            values[key] = far[key]
        elif isinstance(near[key], dict) and isinstance(far.get(key), dict):
            values[key] = _merge_mappings(near[key], far[key], (*above, key), taken)
        else:
            values[key] = near[key]
    return values
