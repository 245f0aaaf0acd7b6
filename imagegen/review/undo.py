"""What takes an action back: commands, which follow from how the project was before it and how it is after it.

None of them generates or derives anything that was not there: an undo that took a build would generate what is stale.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imagegen.execute.versions import seed_that_differs
from imagegen.plan.origins import PICTURE, sort_by_origin
from imagegen.plan.output import Output
from imagegen.plan.record import ACCEPT, PICK, REROLL, TAKEN_BACK
from imagegen.plan.remark import Kind, Remark
from imagegen.project import JobPlan, Project
from imagegen.project.git import user_name
from imagegen.project.remarks import read_remarks
from imagegen.report.console import plural
from imagegen.review.commands import split_line

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


@dataclass(frozen=True)
class _ImageState:
    """How one output is.

    Attributes:
        sha256: of its file; None if there is none.
        made: fingerprint and time of the line that says how it was made; empty if it was made by hand.
        seed: of that line, if the seed alone makes it another request than the present one.
        decided: the seed that was decided for it; None if its job's rule counts.
        accepted: the fingerprint and the sha256 of what was accepted for it last; empty if nothing is.

    """

    output: Output
    sha256: str | None
    made: tuple[str, str] | None
    seed: int | None
    decided: int | None
    accepted: tuple[str, str] | None

    @property
    def is_accepted(self) -> bool:
        """Whether its file was accepted for its present request."""
        return self.accepted == (self.output.fingerprint, self.sha256)

    @property
    def is_stale(self) -> bool:
        """Whether its file was made for another request, and not accepted for this one."""
        return self.made is not None and self.made[0] != self.output.fingerprint and not self.is_accepted


@dataclass(frozen=True)
class ProjectState:
    """What an action may change: images by task, the picked variant by item, marks and notes by task and kind.

    pictures: the sha256 of each image's file, by task: marks and notes are about it.
    """

    images: Mapping[str, _ImageState] = field(default_factory=dict)
    picks: Mapping[str, int] = field(default_factory=dict)
    remarks: Mapping[tuple[str, Kind], Remark] = field(default_factory=dict)
    pictures: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Undo:
    """How to take an action back.

    Attributes:
        commands: the words of each after `doit`; none if there is nothing to take back, or nothing can.
        problem: what stays as the action left it; empty if nothing does.
        left: how the action left what it changed.

    """

    commands: tuple[list[str], ...] = ()
    problem: str = ""
    left: ProjectState = ProjectState()


# images


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


def _image_state(project: Project, output: Output) -> _ImageState:
    state = project.hashes.state(output.path)
    sha256 = state.sha256 if state else None
    lock = project.lock(output.job)
    line = lock.line_of(output.path, sha256)
    line = line if line and line.sha256 == sha256 else None
    reroll = lock.decisions.get((REROLL, output.full_slug))
    decision = lock.decisions.get((ACCEPT, output.full_slug))
    value = decision.value if decision and decision.value not in (None, TAKEN_BACK) else None
    return _ImageState(
        output,
        sha256,
        (line.fingerprint, line.time) if line else None,
        seed_that_differs(output, line) if line else None,
        reroll.value if reroll else None,
        (str(value["fingerprint"]), str(value["sha256"])) if value else None,
    )


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
    named = {*touched, *(_item_of(task) for task in touched)}
    items = sorted(item for item in before.picks.keys() | after.picks.keys() if _is_among(item, named))
    picks = {item: before.picks.get(item, 0) for item in items if before.picks.get(item, 0) != after.picks.get(item, 0)}
    way = _WayBack(project)
    for output in sort_by_origin([one.output for one in {**after.images, **before.images}.values()]):
        old, now = before.images.get(output.task), after.images.get(output.task)
        if old is None or _comes_with_pick(old, {**after.images, **before.images}, picks):
            continue
        if now and (not _is_among(output.task, touched) or not _has_changed(old, now)):
            continue
        if now or _is_of(old, {**after.images, **before.images}, picks):
            way.add(old, now)
    commands = [["pick", item, "--variant", str(number)] for item, number in picks.items()]
    left = ProjectState(way.left, {item: after.picks.get(item, 0) for item in picks})
    return Undo((*commands, *way.commands), way.problem, left)


class _WayBack:
    """Collects how images come back to how they were; each is added after those that it is made from."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._restored: dict[int, list[tuple[str, Sequence[str]]]] = {}
        """By how many steps they are made in: what a sheet is made from is there before the sheet comes back."""
        self._depths: dict[str, int] = {}
        self._accepted: list[str] = []
        self._unaccepted: list[str] = []
        self._staying: set[str] = set()
        self._new = self._seeds = self._absent = self._derived = 0
        self.left: dict[str, _ImageState] = {}

    def add(self, old: _ImageState, now: _ImageState | None) -> None:
        """Take notice of an output that has changed. now: None if it comes back with a pick."""
        task = old.output.task
        if now:
            self.left[task] = now
        if not old.sha256:
            self._staying.add(task)
            self._new += not old.output.is_derived
            return
        is_as_asked = old.made is not None and old.made[0] == old.output.fingerprint
        has_other_seed = now is not None and now.decided != old.decided
        if now and now.sha256 == old.sha256 and not (has_other_seed and is_as_asked):
            if now.is_accepted != old.is_accepted:
                (self._accepted if old.is_accepted else self._unaccepted).append(task)
            self._seeds += has_other_seed
            return
        sha256 = None if self._fits_no_more(old) else _find_stored(self._project, old)
        if sha256 is None:
            self._staying.add(task)
            self._absent += not old.output.is_derived
            self._derived += old.output.is_derived
            return
        depth = max((self._depths.get(origin.task, -1) for origin in old.output.origins), default=-1) + 1
        self._depths[task] = depth
        self._restored.setdefault(depth, []).append((task, ("--to", sha256[:_DIGITS])))
        # it was not what the job asked for, and nobody had accepted it: `restore` accepts it, unless it decides a seed
        if old.seed is None and not old.is_accepted and (old.made is None or old.is_stale):
            self._unaccepted.append(task)
        self._seeds += old.seed is not None or (has_other_seed and not is_as_asked)

    def _fits_no_more(self, old: _ImageState) -> bool:
        """Whether it is of a sheet whose other files are not as they were with it."""
        if not old.output.is_derived or old.output.fields["kind"] == PICTURE:
            return False
        return old.is_stale or any(origin.task in self._staying for origin in old.output.origins)

    @property
    def commands(self) -> Iterator[list[str]]:
        for depth in sorted(self._restored):
            yield from split_line(["restore"], self._restored[depth], [])
        if self._accepted:
            yield from split_line(["accept"], ((task, ()) for task in self._accepted), [])
        if self._unaccepted:
            yield from split_line(["accept"], ((task, ()) for task in self._unaccepted), ["--undo"])

    @property
    def problem(self) -> str:
        """What does not come back: counted, since there may be thousands."""
        said = [
            (self._new, f"{plural(self._new, 'new image')} {_stays(self._new)}"),
            (
                self._absent,
                f"{plural(self._absent, 'image')} {_stays(self._absent)}: the earlier one is not in the store",
            ),
            (self._derived, f"{plural(self._derived, 'derived file')} {_stays(self._derived)} until the next doit"),
            (self._seeds, f"the seed of {plural(self._seeds, 'image')} stays decided"),
        ]
        return "; ".join(text for number, text in said if number)


