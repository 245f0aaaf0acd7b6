"""What can be edited of an image: the fields of its item, each with its value, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from imagegen.config.checking import check_job
from imagegen.config.document import Document, Location, read_document
from imagegen.config.job import Item, Job
from imagegen.config.schema import GENERATE_FIELDS, ITEM_SCHEMA, GenerateFields, job_schema
from imagegen.config.text_nodes import split_bom
from imagegen.errors import ImagegenError, InputError, Problem
from imagegen.plan.output import Output
from imagegen.plan.record import REROLL
from imagegen.project import JobPlan, Project
from imagegen.prompts import SourceItem
from imagegen.prompts.csv_edits import list_columns

__all__ = ["JOB", "EditableItem", "Field", "find_item", "find_spots"]

_LABELS = {
    "prompt": "Prompt",
    "negative": "Negative prompt",
    "width": "Width",
    "height": "Height",
    "steps": "Steps",
    "cfg": "CFG scale",
    "sampler": "Sampler",
    "scheduler": "Scheduler",
    "clip_skip": "Clip skip",
    "seed": "Seed",
}
JOB = "job:"
"""What the keys of the job's fields begin with."""
_FROM_MODEL = "from the workflow or the model"
_LONG_TEXTS = frozenset({"prompt", "negative"})


@dataclass(frozen=True)
class Field:
    """One field, as the page shows it.

    Attributes:
        key: `steps`, or `comfyui.checkpoint`.
        value: what the item itself says, as text; empty if it says nothing.
        now: what counts for the image, if the item says nothing.
        note: where that comes from, in words.
        locked: why it cannot be edited; empty if it can.
        known: values that the project's images have in this field.
        scope: the job's fields are for all of its images.
        location: of the value in the job file; empty if it is in a prompt source.
        raw: the value as it is there.

    """

    key: str
    label: str
    kind: Literal["text", "whole", "number"]
    help: str
    value: str = ""
    now: str = ""
    note: str = ""
    locked: str = ""
    is_long: bool = False
    least: float | None = None
    most: float | None = None
    allowed: Sequence[str] = ()
    known: Sequence[str] = ()
    scope: Literal["item", "job"] = "item"
    location: Location = ()
    raw: Any = None

    @property
    def data(self) -> dict[str, Any]:
        """What the page is told, as JSON values."""
        return {name: value for name, value in vars(self).items() if name not in ("location", "raw")}


@dataclass(frozen=True)
class EditableItem:
    """An image's item: the file that has it, and its fields.

    Attributes:
        file: from the project's folder.
        location: of the item in a job file; None if it is from a prompt source.
        name: its own.
        where: `file:line:column`.
        images: tasks of all images that are made from it.
        job: the file of its job.
        source: the item as its prompt source has it; None if it is in a job file.

    """

    file: str
    location: Location | None
    name: str
    where: str
    fields: Sequence[Field]
    images: Sequence[str]
    job: str
    source: SourceItem | None = None


def find_item(project: Project, plans: Sequence[JobPlan], output: Output) -> EditableItem:
    """Return the item of an image. Raises ImagegenError, with where to edit it if that is not possible from here."""
    plan = next(plan for plan in plans if plan.name == output.job)
    document = project.planner.document(plan.file, project.inputs.read(plan.file))
    job = check_job(plan.name, document, project.backends.sections())
    found = _find_in_job(project, plan, document, job, output.request.name)
    source = None
    if found is None:
        source = _find_in_source(project, document, output.request.name)
        found = _read_source_item(document, source)
    item, file, location, where, raw = found
    images = [one.task for one in plan.outputs if not one.is_derived and one.request.name == output.request.name]
    if job.folder:
        images = [one.task for one in plan.outputs if not one.is_derived]
    fields = list(_list_fields(project, plans, job, item, raw, output))
    if file.lower().endswith(".csv"):
        fields = _lock_missing(fields, list_columns(split_bom(file, project.inputs.read(file))[1]), file)
    fields = [replace(field, location=_locate(location, field.key), raw=_find_raw(raw, field.key)) for field in fields]
    of_job = _list_job_fields(project, document, fields) if file == plan.file else ()  # one file at a time
    # items that are files say nothing else
    fields = [*fields[: 1 if job.folder else None], *of_job]
    return EditableItem(file, location, item.name, where, fields, images, plan.file, source)


