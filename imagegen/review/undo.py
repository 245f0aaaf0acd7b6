"""What takes an action back: commands, which follow from how the project was before it and how it is after it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, TAKEN_BACK
from imagegen.plan.remark import Kind
from imagegen.project import JobPlan, Project
from imagegen.project.remarks import read_remarks

__all__ = [
    "ProjectState",
    "Undo",
    "explain_change",
    "find_remarks_undo",
    "find_undo",
    "read_remarks_state",
    "read_state",
]

_DIGITS = 12
"""Of a sha256 on a command line."""
_NO_IMAGE = "there was no image before, so there is none to go back to"


@dataclass(frozen=True)
class _ImageState:
    """How one output is.

    Attributes:
        sha256: of its file; None if there is none.
        made: fingerprint and time of the line that says how it was made; empty if it was made by hand.
        is_stale: whether its file was made for another request, which nobody accepted.
        accepted: the sha256 of the file that was accepted for it last; empty if none was, or that was taken back.

    """

    output: Output
    sha256: str | None
    made: tuple[str, str] | None
    is_stale: bool
    accepted: str


@dataclass(frozen=True)
class ProjectState:
    """What an action may change: images by task, the picked variant by item, marks and notes by task and kind."""

    images: Mapping[str, _ImageState] = field(default_factory=dict)
    picks: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[tuple[str, Kind], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Undo:
    """How to take an action back.

    Attributes:
        commands: the words of each after `doit`; none if there is nothing to take back, or nothing can.
        problem: what cannot be taken back; empty if everything can.
        left: how the action left what it changed.

    """

    commands: tuple[list[str], ...] = ()
    problem: str = ""
    left: ProjectState = ProjectState()


def read_state(project: Project, plans: Sequence[JobPlan]) -> ProjectState:
    """Return how the images are now, and which variants are picked. Raises ImagegenError and OSError."""
    images: dict[str, _ImageState] = {}
    picks: dict[str, int] = {}
    for plan in plans:
        decisions = project.lock(plan.name).decisions if plan.outputs else {}
        picks |= {f"{plan.name}:{name}": int(one.value) for (kind, name), one in decisions.items() if kind == PICK}
        for output in plan.outputs:
            images[output.task] = _image_state(project, project.with_origins(project.with_decisions(output)))
    return ProjectState(images, picks)


def read_remarks_state(project: Project, plans: Sequence[JobPlan]) -> ProjectState:
    """Return how the notes and the marks are now; a mark of another version of its image is none of this one.

    Raises ImagegenError and OSError.
    """
    remarks: dict[tuple[str, Kind], str] = {}
    kinds: tuple[Kind, Kind] = ("mark", "note")
    for plan in plans:
        said = read_remarks(project, plan.name)
        for output in plan.outputs:
            for kind in kinds:
                remark = said.find(output.full_slug, kind)
                if remark and (kind == "note" or remark.is_about(project.hashes.sha256(output.path))):
                    remarks[output.task, kind] = remark.value or ""
    return ProjectState(remarks=remarks)


def _image_state(project: Project, output: Output) -> _ImageState:
    state = project.hashes.state(output.path)
    sha256 = state.sha256 if state else None
    lock = project.lock(output.job)
    line = lock.line_of(output.path, sha256)
    made = (line.fingerprint, line.time) if line and line.sha256 == sha256 else None
    decision = lock.decisions.get((ACCEPT, output.full_slug))
    value = decision.value if decision and decision.value not in (None, TAKEN_BACK) else None
    is_accepted = value is not None and value["fingerprint"] == output.fingerprint
    is_stale = made is not None and made[0] != output.fingerprint and not is_accepted
    return _ImageState(output, sha256, made, is_stale, str(value["sha256"]) if value else "")


def find_undo(before: ProjectState, project: Project, plans: Sequence[JobPlan], touched: Collection[str]) -> Undo:
    """Return how to have images and picks as they were before.

    Args:
        before: how they were.
        project: as it is after the action.
        plans: of its jobs.
        touched: the images, items and jobs that the action may have changed; others did the rest.

    Raises:
        ImagegenError: the project cannot be understood.
        OSError: a file cannot be read.

    """
    after = read_state(project, plans)
    items = {item for item in before.picks.keys() | after.picks.keys() if _is_among(item, touched)}
    repicked = sorted(item for item in items if _pick(before, item) != _pick(after, item))
    commands = [["pick", item, "--variant", str(_pick(before, item))] for item in repicked]
    problems: list[str] = []
    followers: list[str] = []
    left = {}
    for task, now in after.images.items():
        old = before.images.get(task)
        if old is None or f"{now.output.job}:{now.output.base}" in repicked:
            continue
        if not _is_among(task, touched) or not _has_changed(old, now):
            continue
        if now.output.is_derived and old.sha256 != now.sha256:  # it follows its images, and the store has it
            followers += [task] if old.sha256 else []
            continue
        left[task] = now
        if now.sha256 == old.sha256:
            commands.append(["accept", task, *(["--undo"] if _is_accepted(now) else [])])
        elif not old.sha256:
            problems.append(f"{task}: {_NO_IMAGE}")
        else:
            commands += _go_back(project, task, old, problems)
    commands += [followers] if followers and commands else []
    return Undo(tuple(commands), "; ".join(problems), ProjectState(left, after.picks))


def find_remarks_undo(
    before: ProjectState, project: Project, plans: Sequence[JobPlan], touched: Collection[str]
) -> Undo:
    """Return how to have marks and notes as they were before: see `find_undo`."""
    after = read_remarks_state(project, plans)
    found: dict[tuple[Kind, str], list[str]] = {}
    for task, kind in sorted(before.remarks.keys() | after.remarks.keys()):
        value = before.remarks.get((task, kind), "")
        if _is_among(task, touched) and after.remarks.get((task, kind), "") != value:
            found.setdefault((kind, value), []).append(task)
    commands = [
        ["mark", *tasks, *(["--as", value or "none"] if kind == "mark" else [f"--note={value}"])]
        for (kind, value), tasks in sorted(found.items())
    ]
    return Undo(tuple(commands), left=after)


def _is_among(task: str, touched: Collection[str]) -> bool:
    """Whether an image or item is named, or its job is, or the item that it is a variant of, or one of its variants."""
    job, _, _ = task.partition(":")
    item, _, number = task.rpartition("-v")
    return task in touched or job in touched or (number.isdecimal() and item in touched)


def _pick(state: ProjectState, item: str) -> int:
    return state.picks.get(item, 0)


def _is_accepted(state: _ImageState) -> bool:
    return bool(state.accepted) and state.accepted == state.sha256 and not state.is_stale


def _has_changed(old: _ImageState, now: _ImageState) -> bool:
    is_decided = _is_accepted(old) != _is_accepted(now) and old.accepted != now.accepted
    return old.sha256 != now.sha256 or is_decided


def _go_back(project: Project, task: str, old: _ImageState, problems: list[str]) -> Iterator[list[str]]:
    """Yield the commands that bring the file back that was there; note in `problems` if there are none."""
    sha256 = _find_stored(project, old)
    if sha256 is None:
        problems.append(f"{task}: the store does not have the image that was there before")
        return
    yield ["restore", task, "--to", sha256[:_DIGITS]]
    if old.is_stale:  # it was not what the job asked for, and nobody had accepted it
        yield ["accept", task, "--undo"]


def _find_stored(project: Project, old: _ImageState) -> str | None:
    """Return the sha256 by which `doit restore` finds the image that was there: of its file, or of what made it.

    It asks for no list of all versions, which takes long for one image, and there may be thousands.
    """
    if old.sha256 and project.store.is_listed(old.sha256) and project.store.has(old.sha256):
        return old.sha256
    fingerprint, time = old.made or ("", "")
    entries = project.store.entries(fingerprint) if fingerprint else ()
    return next((one.sha256 for one in entries if one.time == time and project.store.has(one.sha256)), None)


def explain_change(undo: Undo, project: Project, plans: Sequence[JobPlan]) -> str:
    """Return why it is too late for this undo: something else has happened since; empty if nothing has.

    Raises ImagegenError and OSError.
    """
    left = undo.left
    if left.remarks:
        said = read_remarks_state(project, plans).remarks
        for words in undo.commands:
            kind: Kind = "note" if words[-1].startswith("--note=") else "mark"
            for task in words[1:-1]:
                if said.get((task, kind)) != left.remarks.get((task, kind)):
                    return f"{task} has another {kind} by now"
        return ""
    now = read_state(project, plans)
    for task, image in left.images.items():
        present = now.images.get(task)
        if present is None:
            return f"{task} is not there any more"
        if present.sha256 != image.sha256:
            return f"{task} has another image by now"
        if present.accepted != image.accepted:
            return f"{task} has been decided about since"
    for words in undo.commands:
        if words[0] == "pick" and _pick(now, words[1]) != _pick(left, words[1]):
            return f"another variant of {words[1]} has been picked since"
    return ""