def _stays(number: int) -> str:
    return "stays" if number == 1 else "stay"


def _comes_with_pick(old: _ImageState, images: Mapping[str, _ImageState], picks: Collection[str]) -> bool:
    """Whether an output is as before once these picks are: a variant, or what was derived from it and was not stale."""
    if not old.output.is_derived:
        return f"{old.output.job}:{old.output.base}" in picks
    return not old.is_stale and _is_of(old, images, picks)


def _is_of(old: _ImageState, images: Mapping[str, _ImageState], picks: Collection[str]) -> bool:
    """Whether an output is derived from a variant of one of these items."""
    origins = (images[origin.task].output for origin in old.output.origins if origin.task in images)
    return any(f"{origin.job}:{origin.base}" in picks for origin in origins if not origin.is_derived)


def _item_of(task: str) -> str:
    """Return the item that an image is a variant of; its own name if it is none."""
    item, _, number = task.rpartition("-v")
    return item if item and number.isdecimal() else task


def _is_among(task: str, touched: Collection[str]) -> bool:
    """Whether an image or item is named, or its job is, or the item that it is a variant of."""
    return task in touched or task.partition(":")[0] in touched or _item_of(task) in touched


def _has_changed(old: _ImageState, now: _ImageState) -> bool:
    is_decided = old.is_accepted != now.is_accepted and old.accepted != now.accepted
    return old.sha256 != now.sha256 or is_decided or old.decided != now.decided


