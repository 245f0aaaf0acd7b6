"""What a run with nothing to do may skip, and why that is safe.

The rule: when a run ends with every output of the project fresh, it writes a snapshot. A later run compares

- a key of everything that a plan follows from and that is no file: this package, the settings, the backends that are
  installed, the names of the job files (`snapshot_key`);
- the size, times and inode of every file that a plan follows from, of every lock file and of every output;
- the digest of each model that was recorded, where it can be known cheaply.

If all of them are the same, every output is still fresh: freshness is a pure function of just these. So nothing is
read, checked or planned, and doit gets one task per job, and one for each image that is named. If only job files
differ, their items are compared by key, and only the items that are new are planned (`plan_changed`). Whatever is not
sound then, or follows from more than its own item, takes the whole plan.

It is safe because a snapshot is only ever a way to do less: a file counts as the same only if it could not have
been changed without its times showing it, what cannot be compared counts as changed, and a snapshot that is missing,
broken or of another version says nothing. The same goes for the other memory that saves reading, `state.hashes`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from imagegen import __version__
from imagegen.commands.command_line import Invocation, reserved_names
from imagegen.config.job_files import find_job_files, list_stray_names, name_tasks
from imagegen.config.settings import Settings
from imagegen.errors import ImagegenError
from imagegen.state.atomic import replace_file
from imagegen.state.hashes import TICK_NS, StatKey, is_past_tick, stat_key

if TYPE_CHECKING:
    from imagegen.plan.output import Output
    from imagegen.project import JobPlan, Project

__all__ = [
    "FreshJob",
    "JobParts",
    "Snapshot",
    "default_tasks",
    "has_named_images",
    "is_for_whole_jobs",
    "load_snapshot",
    "package_mtime_ns",
    "plan_changed",
    "read_snapshot",
    "snapshot_key",
    "take_snapshot",
    "write_snapshot",
]

VERSION = 4


@dataclass(frozen=True)
class FreshJob:
    """A job's outputs that are fresh."""

    task: str  # its name in doit
    description: str
    outputs: Mapping[str, str]  # the line of each in `doit list`, by its slug


@dataclass(frozen=True)
class JobParts:
    """What a job was planned from."""

    head: str  # the key of everything but its items
    items: Mapping[str, Mapping[str, str]]  # by the key of each: the paths of its outputs by slug


@dataclass(frozen=True)
class Snapshot:
    """A project in which every output is fresh."""

    key: str  # of `snapshot_key`
    jobs: tuple[FreshJob, ...]
    files: Mapping[str, StatKey | None]  # by path relative to the project
    models: tuple[tuple[Mapping[str, Any], tuple[str, ...]], ...] = ()
    """For each model whose digest was recorded, a request that names it, and the digests."""
    parts: Mapping[str, JobParts] = field(default_factory=dict)
    """By job file, of the jobs whose outputs each follow from their own item."""
    changed: tuple[str, ...] = ()  # the job files that changed since

    def keep_items(self, file: str, items: Collection[str]) -> Snapshot:
        """Return what it still says if only the items of these keys are unchanged in a job file."""
        parts = self.parts[file]
        kept = {key: outputs for key, outputs in parts.items.items() if key in items}
        gone = {slug: path for key, outputs in parts.items.items() if key not in kept for slug, path in outputs.items()}
        paths = {file, *gone.values()}
        return replace(
            self,
            jobs=tuple(_without(job, gone) if job.task == Path(file).stem else job for job in self.jobs),
            files={path: known for path, known in self.files.items() if path not in paths},
            parts={**self.parts, file: replace(parts, items=kept)},
        )


def _without(job: FreshJob, slugs: Collection[str]) -> FreshJob:
    return replace(job, outputs={slug: doc for slug, doc in job.outputs.items() if slug not in slugs})


