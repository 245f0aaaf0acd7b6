"""Whether a build can rest: nothing changed since everything was fresh, and nobody asks for more than that.

Then nothing is read, checked or planned, and doit gets one task a job, and one for each image that is named. Where only
job files changed, that goes for what did not change in them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from imagegen import __version__
from imagegen.config.job_files import job_files, stray_names, task_names
from imagegen.config.settings import Settings
from imagegen.state.snapshot import FreshJob, Parts, Snapshot, read_snapshot, write_snapshot
from imagegen.tasks.invocation import DOIT_COMMANDS, Invocation

if TYPE_CHECKING:
    from imagegen.project import JobPlan, Project

__all__ = [
    "OUR_TASKS",
    "RESERVED",
    "changed_ns",
    "default_tasks",
    "knows_images",
    "last_rest",
    "names_no_image",
    "snapshot_key",
    "take_snapshot",
]

OUR_TASKS = (
    "accept",
    "comfyui",
    "doctor",
    "gallery",
    "image",
    "models",
    "ollama",
    "pick",
    "prune",
    "reroll",
    "restore",
    "schema",
    "server",
    "settings",
    "store",
    "verify",
    "why",
)
RESERVED = DOIT_COMMANDS | set(OUR_TASKS)


def default_tasks(root: Path) -> list[str]:
    """What `doit` alone selects: every job, and nothing else."""
    return list(task_names(job_files(root), RESERVED).values())


def last_rest(root: Path, settings: Settings, invocation: Invocation, key: str) -> Snapshot | None:
    """What is known to be fresh, of all outputs or all but those of touched job files; None where nothing is.

    key: of `snapshot_key`.
    """
    if _needs_images(root, invocation):
        return None
    if invocation.command == "run" and _something_waits(root, settings):
        return None
    may_change = {f"jobs/{path.name}" for path in job_files(root)} if invocation.command == "run" else ()
    snapshot = read_snapshot(root, _memory(root), key, may_change)
    if snapshot is None or not all(_is_same_model(*model) for model in snapshot.models):
        return None
    return snapshot if snapshot.touched or knows_images(snapshot, invocation) else None


def _something_waits(root: Path, settings: Settings) -> bool:
    """Whether this run is to try the shared store, for what has yet to go up to it."""
    if not (settings.store and settings.store_writes):
        return False
    from imagegen.state.pending import Pending

    state = root / ".imagegen"
    return Pending(state / "pending.txt", state / "tmp", settings.store).is_due


def knows_images(snapshot: Snapshot, invocation: Invocation, planned: Collection[str] = ()) -> bool:
    """Whether each image that is named is among those that are fresh, or planned."""
    return all(word in planned or _is_among(snapshot.jobs, word) for word in _images(invocation))


def names_no_image(root: Path, invocation: Invocation) -> bool:
    """Whether this invocation builds whole jobs, so that doit needs no task for an image that is fresh."""
    is_run = invocation.command == "run" and not invocation.always
    return is_run and not _has_other_tasks(root) and set(invocation.words) <= set(default_tasks(root))


def take_snapshot(
    project: Project, key: str, plans: Sequence[JobPlan], docs: Mapping[str, str], before: Snapshot | None = None
) -> None:
    """Remember that all outputs of these jobs are fresh now, the project's every one. Raises OSError.

    key: of before they were planned. docs: what is told of each, by its task. before: where only some were planned,
    what was known of the others.
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
            files[output.path] = project.hashes.key(output.path)
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
    write_snapshot(project.root, _memory(project.root), snapshot, project.temporary)


def _parts(plans: Sequence[JobPlan], known: Mapping[str, Parts], named: Collection[str]) -> dict[str, Parts]:
    """Of each job whose outputs follow from their own items; of none where an output names another.

    named: files that others name. A job file among them is left out: from it follows more than its own outputs.
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
            parts[plan.file] = Parts(plan.head, {**also, **of_items})
    return {file: one for file, one in parts.items() if file not in named}


def _memory(root: Path) -> Path:
    return root / ".imagegen" / "cache" / "snapshot.json"


def snapshot_key(root: Path, settings: Settings) -> str:
    """Of all that a plan follows from and that is no file of the project; the folders are where models are looked for.

    For a snapshot it is taken before anything is planned: what is added while images are made is in no plan.
    """
    backends = importlib.metadata.entry_points(group="imagegen.backends")
    plug_ins = sorted(
        (entry.name, entry.value, entry.dist.version if entry.dist else "", _written_ns(entry.value))
        for entry in backends
    )
    names = [path.name for path in job_files(root)] + stray_names(root)
    folders = [str(root), os.path.expanduser("~")]  # noqa: PTH111 - there may be none
    ours = [__version__, changed_ns(Path(__file__).parents[1])]
    return json.dumps([ours, folders, repr(settings), names, plug_ins, _environment() if plug_ins else ""])


def _environment() -> str:
    """A hash of the environment, by which a plug-in may plan; without what a shell itself changes."""
    own = {"_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL"}
    found = sorted((name, value) for name, value in os.environ.items() if name not in own)
    return hashlib.sha256(repr(found).encode("utf-8")).hexdigest()


def changed_ns(package: Path) -> int:
    """When its folders last changed: a package that is installed to be edited keeps its version over a pull."""
    folders = [package]
    for depth in range(2):
        inner = [entry.path for folder in folders[depth:] for entry in os.scandir(folder) if entry.is_dir()]
        folders += [Path(path) for path in inner if not path.endswith("__pycache__") and Path(path) not in folders]
    return max(folder.stat().st_mtime_ns for folder in folders)


def _written_ns(entry: str) -> int:
    """When the package that brings a backend was last written to: while it is developed, it keeps its version."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # planning says what is wrong
        spec = importlib.util.find_spec(entry.partition(":")[0].partition(".")[0])
        files = [Path(spec.origin)] if spec and spec.origin and spec.has_location else []
        for folder in (spec and spec.submodule_search_locations) or ():
            files += Path(folder).rglob("*.py")
        return max((file.stat().st_mtime_ns for file in files), default=0)
    return 0


def _is_same_model(request: Mapping[str, object], digests: Collection[str]) -> bool:
    """Whether the model that would draw this request is still the one that did, as far as is known."""
    from imagegen.backends.registry import registry
    from imagegen.plan.request import Request

    try:
        asked = Request(**request)  # type: ignore[arg-type]  # as asdict made it
        digest = registry()[asked.backend]().model_identity(asked).digest
    except Exception:  # planning says what is wrong
        return False
    return digest is None or all(known == digest for known in digests)


def _needs_images(root: Path, invocation: Invocation) -> bool:
    """Whether this invocation needs to know all of an image: it lists, forces or cleans some, or other tasks may."""
    words = invocation.words
    if _has_other_tasks(root):
        return True
    if invocation.command == "run":
        named = set(words) - set(_images(invocation))
        return invocation.always or not named <= set(default_tasks(root))
    return invocation.command != "list" or bool(words)


def _images(invocation: Invocation) -> list[str]:
    """The words that may name an image, as `portraits:mallsing`."""
    return [word for word in invocation.words if ":" in word] if invocation.command == "run" else []


def _is_among(jobs: Sequence[FreshJob], word: str) -> bool:
    job, _, slug = word.partition(":")
    return any(slug in one.outputs for one in jobs if one.task == job)


def _has_other_tasks(root: Path) -> bool:
    """Whether the dodo file has tasks besides ours, or its own default: they may name images. Yes without one."""
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