def _locate(item: Location | None, key: str) -> Location:
    return () if item is None else (*item, *key.split("."))


def _find_raw(said: Any, key: str) -> Any:
    """Return the value of a field such as `comfyui.checkpoint`; None if there is none."""
    for part in key.split("."):
        said = said.get(part) if isinstance(said, Mapping) else None
    return said


def _list_job_fields(project: Project, document: Document, fields: Sequence[Field]) -> Iterator[Field]:
    """Yield what the job says of all its images: of what the item's fields are about, and around each prompt."""
    own = read_document(document.name, project.inputs.read(document.name)).values
    around = job_schema({})["prompt"]["schema"]
    candidates = [
        Field("prompt.prefix", "Before every prompt", "text", _describe(around["prefix"]), is_long=True),
        Field("prompt.suffix", "After every prompt", "text", _describe(around["suffix"]), is_long=True),
    ]
    candidates += [
        replace(
            field,
            key=f"generate.{field.key}",
            now="" if field.note == _FROM_MODEL else _show(getattr(GenerateFields, field.key)),
        )
        for field in fields
        if field.key in GENERATE_FIELDS and field.key != "seed" and not field.locked
    ]
    for field in candidates:
        raw, inherited = _find_raw(own, field.key), _find_raw(document.values, field.key)
        is_inherited = raw is None and inherited is not None
        default = "" if field.is_long else field.note if field.note == _FROM_MODEL else "the default"
        note = "from what the job extends" if is_inherited else default
        yield replace(
            field,
            key=f"{JOB}{field.key}",
            value=_strip_end(_show(raw)),
            now=_strip_end(_show(inherited)) if is_inherited else field.now,
            note=note,
            scope="job",
            location=tuple(field.key.split(".")),
            raw=raw,
        )


def _describe(rules: Mapping[str, Any]) -> str:
    return str(rules.get("meta", {}).get("description", ""))


def _lock_missing(fields: Sequence[Field], columns: Sequence[str], file: str) -> list[Field]:
    """Lock the fields that a table has no column for."""
    locked = f"{file} has no column for it"
    return [field if field.key in columns else replace(field, locked=field.locked or locked) for field in fields]


def find_spots(project: Project, item: EditableItem) -> dict[str, str]:
    """Return where the item's fields stand in a project that has other contents: `file:line:column` → key."""
    try:
        document = project.planner.document(item.job, project.inputs.read(item.job))
        if item.location is None:
            found = next(one for one in project.planner.read_source(document) if one.name.strip() == item.name)
            return {where: key for key, where in found.marks.items() if key != "name"}
    except (ImagegenError, StopIteration):  # then all that is known is what the problems say
        return {}
    return {document.where(field.location): field.key for field in item.fields if field.location in document.marks}


_Found = tuple[Item, str, "Location | None", str, Mapping[str, Any]]


def _find_in_job(project: Project, plan: JobPlan, document: Document, job: Job, name: str) -> _Found | None:
    """Return the item, its file, its location there, where that is, and what it says."""
    location: Location
    items = document.values.get("items", ())
    if isinstance(items, dict):
        location = ("items",)
        raw: Mapping[str, Any] = {key: items[key] for key in ("prompt",) if key in items}
        item = Item(name, items.get("prompt", ""), {}, document.where(location))
    else:
        index = next((index for index, one in enumerate(items) if one["name"].strip() == name), None)
        if index is None:
            return None
        location, raw, item = ("items", index), items[index], job.items[index]
    file = document.files.get(location, document.name)
    where = document.where(location)
    users = [job for job, files in project.planner.sources.items() if file in files]
    if file != document.name and users != [plan.file]:
        what = f"the item is in {file}, which {' and '.join(users[:3])} extend: a change would be in all of them"
        raise InputError(Problem(where, what, "edit it there"))
    return item, file, location, where, raw


def _find_in_source(project: Project, document: Document, name: str) -> SourceItem:
    found = next((one for one in project.planner.read_source(document) if one.name.strip() == name), None)
    if found is None:
        raise InputError(Problem(document.name, f"'{name}' is not among its items any more"))
    return found