def snapshot_key(root: Path, settings: Settings) -> str:
    """Return the key of everything that a plan follows from and that is not a file of the project.

    Take it before anything is planned: what is added while images are built is in no plan.
    """
    backends = importlib.metadata.entry_points(group="imagegen.backends")
    plug_ins = sorted(
        (entry.name, entry.value, entry.dist.version if entry.dist else "", _plug_in_mtime_ns(entry.value))
        for entry in backends
    )
    names = [path.name for path in find_job_files(root)] + list_stray_names(root)
    folders = [str(root), os.path.expanduser("~")]  # noqa: PTH111 - models are looked for in them; there may be none
    ours = [__version__, package_mtime_ns(Path(__file__).parents[1])]
    return json.dumps([ours, folders, repr(settings), names, plug_ins, _environment() if plug_ins else ""])


def _environment() -> str:
    """Return a hash of the environment, which a plug-in may plan by; without what a shell itself changes."""
    own = {"_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL"}
    found = sorted((name, value) for name, value in os.environ.items() if name not in own)
    return hashlib.sha256(repr(found).encode("utf-8")).hexdigest()


def package_mtime_ns(package: Path) -> int:
    """Return when its folders last changed: a package that is installed editable keeps its version over a pull."""
    folders = [package]
    for depth in range(2):
        inner = [entry.path for folder in folders[depth:] for entry in os.scandir(folder) if entry.is_dir()]
        folders += [Path(path) for path in inner if not path.endswith("__pycache__") and Path(path) not in folders]
    return max(folder.stat().st_mtime_ns for folder in folders)