def _find_stored(project: Project, old: _ImageState) -> str | None:
    """Return the sha256 by which `doit restore` finds the image that was there: of its file, or of what made it.

    It asks for no list of all versions, which takes long for one image, and there may be thousands.
    """
    if old.sha256 and project.store.is_listed(old.sha256) and project.store.has(old.sha256):
        return old.sha256
    fingerprint, time = old.made or ("", "")
    entries = project.store.entries(fingerprint) if fingerprint else ()
    return next((one.sha256 for one in entries if one.time == time and project.store.has(one.sha256)), None)


# marks and notes


def read_remarks_state(project: Project, plans: Sequence[JobPlan]) -> ProjectState:
    """Return how the marks and notes are now. Raises ImagegenError and OSError."""
    remarks: dict[tuple[str, Kind], Remark] = {}
    pictures: dict[str, str | None] = {}
    kinds: tuple[Kind, Kind] = ("mark", "note")
    for plan in plans:
        said = read_remarks(project, plan.name)
        for output in plan.outputs:
            pictures[output.task] = project.hashes.sha256(output.path)
            for kind in kinds:
                if remark := said.find(output.full_slug, kind):
                    remarks[output.task, kind] = replace(remark, time="")
    return ProjectState(remarks=remarks, pictures=pictures)


def find_remarks_undo(
    before: ProjectState, project: Project, plans: Sequence[JobPlan], touched: Collection[str]
) -> Undo:
    """Return how to have marks and notes as they were before, with the picture that each is about, and whose it is.

    The arguments are those of `find_undo`.
    """
    after = read_remarks_state(project, plans)
    me = user_name(project.root)
    found: dict[tuple[str, ...], list[tuple[str, Sequence[str]]]] = {}
    left: dict[tuple[str, Kind], Remark] = {}
    pictures: dict[str, str | None] = {}
    for task, kind in sorted(before.remarks.keys() | after.remarks.keys()):
        old, now = before.remarks.get((task, kind)), after.remarks.get((task, kind))
        if old == now or not _is_among(task, touched):
            continue
        left[task, kind] = now or Remark("", kind, None, None)
        value = old.value or "" if old else ""
        says = ("--as", value or "none") if kind == "mark" else (f"--note={value}",)
        by = (f"--by={old.by}",) if old and old.by != me else ()
        of = ("--of", old.sha256 or "none") if old and old.sha256 != after.pictures[task] else ()
        if old and not of:
            pictures[task] = after.pictures[task]
        found.setdefault((*says, *by, "of" if of else ""), []).append((task, of))
    commands = [line for (*says, _), named in sorted(found.items()) for line in split_line(["mark"], named, says)]
    tasks = {task for task, _ in left}
    return Undo(
        tuple(commands), left=ProjectState(remarks=left, pictures={task: after.pictures[task] for task in tasks})
    )


def explain_change(undo: Undo, project: Project, plans: Sequence[JobPlan]) -> str:
    """Return why it is too late for this undo: something else has happened since; empty if nothing has.

    Raises ImagegenError and OSError.
    """
    left = undo.left
    if left.remarks:
        said = read_remarks_state(project, plans)
        for (task, kind), remark in left.remarks.items():
            if (said.remarks.get((task, kind)) or Remark("", kind, None, None)) != remark:
                return f"{task} has another {kind} by now"
        other = next((task for task, sha256 in left.pictures.items() if said.pictures.get(task) != sha256), None)
        return f"{other} has another image by now" if other else ""
    now = read_state(project, plans)
    for task, image in left.images.items():
        present = now.images.get(task)
        if present is None:
            return f"{task} is not there any more"
        if present.sha256 != image.sha256:
            return f"{task} has another image by now"
        if (present.accepted, present.decided) != (image.accepted, image.decided):
            return f"{task} has been decided about since"
    for item, number in left.picks.items():
        if now.picks.get(item, 0) != number:
            return f"another variant of {item} has been picked since"
    return ""
