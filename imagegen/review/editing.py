"""Edits of items from the page: what can be edited, what a change comes to, writing it, and undoing that.

No path and no field is taken from the page: it names an image, and fields of the list that it was given.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagegen.config.document import find_hidden_character, parse_number
from imagegen.config.paths import check_path
from imagegen.config.text_nodes import split_bom
from imagegen.config.value_edits import edit_values
from imagegen.errors import ImagegenError, InputError, Problem, not_written
from imagegen.plan.output import Output
from imagegen.project import JobPlan, Project
from imagegen.prompts.edits import edit_source
from imagegen.review.consequences import Consequences, OpenProject, foresee
from imagegen.review.item_fields import JOB, EditableItem, Field, find_item, find_spots
from imagegen.state.atomic import rewrite_file
from imagegen.state.hashes import stat_key
from imagegen.state.mutex import hold

__all__ = ["Editor"]

_WAIT_S = 0.5
"""Seconds to wait for another build before saying who it is."""
_NOT_READ = "the file has changed since it was read"


@dataclass(frozen=True)
class _Edit:
    """What was written: it can be undone as long as the file is as it was left."""

    number: int
    file: str
    task: str
    before: bytes
    sha256: str  # of the file after it


@dataclass(frozen=True)
class _Proposal:
    """What the page asks for, worked out."""

    item: EditableItem
    old: bytes
    new: bytes
    problems: Sequence[tuple[str, Problem]] = ()  # each with its field, empty if it is of none


class Editor:
    """Edits items of one project.

    root: its folder. open_project: see `OpenProject`.
    """

    def __init__(self, root: Path, open_project: OpenProject) -> None:
        self._root, self._open = root, open_project
        self._edits: dict[int, _Edit] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._read: tuple[Project, list[JobPlan]] | None = None
        self._stats: Mapping[str, object] = {}

    def answer(self, what: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer to what the page asks: `read`, `preview`, `write` or `undo`."""
        asked = {"read": self.read, "preview": self.preview, "write": self.write, "undo": self.undo}
        try:
            return 200, asked[what](body)
        except ImagegenError as error:
            return 409, {"problem": str(error), "problems": [_as_shown(problem) for problem in error.problems]}
        except OSError as error:
            return 409, {"problem": str(not_written(error, doing="read"))}

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an image: `{"task": "portraits:mallsing"}`. Raises ImagegenError."""
        with self._reading:
            project, plans = self._current()
            output = _find_output(plans, body.get("task"))
            return self._describe(project, find_item(project, plans, output))

    def preview(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what new values come to, and write nothing. Raises ImagegenError.

        body: `task`, `values` by key, and `sha256` of the file as it was read.
        """
        with self._reading:
            project, plans = self._current()
            return self._preview(project, plans, body)[1]

    def write(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write new values if the file is as the page last saw it, and all is valid. Raises ImagegenError.

        body: as for `preview`; `sha256` is that of the preview.
        """
        with self._lock, hold(self._root / ".imagegen", _WAIT_S):
            project, plans = self._open({})
            proposal, said = self._preview(project, plans, body)
            if said["problems"] or said["is_other"] or proposal.new == proposal.old:
                return {**said, "written": None}
            file = proposal.item.file
            _replace(project, file, proposal.new)
            edit = self._keep(file, str(body["task"]), proposal.old, proposal.new)
            return {**said, "written": _as_data(edit)}

    def undo(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write the text of before an edit, if the file is as that left it. Raises ImagegenError.

        body: `number` of the edit; without it, the last one. The answer has the number by which this is undone.
        """
        with self._lock, hold(self._root / ".imagegen", _WAIT_S):
            edit = self._edits.get(body.get("number", max(self._edits, default=0)))
            if edit is None:
                raise InputError(Problem("", "there is no such edit to undo"))
            project, _ = self._open({})
            after = project.inputs.read(edit.file)
            if _digest(after) != edit.sha256:
                del self._edits[edit.number]
                raise InputError(Problem(edit.file, "has changed since it was edited here", "git diff shows how"))
            _replace(project, edit.file, edit.before)
            del self._edits[edit.number]
            again = self._keep(edit.file, edit.task, after, edit.before)
            return {"undone": _as_data(edit), "number": again.number}

    def can_undo(self, number: int) -> bool:
        """Return whether there is such an edit, not undone, and not found to be too late to undo."""
        return number in self._edits

    def _keep(self, file: str, task: str, before: bytes, after: bytes) -> _Edit:
        """Take notice of an edit that was written."""
        self._count += 1
        self._edits[self._count] = _Edit(self._count, file, task, before, _digest(after))
        return self._edits[self._count]

    def _current(self) -> tuple[Project, list[JobPlan]]:
        """Return the project as it is now: what was read last, if no file that it was planned from has changed."""
        if self._read is None or self._look(self._read[0].inputs.stats) != self._stats:
            before = self._look(())
            self._read = self._open({})
            self._stats = {**before, **self._read[0].inputs.stats}  # as they were before they were read
        return self._read

    def _look(self, names: Iterable[str]) -> dict[str, object]:
        """Return how these files stand, the settings, and all that is beside the jobs."""
        beside = (path.relative_to(self._root).as_posix() for path in (self._root / "jobs").glob("*"))
        return {name: stat_key(self._root / name) for name in ("pyproject.toml", *beside, *names)}

    def _preview(
        self, project: Project, plans: list[JobPlan], body: Mapping[str, Any]
    ) -> tuple[_Proposal, dict[str, Any]]:
        output = _find_output(plans, body.get("task"))
        item = find_item(project, plans, output)
        proposal = _propose(project, item, body.get("values"))
        problems = list(proposal.problems)
        follows = Consequences()
        if not problems and proposal.new != proposal.old:
            other, planned = self._open({item.file: proposal.new})
            follows = foresee(plans, other, planned)
            spots = find_spots(other, item) if follows.problems else {}
            changed = [field for field in item.fields if body["values"].get(field.key, field.value) != field.value]
            problems = [(_find_field(item, spots, problem, changed), problem) for problem in follows.problems]
        seen = body.get("sha256")
        return proposal, {
            **self._describe(project, item),
            "is_other": seen is not None and seen != _digest(proposal.old),
            "diff": _diff(item.file, proposal.old, proposal.new),
            "problems": [{"field": field, **_as_shown(problem)} for field, problem in problems],
            "why": {
                "lines": [list(map(list, line)) for line in follows.lines],
                "build": [one.output.task for one in follows.found.images if _is_to_build(one.act)],
                "others": [task for task in follows.changed if _item_of(task) not in _items_of(item)],
            },
        }

    def _describe(self, project: Project, item: EditableItem) -> dict[str, Any]:
        return {
            "file": item.file,
            "where": item.where,
            "item": item.name,
            "images": item.images,
            "fields": [field.data for field in item.fields],
            "sha256": _digest(project.inputs.read(item.file)),
        }


def _find_output(plans: Sequence[JobPlan], task: object) -> Output:
    """Return the output of an image. Raises ImagegenError."""
    output = next((one for plan in plans for one in plan.outputs if one.task == task), None)
    if output is not None and not output.is_derived:
        return output
    job = str(task).partition(":")[0]
    problems = [problem for plan in plans if plan.name == job for problem in plan.problems]
    if problems:
        raise InputError(*problems)
    raise InputError(Problem("", "there is no such image with a prompt of its own: load the page again"))


# from the page's values to the file's bytes


def _propose(project: Project, item: EditableItem, values: object) -> _Proposal:
    """Return what the file becomes, or why it cannot."""
    old = project.inputs.read(item.file)
    fields = {field.key: field for field in item.fields}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise InputError(Problem("", "the values are not texts"))
    if unknown := next((key for key in values if key not in fields), None):
        raise InputError(Problem("", f"{unknown!r} is not a field of this image"))
    problems: list[tuple[str, Problem]] = []
    changes: dict[str, Any] = {}
    for key, text in values.items():
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text == fields[key].value:
            continue
        if why := fields[key].locked or find_hidden_character(text):
            problems.append((key, Problem(item.where, f"{key}: {why}")))
        changes[key] = _read_value(fields[key], text)
    if problems or not changes:
        return _Proposal(item, old, old, problems)
    try:
        return _Proposal(item, old, _edit(item, old, changes))
    except ValueError as error:
        hint = f"edit it in {item.file}"
        key = next(iter(changes)) if len(changes) == 1 else ""
        return _Proposal(item, old, old, [(key, Problem(item.where, str(error), hint))])
    except ImagegenError as error:
        spots = find_spots(project, item)
        found = [(_find_field(item, spots, problem, ()), problem) for problem in error.problems]
        return _Proposal(item, old, old, found)


def _read_value(field: Field, text: str) -> Any:
    """Return the value that a text stands for; None to remove it. What is not valid is left for the checks."""
    if not text and field.key != "prompt":
        return None
    if field.kind != "text":
        number = parse_number(text.strip())
        return text if number is None or not math.isfinite(number) else number
    if field.is_long and isinstance(field.raw, str) and text:  # a block of lines ends in a line end, and stays one
        return text.rstrip("\n") + ("\n" if field.raw.endswith("\n") else "")
    return text


def _edit(item: EditableItem, old: bytes, changes: Mapping[str, Any]) -> bytes:
    """Return the file with the changes. Raises ValueError and ImagegenError."""
    bom, text = split_bom(item.file, old)
    if item.source is not None:
        return bom + edit_source(item.file, text, item.source, changes).encode("utf-8")
    at = {field.location: changes[field.key] for field in item.fields if field.key in changes}
    return bom + edit_values(item.file, text, at).encode("utf-8")


def _replace(project: Project, file: str, data: bytes) -> None:
    if problem := check_path(project.root, file, project.settings.allow_outside):
        raise InputError(Problem(file, problem))
    try:
        rewrite_file(project.root / file, data, project.temporary)
    except OSError as error:
        raise ImagegenError(not_written(error, path=file)) from None


# what the page gets


def _find_field(item: EditableItem, spots: Mapping[str, str], problem: Problem, changed: Sequence[Field]) -> str:
    """Return the field that a problem is about; empty if that is not clear.

    Args:
        item: that is edited.
        spots: of `find_spots`.
        problem: that follows from the change.
        changed: the fields that are changed: of one alone, whatever is wrong in its files comes from it.

    """
    keys = [field.key for field in item.fields]
    named = re.match(r"(?:items\[(\d+)\]\.)?([\w.]+)", problem.what)
    if named and f"{JOB}{named[2]}" in keys:
        return f"{JOB}{named[2]}"
    if named and named[2].rstrip(".") in keys:
        index = item.location[-1] if item.location else None
        if named[1] is not None and int(named[1]) == index:
            return named[2]
        if problem.where == item.where or problem.where in spots:
            return named[2]
    key = spots.get(problem.where, "")
    if key not in keys and len(changed) == 1 and problem.where.partition(":")[0] in (item.file, item.job):
        return changed[0].key
    return key if key in keys else ""


def _is_to_build(act: str) -> bool:
    return act in ("generate", "derive", "follow", "restore")


def _items_of(item: EditableItem) -> frozenset[str]:
    return frozenset(item.images)


def _item_of(task: str) -> str:
    """Return the image that a task is of: its own, or that of a derived file."""
    return ":".join(task.split(":")[:2])


def _diff(file: str, old: bytes, new: bytes) -> list[str]:
    before, after = (data.decode("utf-8", "replace").splitlines(keepends=True) for data in (old, new))
    lines = difflib.unified_diff(before, after, file, file, n=2)
    return [line.rstrip("\r\n") for line in lines]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _as_data(edit: _Edit) -> dict[str, Any]:
    return {"number": edit.number, "file": edit.file, "task": edit.task}


def _as_shown(problem: Problem) -> dict[str, str]:
    """Return a problem as the page shows it."""
    return {"where": problem.where, "what": problem.what, "hint": problem.hint}