def _plug_in_mtime_ns(entry: str) -> int:
    """Return when a backend's package was last written to: while it is developed, it keeps its version."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # planning says what is wrong
        spec = importlib.util.find_spec(entry.partition(":")[0].partition(".")[0])
        files = [Path(spec.origin)] if spec and spec.origin and spec.has_location else []
        for folder in (spec and spec.submodule_search_locations) or ():
            files += Path(folder).rglob("*.py")
        return max((file.stat().st_mtime_ns for file in files), default=0)
    return 0


def read_snapshot(root: Path, memory: Path, key: str, may_change: Collection[str] = ()) -> Snapshot | None:
    """Read the snapshot in the file `memory`; None unless it still holds: same key, and no file changed since.

    Args:
        root: the project.
        memory: the snapshot's file.
        key: of `snapshot_key`.
        may_change: job files that may have changed. If none did, `files` and `parts` are left out.

    Whether the models are the same is left to the caller.
    """
    try:
        first, _, second = memory.read_bytes().partition(b"\n")
        found = json.loads(first)
        if found["version"] != VERSION or found["key"] != key:
            return None
        changed: list[str] = []
        for folder, files in found["folders"].items():
            for name in _changed_files(root, folder, files.items()):
                changed.append(_path(folder, name))
                if changed[-1] not in may_change:
                    return None
        jobs = tuple(FreshJob(job["task"], job["description"], job["outputs"]) for job in found["jobs"])
        models = tuple((request, tuple(digests)) for request, digests in found["models"])
        if not changed:
            return Snapshot(key, jobs, {}, models)
        stats = {
            _path(folder, name): known and (known[0], known[1], known[2], known[3])
            for folder, files in found["folders"].items()
            for name, known in files.items()
        }
        parts = {file: JobParts(one["head"], one["items"]) for file, one in json.loads(second).items()}
        return Snapshot(key, jobs, stats, models, parts, tuple(changed))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_snapshot(root: Path, memory: Path, snapshot: Snapshot, temporary: Path) -> bool:
    """Write the snapshot, if each file is still as it says; return whether it was written. Raises OSError.

    A file that was written within the last tick of the clock could be changed again without its times showing it; a
    run that has just written some waits for the tick to pass.
    """
    newest = max((known[1] for known in snapshot.files.values() if known), default=0)
    wait_ns = newest + TICK_NS - time.time_ns()
    if 0 < wait_ns <= TICK_NS:
        time.sleep(wait_ns / 1e9 + 0.001)
    folders: dict[str, dict[str, StatKey | None]] = defaultdict(dict)
    for path, known in snapshot.files.items():
        folder, _, name = path.rpartition("/")
        folders[folder][name] = known
    if not all(is_past_tick(known[1]) for known in snapshot.files.values() if known) or any(
        True for folder, files in folders.items() for _ in _changed_files(root, folder, files.items())
    ):
        return False
    fields = {
        "version": VERSION,
        "key": snapshot.key,
        "jobs": [vars(job) for job in snapshot.jobs],
        "folders": folders,
        "models": snapshot.models,
    }
    parts = {file: vars(one) for file, one in snapshot.parts.items()}
    lines = (json.dumps(one, separators=(",", ":")) for one in (fields, parts))  # the second is read only if needed
    replace_file(memory, "\n".join(lines).encode("utf-8"), temporary)
    return True


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _changed_files(root: Path, folder: str, files: Iterable[tuple[str, Sequence[int] | None]]) -> Iterator[str]:
    """Return the files of the folder that are not as they were. Raises OSError.

    It looks at each output in every run: by its name in the open folder, where the system can, which takes half as long
    as by its path.
    """
    if os.stat not in os.supports_dir_fd:
        yield from (name for name, known in files if stat_key(root / folder / name) != (known and tuple(known)))
        return
    try:
        opened = os.open(root / folder, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        yield from (name for name, known in files if known is not None)
        return
    try:
        for name, known in files:
            try:
                found = os.stat(name, dir_fd=opened)
            except (FileNotFoundError, NotADirectoryError):
                if known is not None:
                    yield name
                continue
            if known is None:
                yield name
                continue
            size, mtime_ns, inode, ctime_ns = known
            if (
                found.st_mtime_ns != mtime_ns
                or found.st_ctime_ns != ctime_ns
                or found.st_size != size
                or found.st_ino != inode
            ):
                yield name
    finally:
        os.close(opened)


def _snapshot_file(root: Path) -> Path:
    return root / ".imagegen" / "cache" / "snapshot.json"


def load_snapshot(root: Path, settings: Settings, invocation: Invocation, key: str) -> Snapshot | None:
    """Return what is known to be fresh: all outputs, or all but those of changed job files; None if nothing is.

    Args:
        root: the project.
        settings: of the project.
        invocation: what doit was asked to do; most commands need to know all of an image.
        key: of `snapshot_key`.

    """
    if _needs_all_images(root, invocation):
        return None
    if invocation.command == "run" and _has_uploads_due(root, settings):
        return None
    may_change = {f"jobs/{path.name}" for path in find_job_files(root)} if invocation.command == "run" else ()
    snapshot = read_snapshot(root, _snapshot_file(root), key, may_change)
    if snapshot is None or not all(_is_same_model(*model) for model in snapshot.models):
        return None
    return snapshot if snapshot.changed or has_named_images(snapshot, invocation) else None


def _needs_all_images(root: Path, invocation: Invocation) -> bool:
    """Return whether this needs all of an image: it lists, forces or cleans some, or other tasks may do so."""
    words = invocation.words
    if _has_other_tasks(root):
        return True
    if invocation.command == "run":
        named = set(words) - set(_named_images(invocation))
        return invocation.always or not named <= set(default_tasks(root))
    return invocation.command != "list" or bool(words)


def _has_other_tasks(root: Path) -> bool:
    """Return whether the dodo file has tasks besides ours, or its own default: they may name images."""
    for name, module in list(sys.modules.items()):
        names = vars(module) if isinstance(module, ModuleType) else {}
        if "task_jobs" in names and not name.startswith("imagegen."):
            creators = [value for name, value in names.items() if name.startswith("task_")]
            default = default_tasks(root)
            config = names.get("DOIT_CONFIG")
            return (
                not all(getattr(one, "__module__", "").startswith("imagegen.tasks.") for one in creators)
                or any(hasattr(one, "create_doit_tasks") for one in names.values())
                or (isinstance(config, dict) and config.get("default_tasks", default) != default)
            )
    return True


def _has_uploads_due(root: Path, settings: Settings) -> bool:
    """Return whether this run has images to upload to the shared store."""
    if not (settings.store and settings.store_writes):
        return False
    from imagegen.state.upload_queue import UploadQueue

    state = root / ".imagegen"
    return UploadQueue(state / "pending.txt", state / "tmp", settings.store).is_due


def _is_same_model(request: Mapping[str, object], digests: Collection[str]) -> bool:
    """Return whether the model of this request is still the one that was recorded, as far as is known."""
    from imagegen.backends.registry import registry
    from imagegen.plan.request import Request

    try:
        asked = Request(**request)  # type: ignore[arg-type]  # as asdict made it
        digest = registry()[asked.backend]().model_identity(asked).digest
    except Exception:  # planning says what is wrong
        return False
    return digest is None or all(known == digest for known in digests)


def default_tasks(root: Path) -> list[str]:
    """Return what `doit` alone selects: every job, and nothing else."""
    return list(name_tasks(find_job_files(root), reserved_names()).values())


def is_for_whole_jobs(root: Path, invocation: Invocation) -> bool:
    """Return whether this invocation builds whole jobs, so that doit needs no task for an image that is fresh."""
    is_run = invocation.command == "run" and not invocation.always
    return is_run and not _has_other_tasks(root) and set(invocation.words) <= set(default_tasks(root))


def has_named_images(snapshot: Snapshot, invocation: Invocation, planned: Collection[str] = ()) -> bool:
    """Return whether each image that is named is fresh, or planned."""
    return all(word in planned or _is_among(snapshot.jobs, word) for word in _named_images(invocation))


def _named_images(invocation: Invocation) -> list[str]:
    """Return the words that may name an image, as `portraits:mallsing`."""
    return [word for word in invocation.words if ":" in word] if invocation.command == "run" else []


def _is_among(jobs: Sequence[FreshJob], word: str) -> bool:
    job, _, slug = word.partition(":")
    return any(slug in one.outputs for one in jobs if one.task == job)


def take_snapshot(
    project: Project, key: str, plans: Sequence[JobPlan], docs: Mapping[str, str], before: Snapshot | None = None
) -> None:
    """Write the snapshot of a project in which every output is fresh now.

    Args:
        project: as it was planned.
        key: of `snapshot_key`, taken before that.
        plans: of all jobs, or of those that `plan_changed` planned.
        docs: the line of each output in `doit list`, by its task.
        before: what was known of the others, if only some were planned.

    Raises:
        OSError: it could not be written.

    """
    known = before or Snapshot("", (), {})
    files = dict(known.files)
    models: dict[str, tuple[Mapping[str, object], set[str]]] = {}
    for request, digests in known.models:
        models[json.dumps(request, sort_keys=True)] = (request, set(digests))
    for plan in plans:
        lock = project.lock(plan.name)
        files[lock.name] = lock.seen
        for output in plan.outputs:
            files[output.path] = project.hashes.first_key(output.path)
            line = lock.line_of(output.path, None)
            if files[output.path] is None:
                return
            if line and line.model_digest:
                # the line knows the model that was decided in this very run
                model = line.request.get("model", "")
                request = {**vars(output.request), "model": model, "prompt": "", "name": "", "seed": 0}
                models.setdefault(json.dumps(request, sort_keys=True), (request, set()))[1].add(line.model_digest)
    files |= project.inputs.stats  # last: they know of lock files that others wrote to
    jobs = {job.task: job for job in known.jobs}
    for plan in plans:
        fresh = {output.slug: docs[output.task] for output in plan.outputs}
        also = jobs[plan.task].outputs if plan.task in jobs else {}
        jobs[plan.task] = FreshJob(plan.task, plan.doc, {**also, **fresh})
    snapshot = Snapshot(
        key,
        tuple(jobs.values()),
        files,
        tuple((request, tuple(sorted(digests))) for request, digests in models.values()),
        _parts(plans, known.parts, project.inputs.named),
    )
    write_snapshot(project.root, _snapshot_file(project.root), snapshot, project.temporary)


def _parts(plans: Sequence[JobPlan], known: Mapping[str, JobParts], named: Collection[str]) -> dict[str, JobParts]:
    """Return the parts of each job whose outputs follow from their own items; none if an output names another.

    named: files that others name. A job file among them is left out: more than its own outputs follow from it.
    """
    if any(origin.where for plan in plans for output in plan.outputs for origin in output.origins):
        return {}
    parts = dict(known)
    for plan in plans:
        if plan.head:
            of_items: dict[str, dict[str, str]] = {key: {} for key in plan.items.values()}
            for output in plan.outputs:
                of_items[plan.items[output.request.name]][output.slug] = output.path
            also = known[plan.file].items if plan.file in known else {}
            parts[plan.file] = JobParts(plan.head, {**also, **of_items})
    return {file: one for file, one in parts.items() if file not in named}


def plan_changed(project: Project, snapshot: Snapshot) -> tuple[list[JobPlan], Snapshot] | None:
    """Plan what changed in the changed job files; return the plans, and what the snapshot still says.

    Only what is sound and follows from one item alone is planned so. None if everything must be planned.
    """
    plans: list[JobPlan] = []
    try:
        # an image may be the same as one of any job, so that all records are wanted as for the whole plan
        locks = [project.lock(job.task) for job in snapshot.jobs]
        for file in snapshot.changed:
            found = _plan(project, file, snapshot)
            if found is None:
                return None
            plan, snapshot = found
            plans.append(plan)
    except ImagegenError:  # the whole plan reports it
        return None
    if any(lock.conflicts for lock in locks) or not _are_apart(project.root, plans, snapshot):
        return None
    return plans, snapshot


def _plan(project: Project, file: str, snapshot: Snapshot) -> tuple[JobPlan, Snapshot] | None:
    from imagegen.config.job_files import hash_items

    parts = snapshot.parts.get(file)
    document = project.planner.document(file, project.inputs.read(file))
    keys = hash_items(document)
    if parts is None or keys is None or keys.head != parts.head or len(set(keys.items)) < len(keys.items):
        return None
    pairs = list(zip(document.values["items"], keys.items, strict=True))
    # a job has one item at least
    changed = [item for item, key in pairs if key not in parts.items] or [pairs[0][0]]
    plan = project.planner.plan_document(replace(document, values={**document.values, "items": changed}))
    if plan.problems or not plan.head or any(output.origins for output in plan.outputs):
        return None
    return plan, snapshot.keep_items(file, set(keys.items).difference(plan.items.values()))


@dataclass(frozen=True)
class _Known:
    """An output of which nothing else is known."""

    path: str


def _are_apart(root: Path, plans: Sequence[JobPlan], snapshot: Snapshot) -> bool:
    """Return whether no planned output has the name or the file of another one, and there are not too many."""
    from imagegen.plan.expansion import MAX_OUTPUTS, find_clashes, find_nested_paths
    from imagegen.plan.output import Output

    fresh = {job.task: job.outputs for job in snapshot.jobs}
    for plan in plans:
        if any(output.slug in fresh[plan.name] for output in plan.outputs):
            return False
        if len(fresh[plan.name]) + len(plan.outputs) > MAX_OUTPUTS:
            return False
    outputs = [output for plan in plans for output in plan.outputs]
    everything: list[_Known | Output] = [*map(_Known, snapshot.files), *outputs]
    real = {folder: os.path.realpath(root / folder) for folder in {one.path.rpartition("/")[0] for one in everything}}
    pairs = [*find_clashes(everything, real), *find_nested_paths(everything, real)]
    return not any(isinstance(one, Output) for pair in pairs for one in pair)
