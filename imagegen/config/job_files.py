"""Which files in jobs/ are jobs, what doit calls each, and which are none though they look like one."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from imagegen.errors import Problem, printable

__all__ = ["JOB_NAME", "JOB_SUFFIXES", "copied_from", "job_files", "stray_files", "stray_names", "task_names"]

JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
JOB_SUFFIXES = (".yaml", ".yml", ".json")
_BESIDE = (".lock", ".md", ".markdown", ".csv", ".txt", ".png", ".jpg", ".jpeg", ".webp", ".svg", ".py", ".schema.json")
"""Endings of what nobody takes for a job."""
_BACKUPS = re.compile(r"(?i).*(?:~|\.bak|\.backup|\.old|\.orig|\.rej|\.save|\.swp|\.tmp|\.part)|#.*#|\._.*")
_HIDDEN_TOOLS = re.compile(r"\.(?:git.*|keep|DS_Store|directory|editorconfig|.*\.sw[a-p]|.*\.tmp|#.*)")
_LOOKS_LIKE_A_JOB = re.compile(r"(?i)\.(?:ya?ml|json)|\.(?:ya?m|yml|jso)[a-z0-9]*$")
_HAS_ITEMS = re.compile(rb"^(?:items|source):|\"(?:items|source)\"\s*:", re.MULTILINE)
_COPY_MARKS = re.compile(
    r"""(?ix) [ ]?[(\[] (?: .*(?:conflict|konflikt|conflit).* | \d+                  # Dropbox, Nextcloud, Drive
                  | .*\b(?:copy|kopie|copie|copia)(?:[ ]\d+)? ) [)\]]
    | \.sync-conflict-[\w-]+                                                             # Syncthing
    | [ _-](?:-[ ])?(?:copy|kopie|copie|copia)(?:[ _-]?(?:\d+|\(\d+\)))?                  # Finder, Explorer
    | [ ]\d+                                                                             # iCloud
    | -(?:DESKTOP|LAPTOP|WIN|PC)-[A-Z0-9]{4,}(?:-\d+)?                                    # OneDrive
    | -[\w-]*(?:MacBook|iMac)[\w-]* | [ _-]conflict(?:ed)?[\w -]*"""
)
_COPY_OF = re.compile(r"(?i)(?:copy of|kopie von|copie de|copia de|copia di) ")
"""What sync tools and file managers put behind the name of a file that they copy."""


def job_files(root: Path) -> list[Path]:
    """The job files of a project, sorted by name.

    None are hidden files, those in folders of `jobs/`, and those whose name begins with `_`, which other jobs extend.
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


def task_names(files: Sequence[Path], reserved: Collection[str]) -> dict[Path, str]:
    """What doit calls each job: its name; its file where the name is taken or can be none."""
    names: dict[Path, str] = {}
    first: dict[str, Path] = {}
    for path in sorted(files, key=lambda path: JOB_SUFFIXES.index(path.suffix)):
        first.setdefault(path.stem, path)
    for path in files:
        usable = path.stem not in reserved and JOB_NAME.fullmatch(path.stem) and first[path.stem] == path
        names[path] = path.stem if usable else printable(f"jobs/{path.name}".replace("=", "-").replace("\n", " "))
    return names


def copied_from(name: str, others: Collection[str]) -> str:
    """The job among the others that this one is a copy of, as a sync tool or a file manager names one; may be empty."""
    if (begin := _COPY_OF.match(name)) and name[begin.end() :] in others:
        return name[begin.end() :]
    originals = (other for other in others if other != name and name.startswith(other))
    return max((other for other in originals if _COPY_MARKS.fullmatch(name, len(other))), key=len, default="")


def stray_files(root: Path, extended: Collection[str] = ()) -> list[Problem]:
    """Files in `jobs/` that are not built, though somebody may think so; each with what to do.

    extended: files that jobs extend, by their path from the project's folder.
    """
    found = [Problem(f"jobs/{printable(name)}", why, fix) for name in stray_names(root) for why, fix in [_stray(name)]]
    for folder in sorted(path for path in (root / "jobs").glob("*/")):
        found += _in_folder(folder, extended)
    return sorted(found)


def stray_names(root: Path) -> list[str]:
    """The names of those that are not in a folder, without opening any."""
    try:
        with os.scandir(root / "jobs") as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if _stray(name)[0])


def _stray(name: str) -> tuple[str, str]:
    """Why a file of `jobs/` is not built, and what to do; empty for a job, and where nobody would take it for one."""
    ending = name[name.rfind(".") :].lower() if "." in name[1:] else ""
    if name.startswith("_") or name.endswith(_BESIDE) or _HIDDEN_TOOLS.fullmatch(name):
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


def _in_folder(folder: Path, extended: Collection[str]) -> Iterator[Problem]:
    """Files that look like jobs, in a folder of `jobs/`."""
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
                has_items = path.is_file() and _HAS_ITEMS.search(file.read(1024 * 1024))
        except OSError:
            continue
        if has_items:
            what = "is not built: jobs are files in jobs/ itself"
            yield Problem(name, what, "move it up; or begin its name with _ if jobs are to extend it")
