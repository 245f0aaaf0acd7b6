"""The snapshot of a project after a run: which outputs were fresh, and how each file was that this follows from.

Its first line is compared in every run, and made so that this takes little more than a look at each file. The other
lines have the details, which are read only if something changed or somebody asks for an output by name.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from imagegen import __version__
from imagegen.state.atomic import replace_file
from imagegen.state.details import Details, JobDetails
from imagegen.state.hashes import TICK_NS, StatKey, is_conclusive

__all__ = [
    "FreshJob",
    "Snapshot",
    "SnapshotFiles",
    "count_fresh",
    "package_mtime_ns",
    "read_snapshot",
    "snapshot_file",
    "snapshot_key",
    "write_snapshot",
]

VERSION = 6


@dataclass(frozen=True)
class FreshJob:
    """A job's outputs that are fresh."""

    task: str  # its name in doit
    description: str
    count: int
    details: JobDetails

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The line of each in `doit list`, by its slug."""
        notes = self.details.notes
        return {slug: f"{path} ({notes[slug]})" if slug in notes else path for slug, path in self.details.fresh()}


@dataclass(frozen=True)
class Snapshot:
    """A project after a run."""

    key: str  # of `snapshot_key`
    jobs: tuple[FreshJob, ...]
    files: SnapshotFiles  # by path relative to the project
    details: Details = field(default_factory=Details)
    changed: tuple[str, ...] = ()  # the files that changed since
    outdated: frozenset[str] = frozenset()  # files of which it says nothing any more

    def known_files(self) -> dict[str, StatKey | None]:
        """Return the files that it still says something of."""
        return {path: known for path, known in self.files.items() if path not in self.outdated}

    @property
    def is_up_to_date(self) -> bool:
        """Whether there is nothing to plan: all was fresh, and no file has changed."""
        return not (self.changed or any(job.unfinished for job in self.details.jobs.values()))


def snapshot_file(root: Path) -> Path:
    """Return the file that has a project's snapshot."""
    return root / ".imagegen" / "cache" / "snapshot.json"


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
    """Return the names of what may be a job, or look like one, and of lock files without a job.

    That is all but what tools hide, and the lock files of jobs, which runs write; one-off images have `image.lock`.
    """
    try:
        names = os.listdir(root / "jobs")  # noqa: PTH208 - only names are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    jobs = (".yaml", ".yml", ".json")
    hidden = (".#", "#")  # Emacs's, as is a name that ends in ~
    locks = {f"{name.rpartition('.')[0]}.lock" for name in names if name.endswith(jobs) and name[0] != "_"}
    locks.add("image.lock")
    return sorted(
        name
        for name in names
        if name not in locks
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


_last_look: tuple[Path, bytes, list[str]] | None = None
"""What `count_fresh` found: the project, the first line of its snapshot, and the files that have changed."""


def count_fresh(root: Path) -> int | None:
    """Return how many outputs the project has, if all of them are known to be fresh; else None.

    For `doit` alone: without variables of the command line.
    """
    global _last_look
    try:
        with snapshot_file(root).open("rb") as file:
            first = file.readline()
        header = json.loads(first)
        if header["version"] != VERSION or header["is_unfinished"]:
            return None
        if header["key"] != snapshot_key(root, {}, header["environment"]):
            return None
        if changed := _find_changed(root, header["folders"]):
            _last_look = root, first.rstrip(b"\n"), changed
            return None
        return int(sum(count for _, _, count in header["jobs"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def read_snapshot(root: Path, key: str) -> Snapshot | None:
    """Return what was fresh, and which files have changed since; None if nothing is known under this key."""
    global _last_look
    looked, _last_look = _last_look, None
    try:
        first, _, rest = snapshot_file(root).read_bytes().partition(b"\n")
        header = json.loads(first)
        if header["version"] != VERSION or header["key"] != key or header["checksum"] != zlib.crc32(rest):
            return None
        details = Details.load(rest)
        of_task = {job.task: job for job in details.jobs.values()}
        is_known = looked is not None and looked[:2] == (root, first)  # a moment ago, by this process
        return Snapshot(
            key,
            tuple(FreshJob(task, description, count, of_task[task]) for task, description, count in header["jobs"]),
            SnapshotFiles(header["folders"]),
            details,
            tuple(looked[2] if looked and is_known else _find_changed(root, header["folders"])),
        )
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return None


class SnapshotFiles(Mapping[str, "StatKey | None"]):
    """The keys of files by path, as a snapshot keeps them: folder by folder, unpacked when they are asked for.

    packed: by folder, the names of its files, and their keys.
    """

    def __init__(self, packed: Mapping[str, tuple[str, str]]) -> None:
        self._packed = dict(packed)
        self._unpacked: dict[str, dict[str, StatKey | None]] = {}
        self.added: list[StatKey] = []
        """Keys of which nobody knows yet whether they would show another change."""

    def __getitem__(self, path: str) -> StatKey | None:
        folder, _, name = path.rpartition("/")
        return self._unpack(folder)[name]

    def __iter__(self) -> Iterator[str]:
        return (_path(folder, name) for folder, (names, _) in self._packed.items() for name in names.split("/"))

    def __len__(self) -> int:
        return sum(names.count("/") + 1 for names, _ in self._packed.values())

    def replaced(self, outdated: Iterable[str], new: Mapping[str, StatKey | None]) -> SnapshotFiles:
        """Return these files without some, and with others. Raises OverflowError: a time that no file system keeps."""
        folders: dict[str, dict[str, StatKey | None]] = {}
        for path in (*outdated, *new):
            folder, _, name = path.rpartition("/")
            files = folders.get(folder)
            if files is None:
                files = folders[folder] = dict(self._unpack(folder)) if folder in self._packed else {}
            if path in new:
                files[name] = new[path]
            else:
                files.pop(name, None)
        packed = {folder: ("/".join(files), _pack(files.values())) for folder, files in folders.items()}
        found = SnapshotFiles({folder: one for folder, one in {**self._packed, **packed}.items() if one[0]})
        found.added = [key for key in new.values() if key]
        return found

    def packed(self) -> Mapping[str, tuple[str, str]]:
        """Return them as they are kept."""
        return self._packed

    def _unpack(self, folder: str) -> Mapping[str, StatKey | None]:
        if folder not in self._unpacked:
            names, packed = self._packed[folder]
            self._unpacked[folder] = dict(zip(names.split("/"), _unpack(packed), strict=True))
        return self._unpacked[folder]


def write_snapshot(root: Path, snapshot: Snapshot, environment: Iterable[str], temporary: Path) -> bool:
    """Write the snapshot; return whether it was written. Raises OSError.

    A file that was written within the last tick of the clock could be changed again without its times showing it; a
    run that has just written some waits for the tick to pass. One that has changed since is seen by the next run.
    """
    added = snapshot.files.added
    if not all(map(is_conclusive, added)):
        time.sleep(TICK_NS / 1e9 + 0.001)
        if not all(map(is_conclusive, added)):
            return False
    details = snapshot.details.dump()
    header = {
        "version": VERSION,
        "key": snapshot.key,
        "environment": sorted(environment),
        "jobs": [(job.task, job.description, job.count) for job in snapshot.jobs],
        "is_unfinished": any(job.unfinished for job in snapshot.details.jobs.values()),
        "folders": snapshot.files.packed(),
        "checksum": zlib.crc32(details),
    }
    data = json.dumps(header, separators=(",", ":")).encode("utf-8") + b"\n" + details
    with suppress(OSError):
        if snapshot_file(root).read_bytes() == data:  # as after each run that leaves something as it is
            return True
    replace_file(snapshot_file(root), data, temporary)
    return True


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


_ABSENT = (0, -1, 0, -1)
"""In place of the key of a file that is not there."""


def _pack(keys: Iterable[StatKey | None]) -> str:
    """Pack the keys of a folder's files: first all sizes and inodes, then all times. Raises OverflowError."""
    sizes, times = array("Q"), array("q")
    for size, mtime_ns, inode, ctime_ns in (key or _ABSENT for key in keys):
        sizes.extend((size, inode))
        times.extend((mtime_ns, ctime_ns))
    return base64.b64encode(sizes.tobytes() + times.tobytes()).decode()


def _unpack(packed: str) -> list[StatKey | None]:
    data = base64.b64decode(packed)
    sizes, times = array("Q", data[: len(data) // 2]), array("q", data[len(data) // 2 :])
    keys = zip(sizes[::2], times[::2], sizes[1::2], times[1::2], strict=True)
    return [None if key == _ABSENT else key for key in keys]


def _find_changed(root: Path, folders: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files that are not as they were, in the order of the snapshot. Raises OSError."""
    changed: list[str] = []
    for folder, (names, packed) in folders.items():
        found = _look(root, folder, names.split("/"))
        if found != packed:
            pairs = zip(names.split("/"), _unpack(found), _unpack(packed), strict=True)
            changed += (_path(folder, name) for name, now, before in pairs if now != before)
    return changed


def _look(root: Path, folder: str, names: Sequence[str]) -> str:
    """Return the keys of a folder's files as they are now, packed. Raises OSError.

    It looks at each output in every run: by its name in the open folder, where the system can, which takes half as long
    as by its path.
    """
    opened: int | None = None
    prefix = ""
    if os.stat in os.supports_dir_fd:
        try:
            opened = os.open(root / folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return _pack([None] * len(names))
    else:
        prefix = os.path.join(root, folder, "")  # noqa: PTH118 - a text
    sizes: list[int] = []
    times: list[int] = []
    stat = os.stat
    try:
        for name in names:
            try:
                found = stat(prefix + name, dir_fd=opened)
            except (FileNotFoundError, NotADirectoryError):
                sizes += (0, 0)
                times += (-1, -1)
            else:
                sizes += (found.st_size, found.st_ino)
                times += (found.st_mtime_ns, found.st_ctime_ns)
    finally:
        if opened is not None:
            os.close(opened)
    try:
        return base64.b64encode(array("Q", sizes).tobytes() + array("q", times).tobytes()).decode()
    except OverflowError:
        return ""