def _read_source_item(document: Document, found: SourceItem) -> _Found:
    raw: dict[str, Any] = {**found.overrides, "name": found.name, "prompt": found.prompt}
    raw |= {"negative": found.negative} if found.negative is not None else {}
    overrides = {key: value for key, value in found.overrides.items() if key in ITEM_SCHEMA}
    sections = {key: value for key, value in found.overrides.items() if key not in ITEM_SCHEMA}
    item = Item(found.name, found.prompt, overrides, found.marks["name"], sections)
    return item, document.values["source"], None, found.marks["name"], raw


def _list_fields(
    project: Project, plans: Sequence[JobPlan], job: Job, item: Item, raw: Mapping[str, Any], output: Output
) -> Iterator[Field]:
    backend = project.backends[output.request.backend]
    value = _strip_end(_show(raw.get("prompt")))
    yield Field(
        "prompt",
        _LABELS["prompt"],
        "text",
        _describe(ITEM_SCHEMA["prompt"]),
        value,
        note=_describe_around(job),
        is_long=True,
    )
    try:
        resolved = backend.resolve(item.merge_section(job, backend.name, backend.options))
    except ImagegenError:  # the files that it names may be gone
        resolved = None
    honoured = backend.parameters - (resolved.unused if resolved else frozenset())
    others = [one for plan in plans for one in plan.outputs if one.request.backend == backend.name]
    for name in GENERATE_FIELDS:
        if name in honoured:
            own = _strip_end(_show(raw.get(name)))
            now, note = _find_other_source(project, job, output, name, resolved.only_if_given if resolved else ())
            locked = f"the job's matrix sets it: the axis {name}" if name in job.matrix else ""
            known = {str(getattr(one.request, name)) for one in others} if name in ("sampler", "scheduler") else ()
            yield _make_field(name, _LABELS[name], ITEM_SCHEMA[name], own, now, note, locked, known)
    for name, rules in backend.options.items():
        if rules.get("type") in ("text", "whole", "number") and name in {*backend.parameters, backend.model_option}:
            own = _show(raw.get(backend.name, {}).get(name))
            of_job = _show(job.sections.get(backend.name, {}).get(name))
            is_model = name == backend.model_option
            now = of_job or (output.request.model if is_model else "")
            note = "from the job" if of_job else "from the settings, or the only one there is" if is_model else ""
            known = {one.request.model for one in others if one.request.model} if is_model else ()
            label = name.replace("_", " ").capitalize()
            yield _make_field(f"{backend.name}.{name}", label, rules, own, now, note, "", known)


def _make_field(
    key: str, label: str, rules: Mapping[str, Any], value: str, now: str, note: str, locked: str, known: Any
) -> Field:
    return Field(
        key=key,
        label=label,
        kind=rules["type"],
        help=_describe(rules),
        value=value,
        now=now,
        note=note,
        locked=locked,
        is_long=key in _LONG_TEXTS,
        least=rules.get("min"),
        most=rules.get("max"),
        allowed=rules.get("allowed", ()),
        known=sorted(known),
    )


def _find_other_source(project: Project, job: Job, output: Output, name: str, only_if_given: Any) -> tuple[str, str]:
    """Return what counts for a field if the item says nothing, and where that comes from."""
    if name == "seed":
        seed = "" if output.request.seed is None else str(output.request.seed)
        is_rerolled = (REROLL, output.full_slug) in project.lock(output.job).decisions
        rule = "chosen by doit reroll" if is_rerolled else f"by the job's rule, {job.seed.mode}"
        return ("" if output.has_own_seed else seed), rule
    if name in job.generate:
        return _show(job.generate[name]), "from the job"
    if name in only_if_given:
        return "", _FROM_MODEL
    return _show(getattr(GenerateFields, name)), "the default"


def _describe_around(job: Job) -> str:
    """Return what the job puts around each prompt, in words."""
    parts = [f"{what}: {text}" for what, text in (("before it", job.prefix), ("after it", job.suffix)) if text]
    return f"The job puts {'; '.join(parts)}" if parts else ""


def _show(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _strip_end(text: str) -> str:
    """Return a text without the line end that a block of lines ends in."""
    return text.rstrip("\n")
