"""The key of a snapshot: of what a plan follows from besides the files of jobs and outputs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from imagegen import __version__

__all__ = ["package_mtime_ns", "snapshot_key"]


def snapshot_key(root: Path, variables: Mapping[str, str], environment: Iterable[str]) -> str:
    """Return the key of what a plan follows from besides the files of jobs and outputs, settings among it.

    Take it before settings are read and anything is planned: what is added while images are built is in no plan.

    Args:
        root: the project.
        variables: those of the command line.
        environment: the names of the environment's variables that settings come from, but for secrets.

    """
    backends = importlib.metadata.entry_points(group="imagegen.backends")
    plug_ins = sorted(
        (entry.name, entry.value, entry.dist.version if entry.dist else "", _plug_in_mtime_ns(entry.value))
        for entry in backends
    )
    folders = [str(root), os.path.expanduser("~")]  # noqa: PTH111 - models are looked for in them; there may be none
    ours = [__version__, package_mtime_ns(os.path.dirname(os.path.dirname(__file__)))]  # noqa: PTH120 - for speed
    given = [sorted(variables.items()), [(name, os.environ.get(name)) for name in sorted(environment)]]
    pyproject = b""
    with suppress(OSError):
        pyproject = (root / "pyproject.toml").read_bytes()
    key = [ours, folders, given, pyproject, _names_in_jobs(root), plug_ins, _environment() if plug_ins else ""]
    return hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest()


def _names_in_jobs(root: Path) -> list[str]:
    """Return the names of what may be a job, or look like one, and of lock files and review files without a job.

    That is all but what tools hide, and the lock files of jobs, which runs write, and their review files, which decide
    no plan; one-off images have `image.lock`.
    """
    try:
        names = os.listdir(root / "jobs")  # noqa: PTH208 - only names are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    jobs = (".yaml", ".yml", ".json")
    hidden = (".#", "#")  # Emacs's, as is a name that ends in ~
    named = {name.rpartition(".")[0] for name in names if name.endswith(jobs) and name[0] != "_"}
    written = {f"{name}.{ending}" for name in named for ending in ("lock", "review")} | {"image.lock"}
    return sorted(
        name
        for name in names
        if name not in written
        and not name.startswith(hidden)
        and not name.endswith("~")
        and (name[0] != "." or name.endswith(jobs))
    )


def _environment() -> str:
    """Return a hash of the environment, which a plug-in may plan by; without what a shell itself changes."""
    own = {"_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL"}
    found = sorted((name, value) for name, value in os.environ.items() if name not in own)
    return hashlib.sha256(repr(found).encode("utf-8")).hexdigest()


def package_mtime_ns(package: str) -> int:
    """Return when its folders last changed: a package that is installed editable keeps its version over a pull."""
    folders = [package]
    for depth in range(2):
        inner = [entry.path for folder in folders[depth:] for entry in os.scandir(folder) if entry.is_dir()]
        folders += [path for path in inner if not path.endswith("__pycache__") and path not in folders]
    return max(os.stat(folder).st_mtime_ns for folder in folders)  # noqa: PTH116 - for speed


def _plug_in_mtime_ns(entry: str) -> int:
    """Return when a backend's package was last written to: while it is developed, it keeps its version."""
    with suppress(ImportError, ValueError, OSError):  # planning says what is wrong
        spec = importlib.util.find_spec(entry.partition(":")[0].partition(".")[0])
        files = [Path(spec.origin)] if spec and spec.origin and spec.has_location else []
        for folder in (spec and spec.submodule_search_locations) or ():
            files += Path(folder).rglob("*.py")
        return max((file.stat().st_mtime_ns for file in files), default=0)
    return 0
